"""What the explorer shows, as one figure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from bclip_core.plotting.heat import framed, overlaid
from bclip_core.plotting.style import COLOURS, SEQUENTIAL, style

if TYPE_CHECKING:
    from bclip_core.explorer.view import Panel, Shown

_WIDTH = 9.4  # inches
_ROW = 0.19  # of a text in the lists below
_SIDE = 512  # pixels of a drawn picture
_BARS = 0.45  # inches for the colour bars
_HATCHES = ("", "////", "....")  # a print in grey tells models apart


def explorer_view(shown: Shown) -> Figure:
    """Picture and maps above; below, the text among other texts, and what the patch answers to.

    Args:
        shown: of `explorer.Workbench.compute`.
    """
    columns = 1 + len(shown.panels)
    lists = max(1.25 * len(shown.scores), 1.5 + max(len(a.ranking) for a in shown.answers))
    rows = len(shown.rows)
    top_height = rows * (_WIDTH / columns + 0.55) + (_BARS if shown.limits else 0)
    heights = [top_height, _ROW * lists + 0.8]
    with style():
        figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
        _draw_pictures(top, shown)
        answered = len(shown.answers) if any(each.ranking for each in shown.answers) else 0
        ratios = [1.9, *[1.0] * answered]
        axes = bottom.subplots(1, 1 + answered, squeeze=False, width_ratios=ratios)[0]
        _draw_scores(axes[0], shown)
        for number, panel in enumerate(axes[1:]):
            _draw_answers(panel, shown, number)
    return figure


def _draw_pictures(top: SubFigure, shown: Shown) -> None:
    texts = (shown.view.text, *shown.view.also)
    looked_for = textwrap.shorten(" and ".join(f"“{text}”" for text in texts), 110,
                                  placeholder=" …”")  # fmt: skip
    top.suptitle(looked_for, fontsize=10, parse_math=False)
    axes = top.subplots(len(shown.rows), 1 + len(shown.panels), squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    first = shown.panels[0]
    height, width = (
        side / count for side, count in zip(first.image.shape[:2], first.grid, strict=True)
    )
    row, column = first.patch
    box = (column * width, row * height, width, height)
    axes[0, 0].imshow(framed(first.image, box, _SIDE))
    source = textwrap.shorten(shown.picture.title, 40, placeholder="…")
    _title(axes[0, 0], [source, f"asked about: patch in row {row + 1}, column {column + 1}"])
    for drawn, items in zip(axes, shown.rows, strict=True):
        for panel, item in zip(drawn[1:], items, strict=True):
            _draw_map(panel, item, shown)
    _colour_bars(top, axes[:, 1:], shown)


def _draw_map(panel: Axes, item: Panel, shown: Shown) -> None:
    view = shown.view
    panel.imshow(
        overlaid(item.image, item.item, view.opacity, view.threshold, _SIDE, shown.limits_of(item))
    )
    model = textwrap.wrap(textwrap.shorten(item.model, 80, placeholder="…"), 42)
    text = [textwrap.shorten(f"“{item.item.text}”", 42, placeholder="…”")] if view.also else []
    _title(panel, [*text, *model, f"{item.kind_in_words}: {_verdict(item)}"])


def _colour_bars(top: SubFigure, axes: np.ndarray, shown: Shown) -> None:
    """One bar per scale that maps share, below the maps."""
    for unit, (low, high) in shown.limits.items():
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, high), SEQUENTIAL)
        words = "attention, × even" if unit != "cosine" else "cosine of patch and text"
        bar = top.colorbar(
            colours, ax=axes, location="bottom", label=words, aspect=60, shrink=0.6, pad=0.02
        )
        bar.ax.tick_params(labelsize=7)
        bar.ax.xaxis.label.set_fontsize(7.5)


def _verdict(panel: Panel) -> str:
    return panel.item.note + {True: ", hit", False: ", miss", None: ""}[panel.item.hit]


def _title(panel: Axes, lines: Sequence[str], side: Literal["center", "right"] = "center") -> None:
    panel.set_title("\n".join(lines), fontsize=7.5, parse_math=False, loc=side)


def _draw_scores(panel: Axes, shown: Shown) -> None:
    places = np.arange(len(shown.scores))
    height = 0.8 / len(shown.scored)
    for number, label in enumerate(shown.scored):
        panel.barh(
            places + height * (number - (len(shown.scored) - 1) / 2),
            [score.values[number] for score in shown.scores],
            height,
            color=COLOURS[number % len(COLOURS)],
            hatch=_HATCHES[number % len(_HATCHES)],
            edgecolor="white",
            linewidth=0,
            label=label,
        )
    labels = [(score.text, "bold" if score.group == "text" else "normal", score.group)
              for score in shown.scores]  # fmt: skip
    _texts(panel, places, [(text, weight) for text, weight, _ in labels], 44)
    for tick, (*_, group) in zip(panel.get_yticklabels(), labels, strict=True):
        tick.set_fontstyle("italic" if group == "other" else "normal")
    panel.set_xlabel("cosine with the whole picture", fontsize=8)
    panel.legend(
        title=f"number {shown.rank} of {shown.compared} texts; italic: not of the caption",
        loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, title_fontsize=7.5, frameon=False,
    )  # fmt: skip


def _draw_answers(panel: Axes, shown: Shown, number: int) -> None:
    answers = shown.answers[number]
    places = np.arange(len(answers.ranking))
    panel.barh(
        places,
        [value - answers.average for _, value in answers.ranking],
        0.7,
        answers.average,
        color=COLOURS[number % len(COLOURS)],
        hatch=_HATCHES[number % len(_HATCHES)],
        edgecolor="white",
        linewidth=0,
    )
    _texts(panel, places, [(text, "normal") for text, _ in answers.ranking], 24)
    panel.axvline(answers.average, color="black", linewidth=0.8)
    panel.set_xlabel(f"{answers.unit}\nline: mean of {answers.asked}", fontsize=7.5)
    low, high = panel.get_xlim()  # two numbers are all that a narrow panel has room for
    panel.set_xticks([answers.average, high - 0.15 * (high - low)])
    panel.xaxis.set_major_formatter(f"{{x:.{3 if answers.unit == 'cosine' else 2}f}}")
    panel.tick_params(axis="x", labelsize=7.5)
    item = shown.panels[number]
    row, column = item.patch
    lines = [f"patch {row + 1}, {column + 1} answers to", f"({item.kind_in_words})"]
    _title(panel, lines, "right")  # the labels on the left leave no room in the middle


def _texts(
    panel: Axes, places: np.ndarray, labels: Sequence[tuple[str, str]], longest: int
) -> None:
    """Texts beside bars, the first one on top; no two of them read alike."""
    short = _distinct([text for text, _ in labels], longest)
    panel.set_yticks(places, short, fontsize=7.5)
    for tick, (_, weight) in zip(panel.get_yticklabels(), labels, strict=True):
        tick.set_parse_math(False)
        tick.set_fontweight(weight)
    panel.invert_yaxis()


def _distinct(texts: Sequence[str], longest: int) -> list[str]:
    """Texts cut in their middle, for a caption begins as its first sentence does."""
    cut = [_without_middle(" ".join(text.split()), longest) for text in texts]
    return [
        text if cut.count(text) == 1 else f"{text} ({cut[: number + 1].count(text)})"
        for number, text in enumerate(cut)
    ]


def _without_middle(text: str, longest: int) -> str:
    """First and last words of a text, as many as fit; of a single long word its beginning."""
    if len(text) <= longest:
        return text
    words, head, tail = text.split(), "", ""
    while words and len(head) + len(words[0]) + 1 <= (longest - 3) * 2 // 3:
        head = f"{head} {words.pop(0)}".strip()
    while words and len(head) + len(words[-1]) + len(tail) + 4 <= longest:
        tail = f"{words.pop()} {tail}".strip()
    return f"{head} … {tail}" if head and tail else f"{text[: longest - 1]}…"
