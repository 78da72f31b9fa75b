"""The explorer in a notebook: controls around a `Workbench`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import ipywidgets as widgets

from bclip_core.data.images import list_pictures, open_picture
from bclip_core.explorer.catalogue import best_model
from bclip_core.explorer.controls import (
    BETWEEN,
    Controls,
    set_chips,
    set_options,
    split_texts,
)
from bclip_core.explorer.display import Display
from bclip_core.explorer.export import export_view
from bclip_core.explorer.offers import examples, thumbnails
from bclip_core.explorer.pictures import Picture, own_picture
from bclip_core.explorer.tables import escaped, plain
from bclip_core.explorer.view import MOST_TEXTS, Shown, View
from bclip_core.explorer.workbench import Workbench
from bclip_core.model import BClip
from bclip_core.records.files import from_home

GIVEN = "the given model"


class AttentionExplorer:
    """A picture, any text, and where models look for it. Display `widget`.

    Every change of a control makes a new `view`, which is computed and drawn; what goes wrong is
    shown in place of the maps, and the next change starts afresh.

    Args:
        models: one of one's own, or several by name (a model, or a checkpoint file); the untouched
            model and the finished runs on disk can be chosen in any case.
        scenes: the scenes to look at; None takes the smoke profile's test scenes.
        view: what to show first; None takes the first scene and the given model, or the shipped
            one with a pooler, or the run that hits most often.

    Attributes:
        workbench: computes the views.
        view: the settings of what is shown.
        shown: what is shown; None while an error is.
        controls: see `Controls`.
        display: see `Display`.
        widget: all of it.
    """

    def __init__(
        self,
        models: BClip | Mapping[str, BClip | Path] | None = None,
        scenes: datasets.Dataset | None = None,
        view: View | None = None,
    ) -> None:
        given = {GIVEN: models} if isinstance(models, BClip) else models
        self.workbench = Workbench(given, scenes)
        self.display = Display(self._choose_patch, self._look_for)
        self.controls = Controls(
            len(self.workbench.scenes), self.workbench.entries, self.display.stage.explorer,
            self.workbench.drawn,
        )  # fmt: skip
        self.examples = examples(self.workbench)
        self.controls.examples.options = [[name, name, ""] for name in self.examples]
        self.widget = self._arranged()
        self.shown: Shown | None = None
        self._silent = False
        self._offered: tuple[str, ...] = ()  # texts of the picture on show
        self.view = view or self._first_view(next(iter(given), None) if given else None)
        self.controls.thumbs.options = thumbnails(self.workbench)
        self._observe()
        with self._errors_in_place():
            self._start()

    def _first_view(self, model: str | None) -> View:
        name = model or best_model(self.workbench.entries)
        return View("scene 0", self.workbench.picture("scene 0").suggestion, (name,))

    def _start(self) -> None:
        """The first view, with its own caption and patch."""
        picture = self.workbench.picture(self.view.picture)
        if self.view.caption is not None:
            picture = self.workbench.captioned(picture, self.view.caption)
        self._offer(picture, self.view.text)
        self._set()

    def _arranged(self) -> widgets.Widget:
        controls, display = self.controls, self.display
        left = widgets.VBox([display.message, controls.scenes_box(), display.stage])
        below = widgets.HBox([display.scores, display.answers])
        below.layout.flex_flow = "row wrap"
        below.layout.grid_gap = "8px 40px"
        # A box of their own for maps and controls: the maps stay in view within it, and the tables
        # below it are never behind them.
        above = widgets.Box([left.add_class("bclip-left"), controls.box()])
        box = widgets.Box([above.add_class("bclip-above"), below.add_class("bclip-below")])
        return box.add_class("bclip-explorer")

    def _observe(self) -> None:
        controls = self.controls
        settings: dict[str, Callable[[Any], dict[str, Any]]] = {
            "text": lambda value: {"text": value},
            "also": lambda value: {"also": split_texts(value)},
            "sentences": self._clicked,
            "phrases": self._clicked,
            "second": lambda _: {"models": self._chosen_models()},
            "more": lambda _: {"models": self._chosen_models()},
            "shared": lambda value: {"scale": "shared" if value else "own"},
            "kind": lambda value: {"kind": value},
            "opacity": lambda value: {"opacity": value},
            "threshold": lambda value: {"threshold": value},
            "hottest": lambda value: {"patch": None if value else self._slider_patch()},
            "row": lambda _: {"patch": self._slider_patch()},
            "column": lambda _: {"patch": self._slider_patch()},
        }
        for name, changes in settings.items():
            getattr(controls, name).observe(self._on_change(changes), "value")
        sources: dict[str, Callable[[Any], None]] = {
            "model": self._set_model,
            "missed": lambda _: self._offer_scenes(),
            "examples": self._show_example,
            "thumbs": self._open_scene,
            "scene": self._open_scene,
            "path": self._open_path,
            "file": lambda value: self._enter(self.workbench.picture(value)) if value else None,
            "upload": self._open_upload,
            "caption": self._set_caption,
        }
        for name, act in sources.items():
            getattr(controls, name).observe(self._on_action(act), "value")
        # Enter again on the same path: the file may be another by now.
        again = self._on_action(lambda _: self._open_path(controls.path.value))
        controls.path.observe(again, "committed")
        controls.export.on_click(lambda _: self._on_action(self._export)({"new": None}))

    def _on_change(self, changes: Callable[[Any], dict[str, Any]]) -> Callable[[Any], None]:
        """What to do when a control says that some settings change."""
        return self._on_action(lambda value: self._set(**changes(value)))

    def _on_action(self, act: Callable[[Any], None]) -> Callable[[Any], None]:
        def handle(change: Mapping[str, Any]) -> None:
            if not self._silent:
                with self._errors_in_place():
                    act(change["new"])

        return handle

    @contextmanager
    def _errors_in_place(self) -> Iterator[None]:
        """Jupyter drops what a callback raises: show it where the reader looks.

        Meanwhile the page knows that something is being worked on.
        """
        self.display.stage.busy = "working"
        try:
            yield
        except Exception as error:
            unchanged = self.shown is not None and self.shown.view is self.view
            if not unchanged:
                self.shown = None
            self.display.fail(error, self.shown)
        finally:
            self.display.stage.busy = ""

    @contextmanager
    def _silently(self) -> Iterator[None]:
        """Set controls to what is shown without taking that for the reader's wish."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def _chosen_models(self) -> tuple[str, ...]:
        controls = self.controls
        names = (controls.model.value, controls.second.value, *controls.more.value)
        return tuple(dict.fromkeys(name for name in names if name))

    def _set_model(self, _: object) -> None:
        self._set(models=self._chosen_models(), patch=None)
        if self.controls.missed.value:
            self._offer_scenes()

    def _clicked(self, text: str | None) -> dict[str, Any]:
        """What a clicked phrase or sentence changes."""
        view = self.view
        if text is None or text == view.text:
            return {}
        if not self.controls.several.value:
            return {"text": text}
        return {"also": tuple(dict.fromkeys((*view.also, text)))[1 - MOST_TEXTS :]}

    def _look_for(self, text: str) -> None:
        with self._errors_in_place():
            self._set(**self._clicked(text))

    def _offer_scenes(self) -> None:
        """Thumbnails of all scenes, or of those that the model misses."""
        kept = None
        if self.controls.missed.value:
            kept = self.workbench.misses(self.view.models[0], self.view.kind)
        offered = thumbnails(self.workbench, kept)
        with self._silently():
            self.controls.thumbs.options = offered
        if kept is not None:
            label = self.workbench.entries[self.view.models[0]].label
            self.display.message.value += (
                f"<div>{escaped(label)} misses {len(kept)} of {len(self.workbench.scenes)} "
                "scenes, each by its first phrase.</div>"
            )

    def _open_scene(self, number: int | None) -> None:
        if number is not None:
            self._enter(self.workbench.picture(f"scene {int(number)}"))

    def _show_example(self, name: str | None) -> None:
        if name is None:
            return
        changes = self.examples[name]
        with self._silently():
            self.controls.examples.value = None
        picture = self.workbench.picture(changes["picture"])
        self._offer(picture, changes["text"])
        self._set(**{"also": (), "patch": None, "caption": None, **changes})

    def _slider_patch(self) -> tuple[int, int]:
        return int(self.controls.row.value) - 1, int(self.controls.column.value) - 1

    def _choose_patch(self, row: int, column: int) -> None:
        with self._errors_in_place():
            self._set(patch=(row, column))

    def _open_path(self, value: str) -> None:
        if not value.strip():
            return
        path = from_home(value.strip())
        self.controls.file.hidden = True
        if not path.is_dir():
            self._enter(self.workbench.picture(str(path)))
            return
        listing = list_pictures(path)
        names = [(plain(each.name), str(each)) for each in listing.paths]
        with self._silently():
            set_options(self.controls.file, names, names[0][1])
            self.controls.file.hidden = False
        self._enter(self.workbench.picture(names[0][1]))

    def _open_upload(self, files: Any) -> None:
        for file in files:
            image = open_picture(bytes(file["content"]), file["name"])
            self._enter(self.workbench.add(own_picture(image, f"upload {file['name']}")))

    def _set_caption(self, caption: str) -> None:
        picture = self.workbench.picture(self.view.picture)
        self._enter(self.workbench.captioned(picture, caption), caption)

    def _enter(self, picture: Picture, caption: str | None = None) -> None:
        """Look at a picture: offer its texts; keep the reader's own text, if there is one."""
        text = self.view.text
        if not text.strip() or (text in self._offered and text not in picture.texts):
            text = picture.suggestion  # what was clicked belongs to the picture before
        also = tuple(each for each in self.view.also if each not in self._offered)
        self._offer(picture, text)
        keep = {} if caption is not None else {"patch": None, "picture": picture.reference}
        self._set(text=text, also=also, caption=caption, **keep)

    def _offer(self, picture: Picture, text: str) -> None:
        self._offered = picture.texts
        with self._silently():
            self.controls.caption.value = picture.caption
            set_chips(self.controls.sentences, picture.sentences, text)
            set_chips(self.controls.phrases, picture.phrases, text)

    def _set(self, **changes: Any) -> None:
        """Change the view, compute it, draw it, and bring the controls in line with it."""
        self.view = self.view.replace(**changes)
        shown = self.workbench.compute(self.view)
        self.display.draw(shown)
        self._align(shown)
        self.shown = shown

    def _align(self, shown: Shown) -> None:
        controls, view, first = self.controls, shown.view, shown.panels[0]
        kinds = self.workbench.kinds(view.models)
        with self._silently():
            controls.text.value = view.text
            controls.also.value = f" {BETWEEN} ".join(view.also)
            if scene := re.fullmatch(r"scene (\d+)", view.picture):
                controls.scene.value = int(scene[1])
            controls.thumbs.value = int(scene[1]) if scene else None
            for chips in (controls.sentences, controls.phrases):
                chips.value = view.text if view.text in chips.values else None
            controls.model.value = view.models[0]
            controls.second.value = view.models[1] if len(view.models) > 1 else ""
            controls.more.value = list(view.models[2:])
            controls.shared.value = view.scale == "shared"
            set_options(controls.kind, [(kind, kind) for kind in kinds],
                        view.kind if view.kind in kinds else kinds[0])  # fmt: skip
            controls.opacity.value, controls.threshold.value = view.opacity, view.threshold
            controls.hottest.value = view.patch is None
            controls.row.max, controls.column.max = first.grid
            controls.row.value, controls.column.value = (part + 1 for part in first.patch)

    def _export(self, _: object) -> None:
        if self.shown is None:
            raise ValueError("there is nothing to export while an error is shown")
        files = export_view(self.shown, self.controls.name.value.strip())
        names = ", ".join(escaped(str(file), 300) for file in files)
        self.display.message.value = f'<div role="status">Written: {names}.</div>'
