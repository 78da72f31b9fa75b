"""What to show, as plain settings, and what is shown, as numbers: no widget and no figure here."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bclip_core.evaluation.maps import TextMap
from bclip_core.explorer.pictures import Picture

MOST_MODELS, MOST_TEXTS = 9, 6  # drawn side by side
SCALES = ("shared", "own")


@dataclass(frozen=True)
class View:
    """The settings of one view; with the same pictures and models it is the same view again.

    Attributes:
        picture: "scene 3" (a row of the scenes), the path of a file, or "upload NAME".
        text: what to look for.
        models: names of one or several models, see `catalogue.find_models`.
        kind: "mean" of the heads, "head 1", ..., or "cosine"; a model without pooler has the
            cosine alone.
        opacity: of the maps over the picture, in [0, 1].
        threshold: what of a map is left out, as a share of its range from coldest to hottest.
        patch: row and column of the patch that is asked about, counted from 0 on the first model's
            grid; None takes the hottest one of the first map.
        caption: in place of the picture's own; None keeps that.
        also: more texts whose maps are drawn below those of `text`.
        scale: "shared" draws all maps of one unit on one colour scale, so that they can be
            compared; "own" draws each from its own coldest to its own hottest.

    Raises:
        ValueError: a setting is not allowed; the message names it, its value and what is.
    """

    picture: str
    text: str
    models: tuple[str, ...] = ("clip",)
    kind: str = "mean"
    opacity: float = 0.6
    threshold: float = 0.0
    patch: tuple[int, int] | None = None
    caption: str | None = None
    also: tuple[str, ...] = ()
    scale: str = "shared"

    def __post_init__(self) -> None:
        if isinstance(self.picture, os.PathLike):
            object.__setattr__(self, "picture", os.fspath(self.picture))
        for name in ("models", "also"):  # JSON gives lists
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Iterable):
                raise ValueError(f"{name}={given!r}: expected texts in a tuple or list")
            object.__setattr__(self, name, tuple(given))
        _refuse_other_types(self)
        if not 1 <= len(set(self.models)) == len(self.models) <= MOST_MODELS:
            raise ValueError(
                f"models={self.models}: expected 1 to {MOST_MODELS} names, each of them once"
            )
        if not re.fullmatch(r"mean|cosine|head [1-9]\d*", self.kind):
            raise ValueError(f"kind={self.kind!r}: expected mean, cosine, or head 1, head 2, ...")
        if len(self.also) >= MOST_TEXTS or not all(text.strip() for text in self.also):
            raise ValueError(
                f"also={self.also}: expected fewer than {MOST_TEXTS} texts, of a word or more each"
            )
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r}: expected one of {', '.join(SCALES)}")
        for name in ("opacity", "threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected a number in [0, 1]")
        if self.patch is not None:
            parts = tuple(self.patch)
            object.__setattr__(self, "patch", parts)
            if len(parts) != 2 or any(type(part) is not int or part < 0 for part in parts):
                raise ValueError(f"patch={self.patch!r}: expected row and column, from 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `View(**values)` is the inverse."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> View:
        """A copy with some settings changed, checked again."""
        return dataclasses.replace(self, **changes)


def _refuse_other_types(view: View) -> None:
    texts = {name: getattr(view, name) for name in ("picture", "text", "kind", "scale")}
    texts |= {"caption": "" if view.caption is None else view.caption}
    texts |= {f"models[{number}]": text for number, text in enumerate(view.models)}
    texts |= {f"also[{number}]": text for number, text in enumerate(view.also)}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{name}={text!r}: expected a text")
    for name in ("opacity", "threshold"):
        number = getattr(view, name)
        if not isinstance(number, Real):
            raise ValueError(f"{name}={number!r}: expected a number in [0, 1]")


class Panel(NamedTuple):
    """One model's map of the text.

    Attributes:
        model: the model's label.
        kind: what its map shows, one of `PictureMaps.kinds`.
        image: the part of the picture that this model sees, at the picture's own resolution (at
            most `pictures.LARGEST_DRAWN` wide), uint8 [H, W, 3].
        item: the map, its hottest patch and, where the answer is known, mask and verdict.
        grid: rows and columns of patches.
        hottest: row and column of the hottest patch.
        patch: row and column of the patch that is asked about, on this grid.
        pooled: cosine of the picture pooled under the text with the text; None without a pooler.
        values: the map patch by patch, [P].
        even: whether the attention is no better than even, see `readings.EVEN`.
    """

    model: str
    kind: str
    image: npt.NDArray[np.uint8]
    item: TextMap
    grid: tuple[int, int]
    hottest: tuple[int, int]
    patch: tuple[int, int]
    pooled: float | None
    values: tuple[float, ...] = ()
    even: bool = False

    @property
    def unit(self) -> str:
        """What the map's values are: "cosine", or "× even" for attention."""
        return "cosine" if self.kind == "cosine" else "× even"

    @property
    def kind_in_words(self) -> str:
        """What the map shows."""
        words = {"mean": "attention", "cosine": "patch cosine"}
        return words.get(self.kind, f"attention of {self.kind}")

    @property
    def title(self) -> str:
        """Model and kind of map in words."""
        return f"{self.model}: {self.kind_in_words}"


