"""Figures of how a study was made: what a search has tried, which pairs a step trains on."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bclip_core.plotting.style import COLOURS, style


def search_trials(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Every trial of a search: score over the factor of the learning rates, a panel per method.

    Trials with another weight of the terms are triangles, up for more and down for less; the
    chosen one has a ring.

    Args:
        found: by method `trials` and `chosen`, as `search.search` returns.

    Raises:
        ValueError: no method.
    """
    if not found:
        raise ValueError("found={}: expected the trials of at least one method")
    columns = min(6, len(found))
    rows = math.ceil(len(found) / columns)
    rates = sorted({trial["rate"] for entry in found.values() for trial in entry["trials"]})
    with style():
        size = (1.45 * columns + 0.6, 1.5 * rows + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
        for panel, (name, entry) in zip(axes, found.items(), strict=False):
            for trial in entry["trials"]:
                up, down = trial["weight"] > 1, trial["weight"] < 1
                marker = "^" if up else "v" if down else "o"
                at = trial["rate"], 100 * trial["score"]
                panel.plot(*at, marker, color=COLOURS[1] if up or down else COLOURS[0], ms=5)
            best = entry["chosen"]
            panel.plot(best["rate"], 100 * best["score"], "o", ms=11, mfc="none", color="black")
            panel.set_title("\n".join(textwrap.wrap(name, 16)))
            panel.set_xscale("log")
            panel.set_xticks(rates, [f"{rate:g}".lstrip("0") for rate in rates], fontsize=7)
            panel.minorticks_off()
            panel.grid(axis="y", color="0.9")
            panel.margins(x=0.2, y=0.15)
        for panel in axes[len(found) :]:
            panel.set_axis_off()
        figure.supxlabel("learning rates, times the profile's", fontsize=9)
        figure.supylabel("validation score, %", fontsize=9)
    return figure


def conditioning_pairs(
    grids: Mapping[str, Sequence[Sequence[int]]], texts: Sequence[str]
) -> Figure:
    """Which image is pooled with which text in a step: a grid of images by texts for each way.

    Args:
        grids: by title; 0: never pooled, 1: pooled as the text's own image, 2: pooled as another.
        texts: the names of the columns.

    Raises:
        ValueError: a grid of another width.
    """
    colours = ("0.94", COLOURS[0], COLOURS[5])
    labels = ("never pooled together", "its own image", "another image, a negative")
    with style():
        size = (0.4 + 0.28 * len(texts) * len(grids), 0.19 * len(texts) + 1.0)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(grids), squeeze=False, sharey=True)[0]
        for panel, (title, grid) in zip(axes, grids.items(), strict=True):
            widths = {len(row) for row in grid}
            if widths != {len(texts)}:
                raise ValueError(f"{title}: rows of {sorted(widths)} cells: expected {len(texts)}")
            panel.pcolormesh(
                grid, cmap=ListedColormap(list(colours)), vmin=-0.5, vmax=2.5,
                edgecolors="white", linewidth=1.5,
            )  # fmt: skip
            panel.set_title(title)
            panel.set_xticks([n + 0.5 for n in range(len(texts))], texts, fontsize=7)
            images = range(len(grid))
            panel.set_yticks([n + 0.5 for n in images], [str(n + 1) for n in images])
            panel.set_ylim(len(grid), 0)
            panel.tick_params(length=0)
            panel.set_xlabel("texts of images 1, 2, …")
        axes[0].set_ylabel("image")
        handles = [Patch(color=colour) for colour in colours]
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure
