"""Pictures with their texts, and maps laid over pictures."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from PIL import Image, ImageDraw, ImageFilter

from bclip_core.plotting.style import COLOURS, SEQUENTIAL, style

if TYPE_CHECKING:
    from bclip_core.evaluation.maps import TextMap

Picture = npt.NDArray[np.uint8]  # [H, W, 3]
Box = Sequence[float]  # x, y, width, height in pixels

_WRAP = 28  # characters of a line of text under a picture
_LINE = 0.155  # inches of such a line
_TITLE_LINE = 0.14  # inches of a line above a map
_OUTLINE = [Stroke(linewidth=2.6, foreground="black"), Normal()]  # white on black: seen anywhere


def scene_gallery(
    images: Sequence[Picture],
    captions: Sequence[str],
    phrases: Sequence[Sequence[str]] = (),
    boxes: Sequence[Sequence[Box | None]] = (),
    columns: int = 4,
) -> Figure:
    """Pictures, each with its caption and, in colour, phrases with the box of what they name.

    Args:
        images: uint8 [H, W, 3] each.
        captions: one per picture, in black below it.
        phrases: for each picture a few phrases; the colour of phrase j is that of its box.
        boxes: for each picture one box per phrase, None where there is nothing to frame.
        columns: pictures in a row.

    Raises:
        ValueError: the arguments differ in length.
    """
    phrases, boxes = phrases or [()] * len(images), boxes or [()] * len(images)
    if not len(images) == len(captions) == len(phrases) == len(boxes):
        counts = [len(images), len(captions), len(phrases), len(boxes)]
        raise ValueError(f"images, captions, phrases, boxes: {counts}: expected equal counts")
    blocks = [_wrap_texts(*texts) for texts in zip(captions, phrases, strict=True)]
    lines = max((sum(text.count("\n") + 1 for text, _ in block) for block in blocks), default=0)
    rows = math.ceil(len(images) / columns)
    height = 1.75 + _LINE * lines
    with style():
        figure = Figure(figsize=(1.95 * columns, height * rows))
        bottom = _LINE * lines / height
        axes = figure.subplots(
            rows,
            columns,
            squeeze=False,
            gridspec_kw={
                "left": 0.01,
                "right": 0.99,
                "top": 0.99,
                "bottom": bottom / rows,
                "hspace": 1.15 * _LINE * lines / 1.75,
                "wspace": 0.12,
            },
        ).flatten()
        for panel in axes[len(images) :]:
            panel.set_axis_off()
        for panel, image, block, framed in zip(axes, images, blocks, boxes, strict=False):
            bare_picture(panel, image)
            _write_below(panel, block)
            for number, box in enumerate(framed):
                if box is not None:
                    panel.add_patch(_frame(box, COLOURS[number % len(COLOURS)]))
    return figure


def _wrap_texts(caption: str, phrases: Sequence[str]) -> list[tuple[str, str]]:
    """(wrapped text, colour) of the lines below a picture."""
    texts = [(caption, "black")]
    texts += [(text, COLOURS[number % len(COLOURS)]) for number, text in enumerate(phrases)]
    return [("\n".join(textwrap.wrap(text, _WRAP)), colour) for text, colour in texts]


def _write_below(panel: Axes, block: Sequence[tuple[str, str]]) -> None:
    offset = -3.0  # points below the picture
    for text, colour in block:
        panel.annotate(
            text,
            (0, 0),
            xytext=(0, offset),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            color=colour,
            fontsize=8,
            linespacing=1.15,
            parse_math=False,
        )
        offset -= 72 * _LINE * (text.count("\n") + 1)


def _frame(box: Box, colour: str) -> Rectangle:
    x, y, width, height = box
    frame = Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour, linewidth=2)
    frame.set_path_effects([Stroke(linewidth=3.5, foreground="white"), Normal()])
    return frame


def attention_grid(
    images: Sequence[Picture],
    maps: Sequence[Sequence[TextMap]],
    titles: Sequence[str] = (),
    opacity: float = 0.6,
    scales: Sequence[str] = (),
) -> Figure:
    """A row per picture: the picture, then one map per text laid over its grey version.

    Bright is hot, each map on its own scale unless `scales` says otherwise. The white line is the
    outline of what the text names; the hottest patch is framed, with a dot when its centre lies
    on the object (hit) and a cross when it doesn't (miss).

    Args:
        images: uint8 [H, W, 3] each.
        maps: for each picture its maps, see `evaluation.maps.TextMap`.
        titles: of the rows, above the picture.
        opacity: of the maps, in [0, 1].
        scales: for each row what its maps are measured in; rows of one name share one colour scale
            and one colour bar, so that their colours may be compared.

    Raises:
        ValueError: not one row of maps (and title, and scale, if any) per picture.
    """
    if len(maps) != len(images) or any(len(given) not in (0, len(images)) for given in
                                       (titles, scales)):  # fmt: skip
        counts = [len(images), len(maps), len(titles), len(scales)]
        raise ValueError(f"images, maps, titles, scales: {counts}: expected one per picture")
    columns = 1 + max(map(len, maps))
    lines = [max(_title(item).count("\n") + 1 for item in texts) for texts in maps]
    heights = [1.62 + _TITLE_LINE * count + 0.1 for count in lines]
    with style():
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
        size = (1.62 * columns + (0.8 if scales else 0), sum(heights))
        figure = Figure(figsize=size, layout=layout)
        axes = figure.subplots(len(images), columns, squeeze=False, height_ratios=heights)
        for panel in axes.flat:
            panel.set_anchor("S")  # else square pictures push their titles off the page
        limits = _common_limits(maps, scales)
        for number, (row, image, texts) in enumerate(zip(axes, images, maps, strict=True)):
            bare_picture(row[0], image)
            if titles:
                row[0].set_title(titles[number], fontsize=8, parse_math=False)
            shared = limits[scales[number]] if scales else None
            for panel, item in zip(row[1:], texts, strict=False):
                map_over_picture(panel, image, item, opacity, shared)
            for panel in row[1 + len(texts) :]:
                panel.set_axis_off()
        for scale, (low, high) in limits.items():
            rows = [row for row, name in zip(axes, scales, strict=True) if name == scale]
            colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, high), SEQUENTIAL)
            figure.colorbar(colours, ax=np.stack(rows), label=scale, fraction=0.05, aspect=30)
    return figure


def _common_limits(
    maps: Sequence[Sequence[TextMap]], scales: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of all maps that share a scale, by its name."""
    found: dict[str, tuple[float, float]] = {}
    for name, texts in zip(scales, maps, strict=False):
        for item in texts:
            low, high = found.get(name, (math.inf, -math.inf))
            found[name] = (min(low, float(item.heat.min())), max(high, float(item.heat.max())))
    return found


