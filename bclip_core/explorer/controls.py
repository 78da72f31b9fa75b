"""The explorer's controls, and how they are laid out; what they do is the widget's affair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from bclip_core.explorer.catalogue import ModelEntry
from bclip_core.explorer.tables import plain

# A slider or a text box reports once, when it is let go of or Enter is pressed.
_LATE: dict[str, Any] = {"continuous_update": False}
_LABEL = {"description_width": "92px"}
_WIDTH = "420px"


class Controls:
    """Every control by name; each has a description that a screen reader can read.

    Args:
        scenes: how many scenes there are.
        entries: the models to choose from.
    """

    def __init__(self, scenes: int, entries: Mapping[str, ModelEntry]) -> None:
        names = [(entry.label, name) for name, entry in entries.items()]
        self.scene = widgets.IntSlider(0, 0, scenes - 1, description="scene", **_LATE, **_row())
        self.path = _text("file or folder", "path of a picture or of a folder, Enter")
        self.file = widgets.Dropdown(options=[], description="in this folder", **_row())
        self.file.layout.display = "none"
        self.upload = widgets.FileUpload(
            accept="image/*",
            multiple=False,
            description="upload a picture",
            layout=widgets.Layout(
                width="auto", align_self="flex-start", margin="2px 0px 2px 100px"
            ),
        )
        self.caption = widgets.Textarea(
            description="caption",
            placeholder="what the picture shows; its sentences and phrases appear below",
            rows=3,
            **_LATE,
            **_row(),
        )
        self.text = _text("look for", "any text, Enter")
        self.sentences = _chips("sentences of the caption")
        self.phrases = _chips("phrases of the caption")
        self.model = widgets.Dropdown(options=names, description="model", **_row())
        self.second = widgets.Dropdown(
            options=[("none", ""), *names], description="beside it", **_row()
        )
        self.kind = widgets.Dropdown(options=["mean"], description="map", **_row())
        self.opacity = _share(0.6, "opacity")
        self.threshold = _share(0.0, "threshold")
        self.hottest = widgets.Checkbox(
            True, description="follow the hottest patch", indent=False, **_row("220px")
        )
        self.row = widgets.IntSlider(1, 1, 1, description="patch row", **_LATE, **_row("330px"))
        self.column = widgets.IntSlider(
            1, 1, 1, description="patch column", **_LATE, **_row("330px")
        )
        self.name = _text("export as", "lower-case words joined by underscores")
        self.name.value = "view"
        self.export = widgets.Button(
            description="export PNG and JSON", layout=widgets.Layout(width="auto")
        )
        for name, control in vars(self).items():
            control.add_class(f"bclip-{name}")

    def box(self) -> widgets.Widget:
        """The controls above the picture."""
        source = [self.scene, self.path, self.file, self.upload, self.caption]
        look = [self.text, self.model, self.second, self.kind, self.opacity, self.threshold]
        columns = widgets.HBox([widgets.VBox(source), widgets.VBox(look)])
        columns.layout.flex_flow = "row wrap"
        chips = [
            widgets.HBox([widgets.Label(label, layout=widgets.Layout(flex="0 0 96px")), control])
            for label, control in (("sentences", self.sentences), ("phrases", self.phrases))
        ]
        return widgets.VBox([columns, *chips])

    def patch_box(self) -> widgets.Widget:
        """The controls of the patch."""
        return _wrapping([self.hottest, self.row, self.column])

    def export_box(self) -> widgets.Widget:
        """The controls of the export."""
        return _wrapping([self.name, self.export])


def set_options(
    control: widgets.Dropdown, options: Sequence[tuple[str, Any]], value: Any = None
) -> None:
    """Options and value of a list together; labels that are the same get a number."""
    seen: dict[str, int] = {}
    distinct = []
    for label, each in options:
        seen[label] = seen.get(label, 0) + 1
        distinct.append((label if seen[label] == 1 else f"{label} ({seen[label]})", each))
    if list(control.options) != distinct:
        control.options = distinct
    control.value = value


def set_chips(control: widgets.ToggleButtons, texts: Sequence[str], value: str) -> None:
    """Offer texts as buttons; the one that equals `value` is pressed."""
    control.index = None
    control.tooltips = [plain(text, 300) for text in texts]
    set_options(control, [(plain(text), text) for text in texts], value if value in texts else None)
    control.layout.display = "flex" if texts else "none"


def _row(width: str = _WIDTH) -> dict[str, Any]:
    return {"layout": widgets.Layout(width=width), "style": _LABEL}


def _text(description: str, placeholder: str) -> widgets.Text:
    return widgets.Text(description=description, placeholder=placeholder, **_LATE, **_row())


def _share(value: float, description: str) -> widgets.FloatSlider:
    return widgets.FloatSlider(value, min=0, max=1, step=0.05, description=description,
                               **_LATE, **_row())  # fmt: skip


def _chips(words: str) -> widgets.ToggleButtons:
    layout = widgets.Layout(max_height="112px", overflow="hidden auto", flex="1 1 auto")
    return widgets.ToggleButtons(
        options=[], tooltip=words, layout=layout, style={"button_width": "auto"}
    )


def _wrapping(controls: Sequence[widgets.Widget]) -> widgets.HBox:
    return widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap"))
