"""What normaliser and bias do to β-CAL's sigmoid form, over updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bclip_core.plotting.style import COLOURS, GUIDE, LINES, MARKERS, style

Arms = Mapping[str, Mapping[str, Any]]


def sigmoid_balance(
    arms: Arms, metric: str, title: str, plateau: float, others: Mapping[str, float] | None = None
) -> Figure:
    """Loss, strength of the gradient and one result, for ways to train the sigmoid form.

    Left: β-CAL over updates, with the plateau of the published form. Middle: the norm of β-CAL's
    gradient on the backbone as a share of the global term's. Right: the metric at the end.

    Args:
        arms: by name a run as `studies.sigmoid.point` keeps it: "history" ("update", "beta_cal"),
            "gradients" (by update, "norm/beta_cal" and "norm/global") and "metrics".
        metric: name of the metric on the right.
        title: of the right panel.
        plateau: the published loss of the best constant predictor.
        others: the same metric of other methods; lines across the panel.

    Raises:
        ValueError: no arm.
    """
    if not arms:
        raise ValueError("arms={}: expected at least one run")
    with style():
        figure = Figure(figsize=(10.2, 3.4), layout="constrained")
        losses, ratios, ends = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
        for number, (name, run) in enumerate(arms.items()):
            _draw_arm(losses, ratios, number, name, run)
            value = 100 * float(run["metrics"][metric]["mean"])
            ends.plot(value, -number, MARKERS[number % 6], color=COLOURS[number % 6])
            ends.annotate(f"{value:.1f}", (value, -number), (6, -3), textcoords="offset points")
        losses.axhline(plateau, color=GUIDE, linewidth=1)
        losses.annotate(f"constant predictor, {plateau:.4f}", (0.98, plateau), (0, 4),
                        xycoords=("axes fraction", "data"), textcoords="offset points",
                        ha="right", color=GUIDE, fontsize=8)  # fmt: skip
        losses.set(xlabel="update", title="β-CAL, as each divides it", yscale="log")
        ratios.axhline(1, color=GUIDE, linewidth=1)
        ratios.set(xlabel="update", title="its gradient ÷ the global term's", yscale="log")
        for label, value in (others or {}).items():
            ends.axvline(100 * value, color=GUIDE, linestyle=":", label=label)
        ends.set_yticks([-n for n in range(len(arms))], list(arms))
        ends.set(title=title, xlabel="%")
        ends.margins(x=0.3, y=0.15)  # room for the number beside the last mark
        ends.set_xlim(left=0)
        if others:
            ends.legend(frameon=False, loc="lower right")
        handles, labels = losses.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_arm(losses: Axes, ratios: Axes, number: int, name: str, run: Mapping[str, Any]) -> None:
    look: dict[str, Any] = {"color": COLOURS[number % 6], "linestyle": LINES[number % 6]}
    history, gradients = run["history"], run["gradients"]
    losses.plot(history["update"], history["beta_cal"], linewidth=1.3, label=name, **look)
    updates = sorted(gradients, key=int)
    shares = [gradients[u]["norm/beta_cal"] / gradients[u]["norm/global"] for u in updates]
    ratios.plot([int(u) for u in updates], shares, marker=MARKERS[number % 6], markersize=4, **look)
