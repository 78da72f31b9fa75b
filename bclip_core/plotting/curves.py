"""Loss over updates, metrics over β, and metrics over the length of training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bclip_core.evaluation import HEADLINES, Estimate, Metrics, reach
from bclip_core.model import TERMS
from bclip_core.plotting.style import COLOURS, GUIDE, LINES, MARKERS, style

Records = Sequence[Mapping[str, Any]]

_TITLES = {
    "beta_cal": "β-CAL loss",
    "word": "word loss (MulCLIP)",
    "subcaption": "sub-caption loss (MulCLIP)",
    "late_interaction": "late interaction (FILIP)",
    "sparse": "sparse alignment (SPARC)",
    "flair_global": "FLAIR, global loss",
    "flair_local": "FLAIR, local loss",
}
"""Of the terms that their names do not say enough of."""
_SMOOTHED_FROM = 40  # records; shorter curves are drawn as they are
_APART_FROM = 10.0  # ratio of last values from which runs share no axis: the two forms of β-CAL
_LOGARITHMIC_FROM = 10.0  # ratio of largest to smallest value; a line would lie on the axis
_GUESS_WITHIN = 1.5  # times the largest loss; a line of guessing further up would flatten the rest
BETA_PANELS = (
    "regions, hard",
    "regions, medium",
    "pointing game, attention",
    "pointing game, patch cosine",
    "long caption → image, R@1",
    "image → long caption, R@1",
)


def training_curves(histories: Mapping[str, Records], batch_size: int | None = None) -> Figure:
    """The loss terms of runs over their updates: a panel per term that any run has.

    Terms are all those of `model.TERMS`, by the names that histories give them. Long curves are
    drawn raw and pale, with their running mean on top; a panel whose values span decades has a
    logarithmic axis.

    Args:
        histories: for each label the records of a run, see `train.resume.read_history`.
        batch_size: B; draws the loss of guessing, ln B, into the global panel, or names it above
            where it is far off.

    Raises:
        ValueError: no run has any record of a loss term.
    """
    labels = list(histories)
    with style():
        panels = _panels(histories)
        figure = Figure(figsize=(3.1 * len(panels) + 0.6, 3.0), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for panel, (term, drawn) in zip(axes, panels, strict=True):
            for label in drawn:
                points = [(r["update"], r[term]) for r in histories[label] if term in r]
                _curve(panel, points, labels.index(label), label)
            alone = len(drawn) == 1 and sum(term == other for other, _ in panels) > 1
            title = f"{_title(term)}, {drawn[0]}" if alone else _title(term)
            panel.set(xlabel="update", title=title)
            if _spans_decades([r[term] for label in drawn for r in histories[label] if term in r]):
                panel.set_yscale("log")
            if term == "global" and batch_size:
                _mark_guessing(panel, math.log(batch_size))
            panel.legend(frameon=False)
        axes[0].set_ylabel("loss")
    return figure


def _panels(histories: Mapping[str, Records]) -> list[tuple[str, list[str]]]:
    """(term, labels of its runs) of each panel; runs of very different size get panels apart."""
    panels = []
    terms = list(dict.fromkeys(term.label or name for name, term in TERMS.items()))
    for term in terms:
        ends = {label: h[-1][term] for label, h in histories.items() if h and term in h[-1]}
        if ends and min(ends.values()) * _APART_FROM < max(ends.values()):
            panels += [(term, [label]) for label in ends]
        elif ends:
            panels.append((term, list(ends)))
    if not panels:
        raise ValueError(f"runs {list(histories)}: expected one that has any of {', '.join(terms)}")
    return panels


def _title(term: str) -> str:
    return _TITLES.get(term, f"{term.replace('_', ' ')} loss")


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > _LOGARITHMIC_FROM * min(values)


def _curve(panel: Axes, points: Sequence[tuple[int, float]], number: int, label: str) -> None:
    updates, values = np.array(points, dtype=float).T
    colour, line = COLOURS[number % len(COLOURS)], LINES[number % len(LINES)]
    if len(values) >= _SMOOTHED_FROM:
        panel.plot(updates, values, color=colour, alpha=0.25, linewidth=0.8)
        window = len(values) // 20
        kernel = np.ones(window) / window
        # Only where the window is full: a mean over a cut window would bend the ends.
        updates = np.convolve(updates, kernel, mode="valid")
        values = np.convolve(values, kernel, mode="valid")
    panel.plot(updates, values, color=colour, linestyle=line, linewidth=1.6, label=label)


def _mark_guessing(panel: Axes, loss: float) -> None:
    if loss <= _GUESS_WITHIN * panel.dataLim.ymax:
        panel.axhline(loss, color=GUIDE, linewidth=1, label="guessing, ln B")
    else:
        panel.set_title(f"{panel.get_title()} (guessing, ln B: {loss:.2f})")


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
    with style():
        figure, axes = _grid_of_panels(len(drawn), 2.6, 2.3, 0.3)
        for panel, (title, name) in zip(axes, drawn.items(), strict=False):
            _metric_over_beta(panel, {beta: m[name] for beta, m in points.items()})
            if baseline and name in baseline:
                value, (below, above) = reach(baseline[name])
                panel.axhspan(value - below, value + above, color=GUIDE, alpha=0.18, linewidth=0)
                panel.axhline(value, color=GUIDE, linestyle="--", label=baseline_label)
            panel.set_title(title)
            panel.set_ylim(bottom=0)
        figure.supxlabel("β", fontsize=9)
        figure.supylabel("%, 95 % interval", fontsize=9)
        _legend_above(figure, axes)
    return figure


def _metric_over_beta(panel: Axes, values: Mapping[float, Estimate]) -> None:
    betas = sorted(values)
    heights, bars = zip(*(reach(values[beta]) for beta in betas), strict=True)
    panel.errorbar(
        betas,
        heights,
        yerr=np.array(bars).T,
        color=COLOURS[0],
        marker="o",
        markersize=4,
        capsize=3,
        label="β-CAL",
    )
    chance = 100 * float(values[betas[0]]["chance"])
    panel.axhline(chance, color=GUIDE, linestyle=":", linewidth=1, label="chance")
    panel.set_xticks(betas)


def learning_curves(
    points: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]],
    panels: Mapping[str, str],
    own: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]] | None = None,
) -> Figure:
    """Metrics over the length of training, a panel each; every length is a run of its own.

    Lines join the means over seeds, single runs are small marks. A reader's own runs are drawn as
    large empty marks of the same colour.

    Args:
        points: for each label and number of updates the metrics of its runs, one per seed.
        panels: metric name by title; a curve that lacks the metric is left out of the panel.
        own: other runs, by the same labels.

    Raises:
        ValueError: no run has any of the metrics.
    """
    every = [m for by_length in points.values() for runs in by_length.values() for m in runs]
    drawn = {title: name for title, name in panels.items() if any(name in m for m in every)}
    if not drawn:
        raise ValueError(f"metrics {list(panels.values())}: expected at least one in some run")
    with style():
        figure, axes = _grid_of_panels(len(drawn), 2.7, 2.2, 0.5)
        for panel, (title, name) in zip(axes, drawn.items(), strict=False):
            for number, (label, by_length) in enumerate(points.items()):
                _over_lengths(panel, by_length, name, number, label)
                _marks(panel, (own or {}).get(label, {}), name, number, f"{label}, your own")
            panel.set(title=title, xscale="log")
            panel.grid(axis="y", color="0.92")
        axes[0].set_xticks(*_length_ticks([*points.values()]))
        axes[0].minorticks_off()
        figure.supxlabel("updates, each length a run of its own", fontsize=9)
        figure.supylabel("%", fontsize=9)
        _legend_above(figure, axes, in_order=True)
    return figure


_CLOSE = 1.6
"""Labels of lengths whose ratio is less would run into each other."""


def _length_ticks(curves: Sequence[Mapping[int, Any]]) -> tuple[list[int], list[str]]:
    """All lengths and their labels; of close ones the one that more curves have keeps its label."""
    lengths = sorted({length for one in curves for length in one})
    kept = list[int]()
    for length in sorted(lengths, key=lambda n: (-sum(n in one for one in curves), n)):
        if all(max(length, other) >= _CLOSE * min(length, other) for other in kept):
            kept.append(length)
    return lengths, [f"{n:,}" if n in kept else "" for n in lengths]


def _grid_of_panels(
    count: int, width: float, height: float, above: float
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most three in a row, of that size in inches and one x axis."""
    columns = min(3, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows + above), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flatten())
    for panel in axes[count:]:
        panel.set_axis_off()
    return figure, axes[:count]


