"""Many methods side by side: what they reach and what they cost."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bclip_core.evaluation import (
    REGION_LEVELS,
    Estimate,
    Metrics,
    fitting,
    grounding_metric,
    metric_title,
    percent,
    reach,
    region_metric,
    retrieval_metric,
)
from bclip_core.plotting.style import COLOURS, GUIDE, MARKERS, style
from bclip_core.records.markdown import aligned_markdown

Series = Mapping[str, str]  # metric by what it is called in its panel; one or two
Draw = Callable[[Axes], None]


def _both_ways(kind: str, texts: str = "long") -> Series:
    ways = {"to image": "t2i", "to text": "i2t"}
    return {title: retrieval_metric(kind, texts, way) for title, way in ways.items()}


def _both_maps(measure: str) -> Series:
    return {kind: grounding_metric(kind, measure) for kind in ("attention", "cosine")}


METHOD_PANELS: dict[str, Series] = {
    "long captions, R@1": _both_ways("global"),
    "short captions, R@1": _both_ways("global", "short"),
    "long, its own way, R@1": _both_ways("own_way"),
    "pointing game": _both_maps("pointing"),
    **{f"regions, {level}": {"": region_metric(level)} for level in REGION_LEVELS},
}
UNTOUCHED = "untouched"  # the group that is no method, in grey
GROUPS = ("global terms", "local terms", "MulCLIP", "β-CLIP", "leak-free")  # keep their colours
_SIDE = 0.16  # how far two marks of a row are apart from its middle
_LOOKS = (("o", "●"), ("s", "□"))  # first filled, second open


def method_comparison(
    methods: Mapping[str, Metrics],
    groups: Mapping[str, str],
    costs: Mapping[str, Mapping[str, float]] | None = None,
    panels: Mapping[str, Series] = METHOD_PANELS,
    columns: int = 5,
) -> Figure:
    """A row per method, a panel per quantity: dots with intervals, then bars of what it costs.

    Args:
        methods: metrics by method; one that it lacks is left blank.
        groups: the group of each method, which decides its colour; groups stand together.
        costs: by title the cost of each method, at the ends of the rows; one without it is left
            blank.
        panels: metrics by panel title and by name within the panel.
        columns: panels in a row.

    Raises:
        ValueError: no method has any of the metrics.
    """
    measured = {name for values in methods.values() for name in values}
    panels = {title: fitting(series, measured) for title, series in panels.items()}
    order = list(dict.fromkeys(groups[name] for name in methods))
    methods = {n: methods[n] for n in sorted(methods, key=lambda name: order.index(groups[name]))}
    coloured = dict.fromkeys([*GROUPS, *(group for group in order if group != UNTOUCHED)])
    of_group = {group: COLOURS[n % len(COLOURS)] for n, group in enumerate(coloured)}
    colours = {name: of_group.get(groups[name], GUIDE) for name in methods}
    draws = list(_dot_panels(methods, panels, colours).items())
    for number, (title, values) in enumerate((costs or {}).items(), 1):
        draws.insert(number * columns - 1, (title, _bar_panel(list(methods), values, colours)))
    legend = {groups[name]: colour for name, colour in colours.items()}
    return _rows(list(methods), dict(draws), columns, legend)


def _rows(
    names: Sequence[str], draws: Mapping[str, Draw], columns: int, legend: Mapping[str, str]
) -> Figure:
    """The page: every panel has a line for every name, names stand at the left."""
    columns = min(columns, len(draws))
    rows = math.ceil(len(draws) / columns)
    with style():
        size = (1.4 + 1.6 * columns, (0.65 + 0.2 * len(names)) * rows + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        for panel, (title, draw) in zip(axes, draws.items(), strict=False):
            draw(panel)
            panel.set_title(title, fontsize=8)
            panel.set_yticks(range(len(names)), list(names))
            panel.set_ylim(len(names) - 0.5, -0.5)
            panel.set_xlim(left=0 if panel.patches else _below_zero(panel))
            panel.grid(axis="x", color="0.9")
            panel.tick_params(axis="y", length=0)
            panel.set_axisbelow(True)
            for row in range(1, len(names), 2):
                panel.axhspan(row - 0.5, row + 0.5, color="0.96", zorder=0)
        for panel in axes[len(draws) :]:
            panel.set_axis_off()
        handles = [Patch(color=colour) for colour in legend.values()]
        figure.legend(handles, list(legend), loc="outside upper center", ncols=6, frameon=False)
        figure.supxlabel("dots: %, 95 % interval; dotted line: chance", fontsize=9)
    return figure


def _dot_panels(
    methods: Mapping[str, Metrics], panels: Mapping[str, Series], colours: Mapping[str, str]
) -> dict[str, Draw]:
    """Panels that some method has anything for, with the key of their marks in the title."""
    draws: dict[str, Draw] = {}
    for title, series in panels.items():
        if any(name in values for values in methods.values() for name in series.values()):
            looks = zip(series, _LOOKS, strict=False)
            key = "   ".join(f"{sign} {label}" for label, (_, sign) in looks if label)
            draws[f"{title}\n{key}".strip()] = _dot_panel(methods, series, colours)
    if not draws:
        wanted = [name for series in panels.values() for name in series.values()]
        raise ValueError(f"metrics {wanted}: expected one that some method has")
    return draws


def _dot_panel(methods: Mapping[str, Metrics], series: Series, colours: Mapping[str, str]) -> Draw:
    def draw(panel: Axes) -> None:
        for row, (method, values) in enumerate(methods.items()):
            if not any(name in values for name in series.values()):
                panel.text(0, row, "  –", va="center", color=GUIDE)
            for number, name in enumerate(series.values()):
                if name not in values:
                    continue
                mean, (below, above) = reach(values[name])
                shift = 0.0 if len(series) == 1 else (-_SIDE, _SIDE)[number]
                panel.errorbar(
                    mean, row + shift, xerr=[[below], [above]], fmt=_LOOKS[number][0], ms=4,
                    color=colours[method], mfc="white" if number else colours[method],
                    capsize=2, elinewidth=1,
                )  # fmt: skip
        for chance in sorted(_chances(methods, series)):
            panel.axvline(chance, color=GUIDE, linestyle=":", linewidth=1)

    return draw


def _chances(methods: Mapping[str, Metrics], series: Series) -> set[float]:
    found = [values[n] for values in methods.values() for n in series.values() if n in values]
    return {round(100 * float(one["chance"]), 6) for one in found if "chance" in one}


def _bar_panel(
    names: Sequence[str], costs: Mapping[str, float], colours: Mapping[str, str]
) -> Draw:
    def draw(panel: Axes) -> None:
        for row, name in enumerate(names):
            if name not in costs:
                panel.text(0, row, "  –", va="center", color=GUIDE)
                continue
            panel.barh(row, costs[name], 0.6, color=colours[name], alpha=0.75)
            text = f" {costs[name]:,.2f}" if costs[name] < 10 else f" {costs[name]:,.0f}"
            panel.text(costs[name], row, text, va="center", fontsize=7)
        panel.margins(x=0.45)  # room for the number at the end of the longest bar

    return draw


def methods_overview(
    methods: Mapping[str, Metrics], metrics: Mapping[str, str] | Sequence[str], columns: int = 4
) -> Figure:
    """Methods against metrics: one panel per metric, a dot with its interval per method.

    The panels of a row share one range.

    Args:
        methods: for each method its metrics; one that it lacks is named as not applying.
        metrics: metric name by panel title, or just names, which `metric_title` calls.
        columns: panels in a row.

    Raises:
        ValueError: no method has any of the metrics.
    """
    drawn = _present(methods, metrics)
    columns = min(columns, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    size = (1.2 + 2.0 * columns, (0.8 + 0.24 * len(methods)) * rows + 0.4)
    with style():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex="row", sharey=True)
        for panel, (title, name) in zip(axes.flat, drawn.items(), strict=False):
            for row, values in enumerate(methods.values()):
                _method_dot(panel, row, values.get(name))
            panel.set_title("\n".join(textwrap.wrap(title, 28)))
            panel.set_yticks(range(len(methods)), list(methods))
            panel.set_ylim(len(methods) - 0.5, -0.5)
            panel.grid(axis="x", color="0.9")
            panel.set_axisbelow(True)
        for panel in axes[:, 0]:
            panel.set_xlim(left=_below_zero(panel))
        for panel in axes.flat[len(drawn) :]:
            panel.set_axis_off()
        figure.supxlabel("%, 95 % interval; dotted: chance", fontsize=9)
    return figure


def _below_zero(panel: Axes) -> float:
    """A left end that leaves room for a mark at zero."""
    return -0.03 * float(panel.get_xlim()[1])


def _method_dot(panel: Axes, row: int, value: Estimate | None) -> None:
    """One method's dot, interval and chance level; words where the metric doesn't apply."""
    if value is None:
        panel.text(0, row, "  does not apply", va="center", color=GUIDE, fontsize=8)
        return
    mean, (below, above) = reach(value)
    panel.errorbar(
        mean, row, xerr=[[below], [above]], capsize=3, ms=5,
        color=COLOURS[row % len(COLOURS)], marker=MARKERS[row % 6],
    )  # fmt: skip
    chance = 100 * float(value["chance"])
    panel.plot([chance] * 2, [row - 0.5, row + 0.5], color=GUIDE, linestyle=":", linewidth=1)


def table_rows(
    methods: Mapping[str, Metrics], metrics: Mapping[str, str] | Sequence[str]
) -> list[list[str]]:
    """A table: a row per metric, a column per method, `mean [low, high]` in percent; header first.

    Args:
        methods: for each method its metrics; one that it lacks shows a dash.
        metrics: metric name by row title, or just names, which `metric_title` calls.

    Raises:
        ValueError: no method has any of the metrics.
    """
    rows = [["% [95 % interval]", "chance", *methods]]
    for title, name in _present(methods, metrics).items():
        found = [values[name] for values in methods.values() if name in values]
        cells = [percent(v[name]) if name in v else "–" for v in methods.values()]
        rows.append([title, f"{100 * found[0]['chance']:.1f}", *cells])
    return rows


def table_markdown(
    methods: Mapping[str, Metrics], metrics: Mapping[str, str] | Sequence[str]
) -> str:
    """`table_rows` as Markdown whose columns are aligned, so that it reads as plain text too."""
    return aligned_markdown(table_rows(methods, metrics))


def _present(
    methods: Mapping[str, Metrics], metrics: Mapping[str, str] | Sequence[str]
) -> dict[str, str]:
    named = metrics if isinstance(metrics, Mapping) else {metric_title(n): n for n in metrics}
    found = {t: n for t, n in named.items() if any(n in values for values in methods.values())}
    if not found:
        raise ValueError(f"metrics {list(named.values())}: expected one that some method has")
    return found
