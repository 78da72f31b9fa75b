"""Pictures with their texts, and maps laid over pictures."""

from __future__ import annotations

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

from bclip_core.plotting.heat import Box, Picture, overlaid
from bclip_core.plotting.style import COLOURS, SEQUENTIAL, style

if TYPE_CHECKING:
    from bclip_core.evaluation.maps import TextMap

COLDEST = 0.5  # times an even share; attention below that is all cold on a logarithmic scale
_WRAP = 28  # characters of a line of text under a picture
_LINE = 0.155  # inches of such a line
_TITLE_LINE = 0.14  # inches of a line above a map
_SIDE = 384  # pixels of a drawn map: sharp in print at the size of a panel


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
    logarithmic: bool = False,
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
        logarithmic: whether these scales are, for attention of which a few maps are many times
            hotter than the others; all below `COLDEST` times an even share is drawn alike.

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
        if logarithmic:
            maps = [[item._replace(heat=np.log(np.maximum(item.heat, COLDEST))) for item in texts]
                    for texts in maps]  # fmt: skip
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
            norm = mpl.colors.Normalize(low, high)
            if logarithmic:
                norm = mpl.colors.LogNorm(math.exp(low), math.exp(high))
            colours = mpl.cm.ScalarMappable(norm, SEQUENTIAL)
            bar = figure.colorbar(colours, ax=np.stack(rows), label=scale, fraction=0.05, aspect=30)
            if logarithmic:
                ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick < math.exp(high)]
                bar.set_ticks([COLDEST, *ticks], labels=[f"≤ {COLDEST:g}", *map(str, ticks)])
                bar.ax.minorticks_off()
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
    drawn = overlaid(image, item, opacity, side=_SIDE, limits=limits, fading=fading)
    bare_picture(panel, np.asarray(drawn))
    panel.set_title(_title(item), fontsize=7.5, parse_math=False)


def _title(item: TextMap) -> str:
    """The text in at most three lines, and what its hottest patch is."""
    verdict = "" if item.hit is None else (", hit" if item.hit else ", miss")
    words = textwrap.wrap(item.text, 22, max_lines=3, placeholder=" …")
    return "\n".join([*words, f"({item.note}{verdict})"])


def bare_picture(panel: Axes, image: npt.NDArray[Any], **options: Any) -> None:
    """The picture's own pixels, without axes; options go to `imshow`."""
    panel.imshow(image, interpolation="nearest", **options)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_visible(False)
