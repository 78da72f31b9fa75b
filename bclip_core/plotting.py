"""One function per figure: data in, Figure out. Nothing here computes a result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]


def show(figure: Figure) -> None:
    """Display a figure once in a notebook and let go of it."""
    plt.close(figure)
    from IPython.display import display

    display(figure)


def training_curves(histories: Mapping[str, Records], batch_size: int | None = None) -> Figure:
    """The global loss of runs over their updates, with the loss of guessing as a grey line.

    Args:
        histories: for each label the records of a run, see `run_state.read_history`.
        batch_size: B; draws ln B where given.
    """
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for label, history in histories.items():
        axes.plot([r["update"] for r in history], [r["global"] for r in history], label=label)
    if batch_size:
        axes.axhline(math.log(batch_size), color="0.6", linewidth=1, label="guessing, ln B")
    axes.set(xlabel="update", ylabel="global loss")
    axes.legend(frameon=False)
    return figure
