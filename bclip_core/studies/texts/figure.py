"""How long captions and phrases are, as cumulative curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bclip_core.plotting.style import COLOURS, GUIDE, LINES, style

Curves = Mapping[str, Sequence[float]]
_PANELS = ("tokens of a caption", "sentences of a caption", "phrases of a caption")
_PHRASE_PANEL = "tokens of a phrase, start and end included"


def text_lengths(
    sets: Mapping[str, Mapping[str, Any]],
    percentiles: Sequence[float],
    extractor: str,
    published: Mapping[str, Mapping[float, float]] | None = None,
    limits: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Share of captions or phrases up to a length, one panel per kind of length, a line per set.

    Args:
        sets: by title, as `text_lengths.measure_set` describes them.
        percentiles: which percentiles the descriptions hold.
        extractor: whose phrases to draw, "rules" or "spacy".
        published: points (percentile to length) of others, by panel title.
        limits: vertical lines, by panel title.

    Raises:
        ValueError: no set.
    """
    if not sets:
        raise ValueError("sets={}: expected at least one data set")
    drawn = {
        _PANELS[0]: {name: one["tokens"]["percentiles"] for name, one in sets.items()},
        _PANELS[1]: {name: one["sentences"]["percentiles"] for name, one in sets.items()},
        _PANELS[2]: {n: one[extractor]["phrases"]["percentiles"] for n, one in sets.items()},
        _PHRASE_PANEL: {
            n: one[extractor]["phrase_tokens"]["percentiles"] for n, one in sets.items()
        },
    }
    with style():
        figure = Figure(figsize=(7.2, 5.2), layout="constrained")
        axes = figure.subplots(2, 2, sharey=True).flatten()
        for panel, (title, curves) in zip(axes, drawn.items(), strict=True):
            _draw(panel, curves, percentiles, (published or {}).get(title, {}))
            for limit in (limits or {}).get(title, ()):
                panel.axvline(limit, color=GUIDE, linestyle=":", linewidth=1)
                panel.text(limit, 101, f"{limit:g}", color=GUIDE, fontsize=7, ha="center")
            panel.set_xlabel(title)
        figure.supylabel("% of captions, or of phrases, up to this length", fontsize=9)
        handles, labels = axes[2].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _draw(
    panel: Axes,
    curves: Curves,
    percentiles: Sequence[float],
    points: Mapping[float, float],
) -> None:
    for number, (name, lengths) in enumerate(curves.items()):
        look: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINES[number % len(LINES)],
        }
        panel.plot(lengths, percentiles, label=name, linewidth=1.4, **look)
    if points:
        panel.plot(
            list(points.values()), list(points), "kx", markersize=5,
            label="ShareGPT4V, as β-CLIP's authors print",
        )  # fmt: skip
    ends = [lengths[percentiles.index(99)] for lengths in curves.values()]
    panel.set_xlim(0, 1.1 * max([*ends, *points.values()]))
    panel.set_ylim(0, 100)
