"""The leak against what is left of honest measures, a numbered mark per way of training."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bclip_core.evaluation import Estimate, Metrics, grounding_metric, reach
from bclip_core.plotting.style import COLOURS, GUIDE, MARKERS, style

LEAK = "leak/identical/t2i_R@1"
"""R@1, text to image, with one and the same picture for all texts: all of it above chance leaks."""

HONEST = {
    "honest retrieval, text → image, R@1": "leak/honest/t2i_R@1",
    "honest retrieval, image → text, R@1": "leak/honest/i2t_R@1",
    "pointing game, attention": grounding_metric("attention", "pointing"),
}
"""What should stay when the leak goes, by panel title."""

_BESIDE = ((9, 6), (9, -6), (-9, 6), (-9, -6), (0, 11), (0, -11))
"""Where a number may stand beside its mark, in points; the first one that is free."""

_HALF_A_NUMBER = 5  # points: of its height


def leak_scatter(variants: Mapping[str, Metrics], groups: Mapping[str, str]) -> Figure:
    """Every variant's leak (across, logarithmic) against honest measures (up), with intervals.

    The best place is the upper left: much found, little leaked. A variant that a measure wasn't
    taken of is left out of that panel.

    Args:
        variants: metrics with those of the leak as `leak/...`, see `studies.tables.summaries`.
        groups: what kind each variant is, which decides its colour and marker.

    Raises:
        ValueError: no variant has both a leak and one of the honest measures.
    """
    drawn = {
        title: {n: v for n, v in variants.items() if LEAK in v and name in v}
        for title, name in HONEST.items()
    }
    drawn = {title: found for title, found in drawn.items() if found}
    if not drawn:
        raise ValueError(f"variants {list(variants)}: expected {LEAK!r} and one of {[*HONEST]}")
    order = list(dict.fromkeys(groups[name] for name in variants))
    looks = {g: (COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n, g in enumerate(order)}
    numbers = {name: number for number, name in enumerate(variants, 1)}
    with style():
        size = (3.0 * len(drawn) + 2.4, max(3.5, 0.19 * (len(variants) + len(order)) + 0.5))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(drawn), squeeze=False, sharex=True)[0]
        for panel, (title, found) in zip(axes, drawn.items(), strict=True):
            for name, values in found.items():
                _mark(panel, values[LEAK], values[HONEST[title]], looks[groups[name]])
            _finish(panel, title, next(iter(found.values())))
        handles, labels = [], []
        for group, (colour, marker) in looks.items():
            handles.append(Line2D([], [], color=colour, marker=marker, ls="", ms=8))
            labels.append(group)
            for name in (name for name in variants if groups[name] == group):
                handles.append(Line2D([], [], ls=""))
                labels.append(f"{numbers[name]}  {name}")
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=7.5,
                      handletextpad=0.3)  # fmt: skip
        figure.supxlabel("leak: one picture for all texts, text → image, R@1, % (dotted: chance)",
                         fontsize=9)  # fmt: skip
        axes[0].set_ylabel("%, 95 % interval")
        figure.draw_without_rendering()  # the panels' places and ranges are known from here on
        for panel, (title, found) in zip(axes, drawn.items(), strict=True):
            marks = {numbers[name]: (values[LEAK], values[HONEST[title]]) for name, values in
                     found.items()}  # fmt: skip
            _number(panel, {n: (reach(x)[0], reach(y)[0]) for n, (x, y) in marks.items()})
    return figure


def _mark(panel: Axes, leak: Estimate, honest: Estimate, look: tuple[str, str]) -> None:
    (x, across), (y, up) = reach(leak), reach(honest)
    colour, marker = look
    left = min(across[0], 0.9 * x)  # a logarithmic axis has no zero
    panel.errorbar(x, y, xerr=[[left], [across[1]]], yerr=[[up[0]], [up[1]]], color=colour,
                   marker=marker, ms=6.5, elinewidth=0.8, alpha=0.9)  # fmt: skip


def _number(panel: Axes, marks: Mapping[int, tuple[float, float]]) -> None:
    """Write each mark's number beside it, on the side with the least of other marks and numbers.

    No number stands on or below the axis.
    """
    inches = {n: panel.transData.transform(place) / panel.figure.dpi for n, place in marks.items()}
    points = {n: (72 * float(x), 72 * float(y)) for n, (x, y) in inches.items()}
    taken = list(points.values())
    floor = 72 * panel.transAxes.transform((0, 0))[1] / panel.figure.dpi + _HALF_A_NUMBER
    for number, (x, y) in points.items():
        beside = min(
            _BESIDE,
            key=lambda side: (
                y + side[1] < floor,
                sum(
                    abs(x + side[0] - other[0]) < 9 and abs(y + side[1] - other[1]) < 9
                    for other in taken
                ),
            ),
        )
        taken.append((x + beside[0], y + beside[1]))
        panel.annotate(str(number), marks[number], xytext=beside, textcoords="offset points",
                       fontsize=7.5, ha="center", va="center", zorder=5)  # fmt: skip


def _finish(panel: Axes, title: str, some: Metrics) -> None:
    panel.set_title(title)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    top = panel.get_ylim()[1]
    panel.set_ylim(-0.05 * top, top)  # marks at zero are whole, and have room for their numbers
    panel.set_yticks([tick for tick in panel.get_yticks() if 0 <= tick <= top])
    panel.grid(color="0.92")
    panel.set_axisbelow(True)
    if "chance" in some[LEAK]:
        panel.axvline(100 * float(some[LEAK]["chance"]), color=GUIDE, linestyle=":", linewidth=1)