class Score(NamedTuple):
    """A text against the whole picture.

    Attributes:
        text: the text.
        group: "text" (the one asked for), "caption" (its sentences and phrases too) or "other".
        values: its cosine with the picture, one per model of `Shown.scored`.
    """

    text: str
    group: str
    values: tuple[float, ...]


class Answers(NamedTuple):
    """Which of the caption's words and phrases one patch answers to, in one panel.

    Attributes:
        title: the panel's.
        unit: what the values are: "× even" attention or "cosine".
        ranking: the words and phrases with the highest values, best first.
        average: the mean value of all words and phrases at this patch, `asked` in number.
    """

    title: str
    unit: str
    ranking: tuple[tuple[str, float], ...]
    average: float = 0.0
    asked: int = 0


class Shown(NamedTuple):
    """Everything that a view shows.

    Attributes:
        view: the settings.
        picture: what is looked at.
        panels: one per chosen model, then the untouched model's patch cosine (it knows scenes; not
            where the rows to look through are photographs).
        scored: labels of the models that scores are of.
        scores: some texts, from high to low under the first model; the view's text is among them.
        rank: place of the view's text among all `compared` texts under the first model, from 1.
        compared: how many texts were compared.
        answers: one per panel; empty rankings when there is no caption.
        notes: what a reader should know, for example that a text was cut.
        also: the panels of each further text of the view, in its order.
        limits: the colour scale of each unit that the maps share; empty where each has its own.
        spoken: words and phrases with every panel's map of them, for what is under the mouse.
    """

    view: View
    picture: Picture
    panels: tuple[Panel, ...]
    scored: tuple[str, ...]
    scores: tuple[Score, ...]
    rank: int
    compared: int
    answers: tuple[Answers, ...]
    notes: tuple[str, ...]
    also: tuple[tuple[Panel, ...], ...] = ()
    limits: Mapping[str, tuple[float, float]] = {}
    spoken: Mapping[str, tuple[Tensor, ...]] = {}

    @property
    def rows(self) -> tuple[tuple[Panel, ...], ...]:
        """The panels text by text."""
        return (self.panels, *self.also)

    def limits_of(self, panel: Panel) -> tuple[float, float] | None:
        """The scale that a panel shares with others of its unit; None where it has its own."""
        return self.limits.get(panel.unit)

    def numbers(self) -> dict[str, Any]:
        """What is drawn, rounded to six decimals, with the settings; ready for JSON."""
        return {
            "view": self.view.to_dict(),
            "picture_sha256": self.picture.key,
            "panels": [_panel_numbers(panel) for panel in self.panels],
            "also": {
                text: [_panel_numbers(panel) for panel in row]
                for text, row in zip(self.view.also, self.also, strict=True)
            },
            "scales": {unit: [round(end, 6) for end in ends] for unit, ends in self.limits.items()},
            "scored": self.scored,
            "scores": [
                [score.text, score.group, *(round(value, 6) for value in score.values)]
                for score in self.scores
            ],
            "rank": [self.rank, self.compared],
            "answers": {
                answer.title: [[text, round(value, 6)] for text, value in answer.ranking]
                for answer in self.answers
            },
            "notes": self.notes,
        }


def _panel_numbers(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "hottest_patch": panel.hottest,
        "hit": panel.item.hit,
        "note": panel.item.note,
        "pooled_cosine": None if panel.pooled is None else round(panel.pooled, 6),
    }
