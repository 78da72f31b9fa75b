"""Heat over a picture: the one definition of colours, scale, frame, outline and verdict.

Figures, the explorer's maps and what it exports all come from here. The explorer's page draws the
maps under the mouse itself, from `palette` and from shares of the same scale.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from bclip_core.plotting.style import SEQUENTIAL

if TYPE_CHECKING:
    from bclip_core.evaluation.maps import TextMap

Picture = npt.NDArray[np.uint8]  # [H, W, 3]
Box = Sequence[float]  # x, y, width, height in pixels
Limits = tuple[float, float]  # the values drawn as coldest and as hottest

SIDE = 256  # about the width of a drawn picture, whose own pixels become whole squares
_COLOURS = mpl.colormaps[SEQUENTIAL](np.linspace(0, 1, 256), bytes=True)[:, :3].copy()


def judged_pixel(box: Box) -> tuple[int, int]:
    """Column and row of the pixel that a verdict is about: the centre of the hottest patch."""
    x, y, width, height = box
    return int(x + width / 2), int(y + height / 2)


def enlarged(image: Picture, side: int = SIDE) -> Image.Image:
    """The picture with every pixel repeated, near `side` wide; a larger picture stays as it is."""
    height, width = image.shape[:2]
    times = max(1, side // width)
    size = (times * width, times * height)
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST)


def framed(image: Picture, box: Box, side: int = SIDE) -> Image.Image:
    """The enlarged picture with one box framed in black and white, which is seen anywhere."""
    drawn = enlarged(image, side)
    _draw_frame(drawn, box, (drawn.width / image.shape[1], drawn.height / image.shape[0]))
    return drawn


def palette() -> npt.NDArray[np.uint8]:
    """The 256 colours from cold to hot, [256, 3]."""
    return _COLOURS.copy()


def shares(values: npt.NDArray[np.floating], limits: Limits) -> npt.NDArray[np.float64]:
    """Where values lie on a scale: 0 for its cold end and below, 1 for its hot end and above."""
    low, high = limits
    return np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)


def overlaid(
    image: Picture,
    item: TextMap,
    opacity: float = 0.6,
    threshold: float = 0.0,
    side: int = SIDE,
    limits: Limits | None = None,
    fading: bool = False,
) -> Image.Image:
    """A map over the grey picture, with the outline of what the text names and the hottest patch.

    Bright is hot. The frame is the hottest patch; a dot in it says that its centre lies on what
    the text names, a cross that it does not, neither that this is not known.

    Args:
        image: uint8 [H', W', 3]; the same view as the map's, at any resolution.
        item: the map, [H, W].
        opacity: of the map, in [0, 1].
        threshold: where the map is below this share of its own range, the picture is left bare.
        side: see `enlarged`.
        limits: the scale, which maps that are compared share; None takes the map's own range.
        fading: whether the map is the more transparent the colder it is.
    """
    drawn = enlarged(image, side)
    heat = Image.fromarray(item.heat.astype(np.float32))
    smooth = np.asarray(heat.resize(drawn.size, Image.Resampling.BILINEAR))
    own = (float(smooth.min()), float(smooth.max()))
    share = shares(smooth, limits or own)
    alpha = np.where(shares(smooth, own) >= threshold, opacity, 0.0)
    if fading:
        alpha = alpha * np.sqrt(share)
    colours, cover = (Image.fromarray(np.rint(255 * part).astype(np.uint8)) for part in
                      (share, alpha))  # fmt: skip
    colours.putpalette(_COLOURS.tobytes())
    drawn = Image.composite(colours.convert("RGB"), drawn.convert("L").convert("RGB"), cover)
    times = (drawn.width / item.heat.shape[1], drawn.height / item.heat.shape[0])
    if item.mask is not None:
        _outline(drawn, item.mask)
    _draw_frame(drawn, item.hottest, times)
    if item.hit is not None:
        _verdict(drawn, item.hottest, times, item.hit)
    return drawn


def encode_png(picture: Image.Image) -> bytes:
    """PNG, quickly rather than small."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _outline(drawn: Image.Image, mask: npt.NDArray[np.bool_]) -> None:
    """White, with black beside it."""
    large = Image.fromarray(mask.astype(np.uint8) * 255).resize(
        drawn.size, Image.Resampling.NEAREST
    )
    inner, outer, outermost = (
        large.filter(kind(size))
        for kind, size in (
            (ImageFilter.MinFilter, 3),
            (ImageFilter.MaxFilter, 3),
            (ImageFilter.MaxFilter, 7),
        )
    )
    for colour, ring in (("black", (outer, outermost)), ("white", (inner, outer))):
        inside, outside = (np.asarray(each) > 127 for each in ring)
        drawn.paste(colour, mask=Image.fromarray(outside & ~inside))


def _draw_frame(drawn: Image.Image, box: Box, times: tuple[float, float]) -> None:
    x, y, width, height = (a * b for a, b in zip((*times, *times), box, strict=True))
    pen = ImageDraw.Draw(drawn)
    for inset, colour in ((0, "white"), (2, "black")):
        corners = (x + inset, y + inset, x + width - 1 - inset, y + height - 1 - inset)
        if corners[2] - corners[0] > 4:
            pen.rectangle(corners, outline=colour, width=2)


def _verdict(drawn: Image.Image, box: Box, times: tuple[float, float], hit: bool) -> None:
    """A dot or a cross on the pixel that the verdict is about."""
    centre = tuple(a * (part + 0.5) for a, part in zip(times, judged_pixel(box), strict=True))
    pen = ImageDraw.Draw(drawn)
    for radius, colour, thick in ((8, "black", 6), (6, "white", 3)):
        left, top, right, bottom = (*(c - radius for c in centre), *(c + radius for c in centre))
        if hit:
            pen.ellipse((left, top, right, bottom), fill=colour)
        else:
            pen.line((left, top, right, bottom), fill=colour, width=thick)
            pen.line((left, bottom, right, top), fill=colour, width=thick)
