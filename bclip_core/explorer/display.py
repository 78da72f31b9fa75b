"""What the explorer shows: picture and maps, their words and two tables, drawn from numbers."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np
import numpy.typing as npt
from PIL import Image

from bclip_core.captions import text_key
from bclip_core.captions.rule_tagger import WORD
from bclip_core.explorer.cache import BoundedCache
from bclip_core.explorer.front import Stage
from bclip_core.explorer.tables import (
    answers_html,
    error_html,
    escaped,
    message_html,
    panel_html,
    panel_words,
    plain,
    scores_html,
)
from bclip_core.explorer.view import Panel, Shown
from bclip_core.plotting.heat import encode_png, framed, overlaid, palette, shares

CAPTION_SHOWN = 1_500  # characters of it below the maps
SIDE, SIDE_OF_MANY = 512, 320  # pixels of a drawn map; of each where there are many
MANY = 6
_LARGE = 256  # pixels; what is wider is a photograph, and sent as JPEG
_Array = npt.NDArray[np.uint8]
# By the array itself, which is kept beside what was made of it, so that its name stays its own.
_smaller: BoundedCache[tuple[int, int], tuple[_Array, _Array]] = BoundedCache(8)
_encoded: BoundedCache[int, tuple[_Array, str]] = BoundedCache(8)


class Display:
    """The widgets that show a view; they hold no settings.

    Args:
        choose: called with row and column of a patch that is chosen.
        look: called with a word of the caption that is clicked.

    Attributes:
        stage: picture, maps and caption.
        message, scores, answers: HTML with every text escaped.
    """

    def __init__(self, choose: Callable[[int, int], None], look: Callable[[str], None]) -> None:
        self.stage = Stage(choose, look)
        self.message, self.scores, self.answers = (widgets.HTML() for _ in range(3))
        for name in ("message", "scores", "answers"):
            getattr(self, name).add_class(f"bclip-{name}")

    def draw(self, shown: Shown) -> None:
        """Show a view."""
        state = stage_state(shown)
        with self.stage.hold_sync():
            self.stage.photos = state.pop("photos")  # of their own: they stay while maps change
            self.stage.state = state
        self.stage.failed = False
        self.scores.value, self.answers.value = scores_html(shown), answers_html(shown)
        self.message.value = message_html(shown)

    def fail(self, error: BaseException, still: Shown | None = None) -> None:
        """Show an error.

        Args:
            error: what went wrong.
            still: what stays in view; None clears the maps, which would be those of an earlier
                text or model.
        """
        self.message.value = error_html(error)
        if still is not None:
            reference = escaped(still.picture.title)
            self.message.value += f"<div>What is shown is still {reference}.</div>"
            return
        self.stage.failed = True
        self.scores.value = self.answers.value = ""


def stage_state(shown: Shown) -> dict[str, Any]:
    """A view as the page needs it: sources of images, escaped HTML, and maps as bytes."""
    first, view = shown.panels[0], shown.view
    panels = [panel for row in shown.rows for panel in row]
    side = SIDE if len(panels) < MANY else SIDE_OF_MANY
    row, column = first.patch
    photo = fitted(first.image, side)
    photos = {_photo(panel): panel.image for panel in shown.panels}
    box = _patch_box(first, photo)
    words = f"{plain(shown.picture.title)}, patch in row {row + 1}, column {column + 1}"
    return {
        "picture": {
            "source": source_of(framed(photo, box), first.image),
            "words": words,
            "html": f"<b>{escaped(shown.picture.title)}</b><br>"
            f"patch in row {row + 1}, column {column + 1}",
        },
        "panels": [_panel_state(panel, shown, side) for panel in panels],
        "columns": len(shown.panels),
        "photos": {name: photo_source(image) for name, image in photos.items()},
        "grid": list(first.grid),
        "patch": list(first.patch),
        "opacity": view.opacity,
        "threshold": view.threshold,
        "palette": base64.b64encode(palette().tobytes()).decode(),
        "bars": scale_bars(shown),
        "spoken": spoken_bytes(shown),
        "caption": _caption_tokens(shown),
    }


def _panel_state(panel: Panel, shown: Shown, side: int) -> dict[str, Any]:
    view = shown.view
    drawn = overlaid(
        fitted(panel.image, side),
        panel.item,
        view.opacity,
        view.threshold,
        limits=shown.limits_of(panel),
    )
    return {
        "source": source_of(drawn, panel.image),
        "words": f"{panel.title}. {panel_words(panel)}",
        "html": panel_html(panel, shown.view.also and panel.item.text),
        "grid": list(panel.grid),
        "photo": _photo(panel),
    }


def spoken_bytes(shown: Shown) -> dict[str, list[str]]:
    """Words and phrases with their map in every panel: a byte per patch, its share of the scale."""
    ends = [
        shown.limits_of(panel) or (min(panel.values), max(panel.values)) for panel in shown.panels
    ]
    return {
        text: [
            base64.b64encode(
                np.rint(255 * shares(values.numpy(), limits)).astype(np.uint8).tobytes()
            ).decode()
            for values, limits in zip(maps, ends, strict=True)
        ]
        for text, maps in shown.spoken.items()
    }


def scale_bars(shown: Shown) -> list[dict[str, str]]:
    """The colour scales that maps share, with their ends in words."""
    return [
        {"unit": unit, "low": f"{low:.2f}", "high": f"{high:.2f}"}
        for unit, (low, high) in shown.limits.items()
    ]


def fitted(image: _Array, side: int) -> _Array:
    """The picture at most `side` wide."""
    height, width = image.shape[:2]
    if width <= side:
        return image

    def make() -> tuple[_Array, _Array]:
        size = (side, max(1, round(side * height / width)))
        small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        return image, np.asarray(small)

    return _smaller.get((id(image), side), make)[1]


def png_source(picture: Image.Image) -> str:
    """A picture as the source of an image, pixel for pixel."""
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()


def photo_source(image: _Array) -> str:
    """The bare picture below a map as the source of an image; a large one as JPEG."""
    return _encoded.get(id(image), lambda: (image, source_of(Image.fromarray(image), image)))[1]


def source_of(drawn: Image.Image, image: _Array) -> str:
    """What is drawn over a picture: exact, or as good as that where the picture is a photograph."""
    return png_source(drawn) if image.shape[1] <= _LARGE else jpeg_source(drawn, 92)


def jpeg_source(picture: Image.Image, quality: int = 88) -> str:
    """A picture as the source of an image, small rather than exact."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)  # maps have sharp colours
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _photo(panel: Panel) -> str:
    height, width = panel.image.shape[:2]
    return f"{width} x {height}"  # what is cropped and what is whole differ in shape, or not at all


def _patch_box(panel: Panel, photo: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    height, width = (side / count for side, count in zip(photo.shape[:2], panel.grid, strict=True))
    row, column = panel.patch
    return (column * width, row * height, width, height)


def _caption_tokens(shown: Shown) -> list[list[str | None]]:
    """The caption in pieces, each with the word whose map it shows, or None."""
    spoken = {text_key(text): text for text in shown.spoken}
    caption = shown.picture.caption[:CAPTION_SHOWN]
    pieces: list[list[str | None]] = []
    end = 0
    for found in WORD.finditer(caption):
        pieces.append([plain_piece(caption[end : found.start()]), None])
        pieces.append([found[0], spoken.get(text_key(found[0]))])
        end = found.end()
    rest = plain_piece(caption[end:]) + ("…" if len(shown.picture.caption) > end + 200 else "")
    return [*pieces, [rest, None]]


def plain_piece(text: str) -> str:
    """What stands between two words, without line breaks."""
    return " ".join(text.split("\n"))
