"""MulCLIP's three levels on a scene, and its ablation."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from bclip_core.plotting.maps import bare_picture, map_over_picture
from bclip_core.plotting.style import COLOURS, GUIDE, SEQUENTIAL, style
from bclip_core.studies.mulclip.ablation import WORDS
from bclip_core.studies.tables import verdict

if TYPE_CHECKING:
    from bclip_core.studies.mulclip.maps import Levels

Part = Figure | SubFigure
_SLOTS_IN_ROW = 6
_LABELLED = 16  # word tokens; more have no room for words below a matrix


def mulclip_levels(
    drawn: Levels, levels: Sequence[str] = ("global", "sentence", "word", "rebuilt")
) -> Figure:
    """What MulCLIP's levels do on one scene, a block per level.

    "global": cosines of pictures with long captions and with summaries; a dot marks the own one.
    "sentence": which patches each sentence gathers, with the outline of what it names. "word":
    which patches each calibrated patch token is made of. "rebuilt": which word tokens rebuild
    which patch tokens, and the reverse; a word token is labelled with its leading words.

    Args:
        drawn: the scene's levels.
        levels: which of them, in this order.

    Raises:
        ValueError: no level, or an unknown one.
    """
    unknown = [level for level in levels if level not in _BLOCKS]
    if unknown or not levels:
        raise ValueError(f"levels={list(levels)}: expected some of {', '.join(_BLOCKS)}")
    rows = -(-len(drawn.patch_tokens) // _SLOTS_IN_ROW)
    heights = {"global": 2.9, "sentence": 2.6, "word": 0.4 + 1.65 * rows, "rebuilt": 4.3}
    sizes = [heights[level] for level in levels]
    with style():
        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.05)
        figure = Figure(figsize=(8.4, sum(sizes)), layout=layout)
        parts = figure.subfigures(len(levels), 1, squeeze=False, height_ratios=sizes)[:, 0]
        for part, level in zip(parts, levels, strict=True):
            _BLOCKS[level](part, drawn)
    return figure


def _global(part: Part, drawn: Levels) -> None:
    picture, *panels = part.subplots(1, 3, width_ratios=[0.8, 1, 1])
    bare_picture(picture, drawn.image)
    picture.set_title("the scene")
    both = np.stack([drawn.long, drawn.short])
    for panel, (title, values) in zip(
        panels, {"long captions": drawn.long, "summaries": drawn.short}.items(), strict=True
    ):
        shown = panel.imshow(values, cmap=SEQUENTIAL, vmin=both.min(), vmax=both.max())
        own = range(len(values))
        panel.plot(own, own, "o", color="white", markeredgecolor="black", markersize=4)
        panel.set(title=title, xlabel="text", xticks=[], yticks=[])
    panels[0].set_ylabel("picture")
    part.colorbar(shown, ax=panels, label="cosine", shrink=0.8)
    part.suptitle("Global: each picture finds its caption and its summary", fontsize=9)


def _sentence(part: Part, drawn: Levels) -> None:
    picture, *panels = part.subplots(1, 1 + len(drawn.sentences))
    bare_picture(picture, drawn.image)
    limits = (0.0, max(float(item.heat.max()) for item in drawn.sentences))
    for panel, item in zip(panels, drawn.sentences, strict=True):
        map_over_picture(panel, drawn.image, item, 0.9, limits, fading=True)
    colours = ScalarMappable(Normalize(*limits), SEQUENTIAL)
    part.colorbar(colours, ax=panels, label="share, × even", shrink=0.75)
    part.suptitle("Sentence: which patches each sentence gathers", fontsize=9)


def _word(part: Part, drawn: Levels) -> None:
    rows = -(-len(drawn.patch_tokens) // _SLOTS_IN_ROW)
    panels = part.subplots(rows, _SLOTS_IN_ROW, squeeze=False).flatten()
    limits = (0.0, max(2.0, *(float(item.heat.max()) for item in drawn.patch_tokens)))
    for panel, item in zip(panels, drawn.patch_tokens, strict=False):
        map_over_picture(panel, drawn.image, item, 0.6, limits, fading=True)
    for panel in panels[len(drawn.patch_tokens) :]:
        panel.set_axis_off()
    colours = ScalarMappable(Normalize(*limits), SEQUENTIAL)
    part.colorbar(colours, ax=panels, label="share, × even", shrink=0.75)
    part.suptitle("Word: which patches each calibrated patch token is made of", fontsize=9)


def _rebuilt(part: Part, drawn: Levels) -> None:
    patches, words = range(1, 1 + len(drawn.patch_words)), _word_labels(drawn.word_tokens)
    panels = part.subplots(1, 2)
    pairs = {
        "words that rebuild each patch token": (drawn.patch_words, patches, words),
        "patches that rebuild each word token": (drawn.word_patches, words, patches),
    }
    for panel, (title, (weights, rows, columns)) in zip(panels, pairs.items(), strict=True):
        even = weights * weights.shape[1]
        shown = panel.imshow(even, cmap=SEQUENTIAL, vmin=0, vmax=max(2.0, float(even.max())))
        panel.set_title(title)
        panel.set_xticks(range(weights.shape[1]), columns, rotation=90, parse_math=False)
        panel.set_yticks(range(weights.shape[0]), rows, parse_math=False)
        panel.tick_params(length=0, labelsize=7)
        part.colorbar(shown, ax=panel, label="share, × even", shrink=0.75)
    panels[0].set_ylabel("patch token")
    panels[1].set_xlabel("patch token")
    part.suptitle("Word: who rebuilds whom; a row adds up to 1", fontsize=9)


def _word_labels(words: Sequence[str]) -> list[str]:
    return list(words) if len(words) <= _LABELLED else [str(n + 1) for n in range(len(words))]


_BLOCKS: dict[str, Callable[[Part, Levels], None]] = {
    "global": _global, "sentence": _sentence, "word": _word, "rebuilt": _rebuilt,
}  # fmt: skip

Gap = Mapping[str, float]
_LOOKS = {"worse": (COLOURS[1], "v"), "not told": (GUIDE, "o"), "better": (COLOURS[0], "^")}
"""Colour and marker of a verdict, by its word in `ablation.WORDS`."""


def mulclip_ablation(
    gaps: Mapping[str, Mapping[str, Gap]],
    published: Mapping[str, float],
    published_title: str = "published",
) -> Figure:
    """How far each variant is from the full method: published in a panel apart, then ours.

    Args:
        gaps: for each variant and metric title mean, low and high, fractions.
        published: percent by variant, "full" among them; a variant may lack one.
        published_title: of its panel.

    Raises:
        ValueError: no variant, or nothing published of "full".
    """
    if not gaps or "full" not in published:
        raise ValueError(f"variants {list(gaps)}: expected some, and a published value of 'full'")
    titles, variants = list(next(iter(gaps.values()))), list(gaps)
    with style():
        size = (1.3 + 2.1 * (1 + len(titles)), 1.3 + 0.32 * len(variants))
        figure = Figure(figsize=size, layout="constrained")
        first, *panels = figure.subplots(1, 1 + len(titles), sharex=True, sharey=True)
        for row, variant in enumerate(variants):
            if variant in published:
                gap = published[variant] - published["full"]
                first.plot(gap, row, "x", color="black")
                _write_gap(first, row, gap)
            else:
                first.text(0, row, "not published  ", ha="right", va="center", color=GUIDE,
                           fontsize=8)  # fmt: skip
            for panel, title in zip(panels, titles, strict=True):
                mean, low, high = (100 * gaps[variant][title][k] for k in ("mean", "low", "high"))
                colour, marker = _LOOKS[verdict(gaps[variant][title], WORDS)]
                panel.errorbar(mean, row, xerr=[[mean - low], [high - mean]], capsize=3, ms=6,
                               color=colour, marker=marker)  # fmt: skip
                _write_gap(panel, row, mean)
        for panel, title in zip((first, *panels), (published_title, *titles), strict=True):
            panel.axvline(0, color=GUIDE, linewidth=1)
            panel.set_title("\n".join(textwrap.wrap(title, 26)))
            panel.set_yticks(range(len(variants)), variants)
            panel.set_ylim(len(variants) - 0.5, -0.5)
            panel.grid(axis="x", color="0.9")
            panel.set_axisbelow(True)
        left, right = first.get_xlim()
        first.set_xlim(left, right + 0.2 * (right - left))  # room for the numbers
        handles = [Line2D([], [], color=c, marker=m, ls="-", ms=6) for c, m in _LOOKS.values()]
        labels = [f"{word} than the full method" if word != "not told" else "not told: zero is in "
                  "the interval" for word in _LOOKS]  # fmt: skip
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        figure.supxlabel("points from the full method; ours with 95 % interval", fontsize=9)
    return figure


def _write_gap(panel: Axes, row: int, gap: float) -> None:
    """The number at the right end of its row: one range for all panels makes small gaps short."""
    panel.annotate(f"{gap:+.1f}", (1, row), xycoords=("axes fraction", "data"), ha="right",
                   va="center", fontsize=7.5, color="0.25")  # fmt: skip
