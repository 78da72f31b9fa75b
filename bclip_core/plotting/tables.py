"""Methods side by side: a dot plot and the same as a Markdown table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from bclip_core.markdown import aligned_markdown
from bclip_core.plotting.style import COLOURS, GUIDE, MARKERS, Estimate, Metrics, percent, style


def benchmark(
    methods: Mapping[str, Metrics], metrics: Mapping[str, str] | Sequence[str], columns: int = 4
) -> Figure:
    """Methods against metrics: one panel per metric, a dot with its interval per method.

    Args:
        methods: for each method its metrics; one that it lacks is left blank.
        metrics: metric name by panel title, or just names.
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
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        for panel, (title, name) in zip(axes, drawn.items(), strict=False):
            for row, values in enumerate(methods.values()):
                if name not in values:
                    panel.text(0, row, "  does not apply", va="center", color=GUIDE, fontsize=8)
                else:
                    mean, (below, above) = percent(values[name])
                    look = {"color": COLOURS[row % len(COLOURS)], "marker": MARKERS[row % 6]}
                    panel.errorbar(mean, row, xerr=[[below], [above]], capsize=3, ms=5, **look)
                    chance = 100 * float(values[name]["chance"])
            panel.axvline(chance, color=GUIDE, linestyle=":", linewidth=1)
            panel.set_title("\n".join(textwrap.wrap(title, 28)))
            panel.set_yticks(range(len(methods)), list(methods))
            panel.set_ylim(len(methods) - 0.5, -0.5)
            panel.set_xlim(left=0)
            panel.grid(axis="x", color="0.9")
            panel.set_axisbelow(True)
        for panel in axes[len(drawn) :]:
            panel.set_axis_off()
        figure.supxlabel("%, 95 % interval; dotted: chance", fontsize=9)
    return figure


def table_markdown(
    methods: Mapping[str, Metrics], metrics: Mapping[str, str] | Sequence[str]
) -> str:
    """A Markdown table: a row per metric, a column per method, `mean [low, high]` in percent.

    Args:
        methods: for each method its metrics; one that it lacks shows a dash.
        metrics: metric name by row title, or just names.

    Returns:
        Lines whose columns are aligned, so that the table reads well as plain text too.

    Raises:
        ValueError: no method has any of the metrics.
    """
    rows = [["% [95 % interval]", "chance", *methods]]
    for title, name in _present(methods, metrics).items():
        found = [values[name] for values in methods.values() if name in values]
        cells = [_cell(values.get(name)) for values in methods.values()]
        rows.append([title, f"{100 * found[0]['chance']:.1f}", *cells])
    return aligned_markdown(rows)


def _present(
    methods: Mapping[str, Metrics], metrics: Mapping[str, str] | Sequence[str]
) -> dict[str, str]:
    named = metrics if isinstance(metrics, Mapping) else {name: name for name in metrics}
    found = {t: n for t, n in named.items() if any(n in values for values in methods.values())}
    if not found:
        raise ValueError(f"metrics {list(named.values())}: expected one that some method has")
    return found


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    mean, low, high = (100 * float(estimate[name]) for name in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
