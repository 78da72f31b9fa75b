"""The explorer's controls, and how they are laid out; what they do is the widget's affair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from bclip_core.explorer.catalogue import ModelEntry, grouped_options
from bclip_core.explorer.front import Field
from bclip_core.explorer.tables import plain

BETWEEN = "|"  # between the texts of `also`


class Controls:
    """Every control by name; each has a description that a screen reader can read.

    Args:
        scenes: how many scenes there are, or pictures of another data set.
        entries: the models to choose from.
        explorer: name of the stage that shows what is under the mouse.
        drawn: whether they are scenes; of other pictures nobody knows where a model misses.
    """

    def __init__(
        self, scenes: int, entries: Mapping[str, ModelEntry], explorer: str = "",
        drawn: bool = True,
    ) -> None:  # fmt: skip
        models = [list(option) for option in grouped_options(entries)]
        self.text = Field("text", "look for", placeholder="any text, Enter")
        self.also = Field(
            "text", "and for", placeholder=f"more texts, {BETWEEN} between them, Enter"
        )
        self.several = widgets.Checkbox(
            False, description="a clicked phrase is added to these", indent=False, layout=_line()
        )
        self.phrases = Field("chips", "phrases of the caption", value=None, explorer=explorer)
        self.sentences = Field("chips", "sentences of the caption", value=None, explorer=explorer)
        self.examples = Field("chips", "examples", value=None)
        self.model = Field("select", "model", options=models)
        self.second = Field("select", "beside it", options=[["none", "", ""], *models])
        self.more = Field("select", "and these", options=models, multiple=True, value=[])
        self.kind = Field("select", "map", options=[["mean", "mean", ""]], value="mean")
        self.opacity = _share(0.6, "opacity")
        self.threshold = _share(0.0, "threshold")
        self.shared = widgets.Checkbox(
            True, description="one colour scale for all maps", indent=False, layout=_line()
        )
        one = "scene" if drawn else "picture"
        self.thumbs = Field("thumbs", f"{one}s", value=None)
        self.missed = widgets.Checkbox(
            False, description="only scenes that the model misses", indent=False, layout=_line()
        )
        self.missed.layout.display = None if drawn else "none"
        self.scene = Field("range", one, value=0, max=max(scenes - 1, 0))
        self.path = Field("text", "file or folder", placeholder="path of a picture or folder")
        self.file = Field("select", "in this folder", value=None, hidden=True)
        self.upload = widgets.FileUpload(
            accept="image/*",
            multiple=False,
            description="upload a picture",
            layout=widgets.Layout(width="auto"),
        )
        self.caption = Field(
            "area", "caption", placeholder="what the picture shows; Enter takes it apart"
        )
        self.hottest = widgets.Checkbox(
            True, description="follow the hottest patch", indent=False, layout=_line()
        )
        self.row = Field("range", "patch row", value=1, min=1, max=1)
        self.column = Field("range", "patch column", value=1, min=1, max=1)
        self.name = Field("text", "export as", value="view")
        self.name.placeholder = "lower-case words joined by underscores"
        self.export = widgets.Button(
            description="export PNG, JSON and HTML", layout=widgets.Layout(width="auto")
        )
        for name, control in vars(self).items():
            control.add_class(f"bclip-{name}")

    def box(self) -> widgets.Widget:
        """The controls beside the maps, the text first."""
        groups = [
            [self.text, self.also, self.several, self.phrases, self.sentences, self.examples],
            [self.model, self.second, self.more, self.kind, self.opacity, self.threshold,
             self.shared],
            [self.caption, self.path, self.file, self.upload, self.scene],
            [self.hottest, self.row, self.column],
            [self.name, self.export],
        ]  # fmt: skip
        boxes = [widgets.VBox(group).add_class("bclip-group") for group in groups]
        return widgets.VBox(boxes).add_class("bclip-controls")

    def scenes_box(self) -> widgets.Widget:
        """The scenes to choose from, above the maps."""
        return widgets.VBox([self.thumbs, self.missed])


def set_options(control: Field, options: Sequence[tuple[str, Any]], value: Any = None) -> None:
    """Options and value of a list together; labels that are the same get a number."""
    seen: dict[str, int] = {}
    distinct = []
    for label, each in options:
        seen[label] = seen.get(label, 0) + 1
        distinct.append([label if seen[label] == 1 else f"{label} ({seen[label]})", each, ""])
    control.options = distinct
    control.value = value


def set_chips(control: Field, texts: Sequence[str], value: str) -> None:
    """Offer texts as buttons; the one that equals `value` is pressed."""
    control.options = [[plain(text), text, plain(text, 300)] for text in texts]
    control.value = value if value in texts else None


def split_texts(written: str) -> tuple[str, ...]:
    """The texts between the bars, without the empty ones and without repeats."""
    parts = (part.strip() for part in written.split(BETWEEN))
    return tuple(dict.fromkeys(part for part in parts if part))


def _share(value: float, description: str) -> Field:
    return Field("range", description, value=value, min=0, max=1, step=0.05)


def _line() -> widgets.Layout:
    return widgets.Layout(width="100%", margin="0px")