def map_over_picture(
    panel: Axes,
    image: Picture,
    item: TextMap,
    opacity: float = 0.6,
    limits: tuple[float, float] | None = None,
    fading: bool = False,
) -> None:
    """One map over the grey picture, as in `attention_grid`.

    Args:
        panel: where to.
        image: uint8 [H, W, 3].
        item: the map.
        opacity: of the map, in [0, 1].
        limits: the values that are coldest and hottest; None takes the map's own.
        fading: whether the map is the more transparent the colder it is, so that the picture can
            be seen wherever nothing is to be told.
    """
    grey = image.astype(float).mean(axis=2)
    bare_picture(panel, grey, cmap="gray", vmin=0, vmax=255)
    low, high = limits or (float(item.heat.min()), float(item.heat.max()))
    share = np.clip((item.heat - low) / max(high - low, 1e-12), 0, 1)
    alpha = opacity * np.sqrt(share) if fading else opacity
    panel.imshow(item.heat, cmap=SEQUENTIAL, alpha=alpha, vmin=low, vmax=high)
    if item.mask is not None and item.mask.any():
        contour = panel.contour(item.mask, levels=[0.5], colors="white", linewidths=1.2)
        contour.set_path_effects(_OUTLINE)
    panel.add_patch(_frame(item.hottest, "black"))
    if item.hit is not None:
        marker, size = ("o", 5) if item.hit else ("x", 7)
        centre = judged_pixel(item.hottest)
        panel.plot(*centre, marker, color="white", ms=size, mew=1.6, path_effects=_OUTLINE)
    panel.set_title(_title(item), fontsize=7.5, parse_math=False)