def _over_lengths(
    panel: Axes,
    by_length: Mapping[int, Sequence[Mapping[str, Any]]],
    name: str,
    number: int,
    label: str,
) -> None:
    colour = COLOURS[number % len(COLOURS)]
    means = {n: _percents(runs, name) for n, runs in sorted(by_length.items())}
    means = {n: values for n, values in means.items() if values}
    if means:
        heights = [sum(values) / len(values) for values in means.values()]
        marker, line = MARKERS[number % len(MARKERS)], LINES[number % len(LINES)]
        panel.plot(list(means), heights, color=colour, ls=line, marker=marker, ms=4, label=label)
        for length, values in means.items():
            if len(values) > 1:
                panel.plot([length] * len(values), values, ".", color=colour, ms=3, alpha=0.5)


def _marks(
    panel: Axes,
    by_length: Mapping[int, Sequence[Mapping[str, Any]]],
    name: str,
    number: int,
    label: str,
) -> None:
    found = [(n, v) for n, runs in by_length.items() for v in _percents(runs, name)]
    if found:
        at, heights = zip(*found, strict=True)
        marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
        panel.plot(at, heights, marker, color=colour, ms=9, mfc="none", mew=1.5, label=label)


def _percents(runs: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [100 * float(metrics[name]["mean"]) for metrics in runs if name in metrics]


def _legend_above(figure: Figure, axes: Iterable[Axes], in_order: bool = False) -> None:
    """One legend for all panels, whichever of them has the entry; last first, or as drawn."""
    entries: dict[str, Artist] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    # matplotlib lists bars last, and they are what matters
    labels = list(entries) if in_order else list(entries)[::-1]
    handles = [entries[label] for label in labels]
    figure.legend(
        handles, labels, loc="outside upper center", ncols=3 if in_order else 4, frameon=False
    )
