"""What things cost: time and memory of losses over the batch, and token positions of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bclip_core.plotting.style import COLOURS, GUIDE, LINES, MARKERS, style

_VERSIONS = {
    "equations": "as the equations say",
    "autograd": "without N × N targets",
    "bfloat16": "streamed, of bfloat16",
    "streamed": "streamed (the library's)",
}
_COSTS = {"cpu_seconds": ("seconds", 2), "peak_megabytes": ("MB above the inputs", 1)}
_FORMS = {"ce": "cross-entropy", "bce": "sigmoid"}
_WAYS = {
    "padded": "padded",
    "encoded": "encoded by the library",
    "distinct": "distinct texts at their length",
}
_SETTING_COSTS = {
    "seconds_per_update": ("time", " {:.2f} s"),
    "peak_megabytes": ("peak memory", " {:,.0f} MB"),
}


def loss_costs(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Time and memory of β-CAL over the number of images, both forms, on logarithmic axes.

    Versions without a row are left out. Grey lines through the streamed version's largest batch
    have the slope of N² (time) and N (memory).

    Args:
        rows: of `benchmarks.beta_cal`: form, images, version, cpu_seconds, peak_megabytes.
    """
    with style():
        figure = Figure(figsize=(7.4, 5.6), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True)
        for line, (form, title) in zip(panels, _FORMS.items(), strict=True):
            found = [row for row in rows if row["form"] == form]
            for panel, (cost, (label, power)) in zip(line, _COSTS.items(), strict=True):
                for number, (version, name) in enumerate(_VERSIONS.items()):
                    points = [(r["images"], r[cost]) for r in found if r["version"] == version]
                    if not points:
                        continue
                    panel.plot(
                        *zip(*sorted(points), strict=True), LINES[number], color=COLOURS[number],
                        marker=MARKERS[number], markersize=4, label=name,
                    )  # fmt: skip
                _slope(panel, max(points), power)
                panel.set(xscale="log", yscale="log", ylabel=label, title=title)
        images = sorted({row["images"] for row in rows})
        for panel in panels.flat:
            panel.set_xticks(images, [str(number) for number in images], minor=False)
            panel.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        for panel in panels[1]:
            panel.set_xlabel("images of the batch, 36 texts each")
        panels[0, 0].legend(frameon=False)
    return figure


def _slope(panel: Axes, through: tuple[float, float], power: int) -> None:
    """A line of that power through a point, over a factor of eight."""
    x, y = through
    panel.plot([x / 8, x], [y / 8**power, y], color=GUIDE, linewidth=0.8, zorder=0)
    name = "∝ N²" if power == 2 else "∝ N"
    panel.annotate(
        name, (x / 8, y / 8**power), (6, -8), textcoords="offset points",
        color=GUIDE, va="top", fontsize=8,
    )  # fmt: skip


def text_positions(counts: Mapping[str, Mapping[str, float]], images: int) -> Figure:
    """Token positions per image that the text tower computes, one bar per way and data set.

    Args:
        counts: for each data set the positions per batch, as `benchmarks.text_once` gives them.
        images: of that batch.
    """
    with style():
        figure = Figure(figsize=(6.4, 0.9 + 0.75 * len(counts)), layout="constrained")
        panel = figure.subplots()
        for place, found in enumerate(counts.values()):
            for number, (way, label) in enumerate(_WAYS.items()):
                value = found[way] / images
                y = place + 0.25 * (number - 1)
                named = label if place == 0 else None
                panel.barh(y, value, 0.22, color=COLOURS[number], label=named)
                panel.text(value, y, f" {value:,.0f}", va="center", fontsize=8)
        panel.set_yticks(range(len(counts)), list(counts))
        panel.invert_yaxis()
        panel.set_xlabel("token positions per image (K = 36)")
        panel.margins(x=0.12)
        panel.legend(frameon=False, loc="lower right")
    return figure


def training_settings(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Time and memory of an update under each setting, relative to the first; 1 is that setting.

    Args:
        rows: of `benchmarks.training_settings`: setting, seconds_per_update, peak_megabytes.
    """
    first = rows[0]
    with style():
        figure = Figure(figsize=(7.4, 0.9 + 0.42 * len(rows)), layout="constrained")
        panel = figure.subplots()
        for place, row in enumerate(rows):
            for number, (cost, (label, unit)) in enumerate(_SETTING_COSTS.items()):
                relative, y = row[cost] / first[cost], place + 0.36 * number - 0.18
                named = label if place == 0 else None
                panel.barh(y, relative, 0.32, color=COLOURS[number], label=named)
                panel.text(
                    relative, y, unit.format(row[cost]), va="center", fontsize=8,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # over the guide
                )  # fmt: skip
        panel.axvline(1, color=GUIDE, linewidth=0.8)
        panel.set_yticks(range(len(rows)), [row["setting"] for row in rows])
        panel.invert_yaxis()
        panel.set_xlabel("relative to the first setting; one update of β-CLIP-CE, one core")
        panel.margins(x=0.12)
        panel.legend(frameon=False, loc="lower right")
    return figure