def _title(item: TextMap) -> str:
    """The text in at most three lines, and what its hottest patch is."""
    verdict = "" if item.hit is None else (", hit" if item.hit else ", miss")
    words = textwrap.wrap(item.text, 22, max_lines=3, placeholder=" …")
    return "\n".join([*words, f"({item.note}{verdict})"])


def judged_pixel(box: Box) -> tuple[int, int]:
    """Column and row of the pixel that a verdict is about: the centre of the hottest patch."""
    x, y, width, height = box
    return int(x + width / 2), int(y + height / 2)


def bare_picture(panel: Axes, image: npt.NDArray[Any], **options: Any) -> None:
    """The picture's own pixels, without axes; options go to `imshow`."""
    panel.imshow(image, interpolation="nearest", **options)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_visible(False)


SIDE = 256  # about the width of a drawn picture, whose own pixels become whole squares
_COLOURS = (255 * mpl.colormaps[SEQUENTIAL](np.linspace(0, 1, 256))[:, :3]).astype(np.float32)


def enlarged(image: Picture, side: int = SIDE) -> Image.Image:
    """The picture with every pixel repeated, near `side` wide; a larger picture stays as it is."""
    height, width = image.shape[:2]
    times = max(1, side // width)
    size = (times * width, times * height)
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST)


def framed(image: Picture, box: Box, side: int = SIDE) -> Image.Image:
    """The enlarged picture with one box framed in black and white, which is seen anywhere."""
    drawn = enlarged(image, side)
    _draw_frame(drawn, box, drawn.width / image.shape[1])
    return drawn


def overlaid(
    image: Picture, item: TextMap, opacity: float = 0.6, threshold: float = 0.0, side: int = SIDE
) -> Image.Image:
    """A map over the grey picture, with the outline of what the text names and the hottest patch.

    Bright is hot. The frame is the hottest patch; a dot in it says that its centre lies on what
    the text names, a cross that it does not, neither that this is not known.

    Args:
        image: uint8 [H, W, 3].
        item: the map, [H, W].
        opacity: of the map, in [0, 1].
        threshold: where the map is below this share of its range, the picture is left bare.
        side: see `enlarged`.
    """
    drawn = enlarged(image, side)
    grey = np.asarray(drawn.convert("L"), dtype=np.float32)[..., None]
    heat = Image.fromarray(item.heat.astype(np.float32))
    smooth = np.asarray(heat.resize(drawn.size, Image.Resampling.BILINEAR))
    share = (smooth - smooth.min()) / max(float(np.ptp(smooth)), 1e-12)
    alpha = np.where(share >= threshold, opacity, 0.0)[..., None]
    colours = _COLOURS[np.rint(255 * share).astype(int)]
    drawn = Image.fromarray(np.rint((1 - alpha) * grey + alpha * colours).astype(np.uint8))
    times = drawn.width / image.shape[1]
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


def _draw_frame(drawn: Image.Image, box: Box, times: float) -> None:
    x, y, width, height = (times * value for value in box)
    pen = ImageDraw.Draw(drawn)
    for inset, colour in ((0, "white"), (2, "black")):
        corners = (x + inset, y + inset, x + width - 1 - inset, y + height - 1 - inset)
        if corners[2] - corners[0] > 4:
            pen.rectangle(corners, outline=colour, width=2)


def _verdict(drawn: Image.Image, box: Box, times: float, hit: bool) -> None:
    """A dot or a cross on the pixel that the verdict is about."""
    centre = tuple(times * (part + 0.5) for part in judged_pixel(box))
    pen = ImageDraw.Draw(drawn)
    for radius, colour, thick in ((8, "black", 6), (6, "white", 3)):
        left, top, right, bottom = (*(c - radius for c in centre), *(c + radius for c in centre))
        if hit:
            pen.ellipse((left, top, right, bottom), fill=colour)
        else:
            pen.line((left, top, right, bottom), fill=colour, width=thick)
            pen.line((left, bottom, right, top), fill=colour, width=thick)
