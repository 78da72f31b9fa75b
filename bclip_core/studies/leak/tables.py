"""The leak study's record as tables: the leak itself, and what its cure does to honest measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bclip_core.studies.leak.study import OWN, VARIANTS
from bclip_core.studies.tables import Entry, gain_rows, plus_minus

Summary = Mapping[str, Mapping[str, Any]]

LEAK = {
    "one picture: → image": "leak/identical/t2i_R@1",
    "→ text": "leak/identical/i2t_R@1",
    "centred: → image": "leak/identical_centred/t2i_R@1",
    "variance: text": "leak/share/text",
    "image": "leak/share/image",
    "both": "leak/share/pair",
}
# Both conditioned ones are of the same candidates, fewer than the global retrieval's.
HONEST = {
    "conditioned → image": "leak/honest/t2i_R@1",
    "→ text": "leak/honest/i2t_R@1",
    "centred → image": "leak/honest_centred/t2i_R@1",
    "centred → text": "leak/honest_centred/i2t_R@1",
    "global → image": "retrieval/global/long/t2i_R@1",
    "global → text": "retrieval/global/long/i2t_R@1",
    "regions, hard": "regions/dense/hard",
    "regions, medium": "regions/dense/medium",
    "regions, easy": "regions/dense/easy",
    "pointing, attention": "grounding/attention/pointing",
    "pointing, cosine": "grounding/cosine/pointing",
    "precision, attention": "grounding/attention/average_precision",
}
_WAYS = {"inflation: → image": "t2i_R@1", "→ text ": "i2t_R@1"}


def leak_rows(summary: Summary) -> list[list[str]]:
    """A row per variant in percent, `±` half of the 95 % interval; the header first.

    Args:
        summary: of `method_tables.summaries`.

    Returns:
        The leak, shares of the variance, and the inflation: how far R@1 with every picture pooled
        with its own caption is above that with every candidate.
    """
    rows = [["%", *LEAK, *_WAYS]]
    for name, values in summary.items():
        cells = [plus_minus(values.get(metric)) for metric in LEAK.values()]
        rows.append([name, *cells, *(_inflation(values, way) for way in _WAYS.values())])
    return rows


def _inflation(values: Mapping[str, Any], way: str) -> str:
    own, honest = (values.get(f"retrieval/{p}/long/{way}") for p in ("own_caption", "conditioned"))
    return f"{100 * (own['mean'] - honest['mean']):+.1f}" if own and honest else "–"


def honest_gain_rows(values: Mapping[str, Entry]) -> list[list[str]]:
    """Differences of every variant to the paper's form in points, see `method_tables.gain_rows`."""
    return gain_rows(values, OWN, HONEST)


def with_steps(summary: Summary, values: Mapping[str, Entry]) -> dict[str, Mapping[str, Any]]:
    """The summary with the number of updates in the names of variants that have their own."""
    return {
        f"{name} ({values[name]['steps']})" if _longer(name) else name: metrics
        for name, metrics in summary.items()
    }


def _longer(name: str) -> bool:
    return name in VARIANTS and VARIANTS[name].equal_time
