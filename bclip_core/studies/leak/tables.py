"""The leak study's record as tables: the leak itself, and what its cure does to honest measures."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bclip_core.evaluation import (
    REGION_LEVELS,
    Metrics,
    grounding_metric,
    region_metric,
    retrieval_metric,
)
from bclip_core.studies.leak.study import OWN, VARIANTS
from bclip_core.studies.tables import Entry, cell, gain_rows

Summary = Mapping[str, Metrics]

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
    "global → image": retrieval_metric("global", way="t2i"),
    "global → text": retrieval_metric("global", way="i2t"),
    **{f"regions, {level}": region_metric(level) for level in REGION_LEVELS[:3]},
    "pointing, attention": grounding_metric("attention", "pointing"),
    "pointing, cosine": grounding_metric("cosine", "pointing"),
    "precision, attention": grounding_metric("attention", "average_precision"),
}
_WAYS = {"inflation: → image": "t2i", "→ text ": "i2t"}


def leak_rows(summary: Summary) -> list[list[str]]:
    """A row per variant in percent, `±` half of the 95 % interval; the header first.

    Args:
        summary: of `studies.tables.summaries`.

    Returns:
        The leak, shares of the variance, and the inflation: how far R@1 with every picture pooled
        with its own caption is above that with every candidate.
    """
    rows = [["%", *LEAK, *_WAYS]]
    for name, values in summary.items():
        cells = [cell(values, metric) for metric in LEAK.values()]
        rows.append([name, *cells, *(_inflation(values, way) for way in _WAYS.values())])
    return rows


def _inflation(values: Metrics, way: str) -> str:
    texts = "long" if retrieval_metric("conditioned", way=way) in values else "captions"
    own, honest = (
        values.get(retrieval_metric(kind, texts, way)) for kind in ("own_caption", "conditioned")
    )
    return f"{100 * (own['mean'] - honest['mean']):+.1f}" if own and honest else "–"


def honest_gain_rows(values: Mapping[str, Entry]) -> list[list[str]]:
    """Differences of every variant to the paper's form in points, as `gain_rows`."""
    return gain_rows(values, OWN, HONEST)


def kind(name: str) -> str:
    """What a variant changes, for the figure: the first of `KINDS` whose pattern its name has.

    A variant may be of several kinds ("own, one head, centred"); one head comes first, since it is
    what moves the leak most.
    """
    found = (kind for kind, pattern in KINDS.items() if re.search(pattern, name))
    return next(found, "the paper's form")


KINDS = {
    "untrained": "^untrained",
    "one head": "one head",
    "sigmoid form": "sigmoid",
    "centred": "centred",
    "other pictures too": r"^cross|\+ cross",
}
"""Kind -> pattern in a variant's name."""


def with_steps(summary: Summary, values: Mapping[str, Entry]) -> dict[str, Metrics]:
    """The summary with the number of updates in the names of variants that have their own."""
    return {
        f"{name} ({values[name]['steps']})" if _longer(name) else name: metrics
        for name, metrics in summary.items()
    }


def _longer(name: str) -> bool:
    return name in VARIANTS and VARIANTS[name].own_steps
