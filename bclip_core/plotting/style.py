"""What all figures share: colours, line styles, fonts, and how a metric is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

# Okabe and Ito's colour-blind-safe palette, darkest first; every series also gets a line style
# and a marker of its own, so that a print in grey can be read.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", "--", "-.", ":", "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P")
GUIDE = "0.45"  # grey of guessing and baselines
SEQUENTIAL = "viridis"  # brightness rises evenly, in grey too

_RC: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

Estimate = Mapping[str, Any]
"""`mean`, `low`, `high` and `chance`, fractions in [0, 1], as `scene_benchmark.evaluate` gives."""
Metrics = Mapping[str, Estimate]


@contextmanager
def style() -> Iterator[None]:
    """The collection's look while a figure is built, whatever the reader's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def percent(estimate: Estimate) -> tuple[float, tuple[float, float]]:
    """Mean in percent, and how far the interval reaches below and above it."""
    mean, low, high = (100 * float(estimate[name]) for name in ("mean", "low", "high"))
    # A bootstrap interval may exclude its own mean by rounding; a bar can't have negative length.
    return mean, (max(0.0, mean - low), max(0.0, high - mean))
