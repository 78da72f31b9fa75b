"""What the explorer offers to click: examples of what can be asked, and thumbnails of scenes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PIL import Image

from bclip_core.evaluation.maps import choose_phrases
from bclip_core.explorer.display import jpeg_source
from bclip_core.explorer.workbench import Workbench

MOST_THUMBNAILS = 200
_SIDE = 48  # pixels


def examples(workbench: Workbench) -> dict[str, dict[str, Any]]:
    """What a view is changed to, by a few words that say what can be seen in it."""
    picture = workbench.picture("scene 0")
    first = picture.suggestion
    other = choose_phrases(workbench.scenes[0], 2)[0][-1:] or [first]
    found: dict[str, dict[str, Any]] = {
        "one object": {"text": first},
        "two objects": {"text": first, "also": tuple(other)},
        "a whole sentence": {"text": max(picture.sentences, key=len, default=first)},
        "one attribute wrong": {"text": next(iter(picture.others), first)},
        "what is not there": {"text": "a dog on a sofa"},
    }
    return {name: {"picture": picture.reference, **changes} for name, changes in found.items()}


def thumbnails(workbench: Workbench, scenes: Iterable[int] | None = None) -> list[list[Any]]:
    """Options of thumbnails: words, number, words, source; None takes all scenes."""
    numbers = range(len(workbench.scenes)) if scenes is None else scenes
    chosen = list(numbers)[:MOST_THUMBNAILS]
    images = workbench.scenes.select_columns(["image"])
    one = "scene" if workbench.drawn else "picture"
    return [
        [f"{one} {number}", number, f"{one} {number}", _source(images[number]["image"])]
        for number in chosen
    ]


def _source(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    return jpeg_source(small, 80)
