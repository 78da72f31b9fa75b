"""Loss over updates, and metrics over β."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bclip_core.comparison import HEADLINES
from bclip_core.plotting.style import COLOURS, GUIDE, LINES, Estimate, Metrics, percent, style

Records = Sequence[Mapping[str, Any]]

_TERMS = {"global": "global loss", "beta_cal": "β-CAL loss"}
_SMOOTHED_FROM = 40  # records; shorter curves are drawn as they are
_LOG_FROM = 10.0  # ratio of the largest to the smallest value that calls for a logarithmic axis
BETA_PANELS = (
    "regions, hard",
    "regions, medium",
    "pointing game, attention",
    "pointing game, patch cosine",
    "long caption → image, R@1",
    "image → long caption, R@1",
)


def training_curves(histories: Mapping[str, Records], batch_size: int | None = None) -> Figure:
    """The loss terms of runs over their updates: one panel per term that any run has.

    Long curves are drawn raw and pale, with their running mean on top.

    Args:
        histories: for each label the records of a run, see `run_state.read_history`.
        batch_size: B; draws the loss of guessing, ln B, into the global panel.
    """
    terms = [term for term in _TERMS if any(h and term in h[0] for h in histories.values())]
    with style():
        figure = Figure(figsize=(3.6 * max(1, len(terms)) + 0.4, 3.0), layout="constrained")
        axes = figure.subplots(1, max(1, len(terms)), squeeze=False)[0]
        for panel, term in zip(axes, terms, strict=False):
            for number, (label, history) in enumerate(histories.items()):
                points = [(r["update"], r[term]) for r in history if term in r]
                _curve(panel, points, number, label)
            panel.set(xlabel="update", ylabel=_TERMS[term])
            if term == "global" and batch_size:
                panel.axhline(
                    math.log(batch_size), color=GUIDE, linewidth=1, label="guessing, ln B"
                )
            elif term == "beta_cal":
                _log_if_wide(panel)
        axes[0].legend(frameon=False)
    return figure


def _curve(panel: Axes, points: Sequence[tuple[int, float]], number: int, label: str) -> None:
    if not points:
        return
    updates, values = np.array(points, dtype=float).T
    look = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
    if len(values) >= _SMOOTHED_FROM:
        panel.plot(updates, values, color=look["color"], alpha=0.25, linewidth=0.8)
        window = len(values) // 20
        kernel = np.ones(window) / window
        # Only where the window is full: a mean over a cut window would bend the ends.
        updates = np.convolve(updates, kernel, mode="valid")
        values = np.convolve(values, kernel, mode="valid")
    panel.plot(updates, values, linewidth=1.6, label=label, **look)


def _log_if_wide(panel: Axes) -> None:
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in panel.lines])
    if len(drawn) and drawn.min() > 0 and drawn.max() / drawn.min() >= _LOG_FROM:
        panel.set_yscale("log")


def beta_ablation(
    points: Mapping[float, Metrics],
    baseline: Metrics | None = None,
    panels: Mapping[str, str] | None = None,
    baseline_label: str = "global loss only",
) -> Figure:
    """Metrics over β with interval bars, one panel each.

    Args:
        points: for each β the metrics of its run.
        baseline: metrics of a run without β; a dashed line with its interval as a band, in the
            panels whose metric it has.
        panels: metric name by panel title; default the headlines of `BETA_PANELS`. A metric that
            the runs lack gets no panel.
        baseline_label: what the baseline is called in the legend.

    Raises:
        ValueError: no run has any of the metrics.
    """
    panels = panels or {title: HEADLINES[title] for title in BETA_PANELS}
    drawn = {t: name for t, name in panels.items() if all(name in m for m in points.values())}
    if not points or not drawn:
        raise ValueError(f"metrics {list(panels.values())}: expected at least one in every run")
    columns = min(3, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    with style():
        figure = Figure(figsize=(2.6 * columns, 2.3 * rows + 0.3), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True).flatten()
        for panel, (title, name) in zip(axes, drawn.items(), strict=False):
            _metric_over_beta(panel, {beta: m[name] for beta, m in points.items()})
            if baseline and name in baseline:
                value, (below, above) = percent(baseline[name])
                panel.axhspan(value - below, value + above, color=GUIDE, alpha=0.18, linewidth=0)
                panel.axhline(value, color=GUIDE, linestyle="--", label=baseline_label)
            panel.set_title(title)
            panel.set_ylim(bottom=0)
        for panel in axes[len(drawn) :]:
            panel.set_axis_off()
        figure.supxlabel("β", fontsize=9)
        figure.supylabel("%, 95 % interval", fontsize=9)
        _legend_below(figure, axes[: len(drawn)])
    return figure


def _metric_over_beta(panel: Axes, values: Mapping[float, Estimate]) -> None:
    betas = sorted(values)
    heights, reach = zip(*(percent(values[beta]) for beta in betas), strict=True)
    panel.errorbar(
        betas,
        heights,
        yerr=np.array(reach).T,
        color=COLOURS[0],
        marker="o",
        markersize=4,
        capsize=3,
        label="β-CAL",
    )
    chance = 100 * float(values[betas[0]]["chance"])
    panel.axhline(chance, color=GUIDE, linestyle=":", linewidth=1, label="chance")
    panel.set_xticks(betas)


def _legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, whichever of them has the entry."""
    entries = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(
        entries.values(), entries.keys(), loc="outside upper center", ncols=4, frameon=False
    )
