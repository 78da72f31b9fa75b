"""The widgets whose page side is ours: one control, and the stage of picture, maps and caption.

Native elements of the page stand behind every control, each with a name that a screen reader
reads; what they do is in `page/*.js`. All else of the explorer is ipywidgets'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

PAGE = Path(__file__).parent / "page"
_numbers = iter(range(10**9))


def page_text(*names: str) -> str:
    """Some files of the page, one after another."""
    return "\n".join((PAGE / name).read_text(encoding="utf-8") for name in names)


class Field(anywidget.AnyWidget):
    """One control.

    Attributes:
        kind: "text" (one line), "area" (Enter commits, Shift-Enter is a new line), "range",
            "select", "chips" or "thumbs".
        description: its name, which is its label too.
        value: what is written or chosen; None where nothing is.
        options: of a list, chips or thumbnails: label, value, and a heading (list), the whole text
            (chips) or the source of an image (thumbnails, after the text).
        multiple: whether several options of a list can be chosen; the value is a list then.
        committed: counts Enter on a value that had been entered before.
        hidden: whether it is left out of the page.
        explorer: by which chips tell the stage of their explorer what is under the mouse.
    """

    _esm = page_text("field.js")
    kind = traitlets.Unicode("text").tag(sync=True)
    key = traitlets.Unicode().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)
    value = traitlets.Any("").tag(sync=True)
    options: traitlets.List[Any] = traitlets.List().tag(sync=True)
    multiple = traitlets.Bool(False).tag(sync=True)
    min = traitlets.Float(0).tag(sync=True)
    max = traitlets.Float(1).tag(sync=True)
    step = traitlets.Float(1).tag(sync=True)
    committed = traitlets.Int(0).tag(sync=True)
    hidden = traitlets.Bool(False).tag(sync=True)
    explorer = traitlets.Unicode().tag(sync=True)

    def __init__(self, kind: str, description: str, **settings: Any) -> None:
        super().__init__(
            kind=kind, description=description, key=f"field-{next(_numbers)}", **settings
        )

    @property
    def values(self) -> list[Any]:
        """The values of its options."""
        return [option[1] for option in self.options]


class Stage(anywidget.AnyWidget):
    """Picture, maps and caption, drawn from a state of plain values; see `display.stage_state`.

    Args:
        choose: called with row and column of a patch that is clicked or reached by arrow keys.
        look: called with a word of the caption that is clicked.

    Attributes:
        state: what is shown.
        photos: the bare pictures below the maps, by the names that the state has for them.
        busy: what is being worked on; the page shows it once it has lasted 0.3 s.
        failed: whether there is nothing to show.
        explorer: a name that its chips know.
    """

    _esm = page_text("draw.js", "stage.js")
    _css = page_text("explorer.css")
    state = traitlets.Dict().tag(sync=True)
    photos = traitlets.Dict().tag(sync=True)
    busy = traitlets.Unicode().tag(sync=True)
    failed = traitlets.Bool(False).tag(sync=True)
    explorer = traitlets.Unicode().tag(sync=True)

    def __init__(self, choose: Callable[[int, int], None], look: Callable[[str], None]) -> None:
        super().__init__(explorer=f"explorer-{next(_numbers)}")
        self._choose, self._look = choose, look
        self.on_msg(self._heard)

    def _heard(self, _stage: Any, content: Mapping[str, Any], _buffers: Any = None) -> None:
        if content.get("kind") == "patch":
            self._choose(int(content["row"]), int(content["column"]))
        elif content.get("kind") == "text":
            self._look(str(content["text"]))
