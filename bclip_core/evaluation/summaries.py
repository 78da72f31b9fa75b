"""From hits per item to what a table shows: mean, bootstrap interval, chance, count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bclip_core.evaluation.intervals import bootstrap_interval
from bclip_core.evaluation.retrieval import Retrieval, chance_recall

Metrics = dict[str, dict[str, Any]]


def summarise_items(
    values: Tensor, chance: float, groups: Tensor | Sequence[int] | None = None
) -> dict[str, Any]:
    """Mean of a number or hit per item [N], its bootstrap 95 % interval, chance level and count.

    Args:
        values: [N].
        chance: what guessing gives on average, on the scale of the values.
        groups: picture of each item [N]; whole pictures are drawn then, see `bootstrap_interval`.
    """
    interval = bootstrap_interval(values.double(), groups=groups)
    return {**interval._asdict(), "chance": chance, "count": len(values)}


def summarise_retrieval(name: str, found: Retrieval, relevant: Tensor) -> Metrics:
    """`summarise_items` of every recall, as `NAME/t2i_R@1` and so on.

    Texts of one picture are drawn together in the bootstrap.

    Args:
        name: put before each key.
        found: both directions of one retrieval.
        relevant: bool [Q, M], which text belongs to which image.
    """
    metrics = {}
    for key, hits in found.hits.items():
        way, k = key.split("_R@")
        by_text = way == "t2i"
        chance = chance_recall(relevant if by_text else relevant.T, int(k))
        groups = relevant.int().argmax(dim=1) if by_text else None
        metrics[f"{name}/{key}"] = summarise_items(hits, chance, groups)
    return metrics


HEADLINES = {
    "long caption → image, R@1": "retrieval/global/long/t2i_R@1",
    "image → long caption, R@1": "retrieval/global/long/i2t_R@1",
    "conditioned on every candidate, text → image, R@1": "retrieval/conditioned/long/t2i_R@1",
    "conditioned on every candidate, image → text, R@1": "retrieval/conditioned/long/i2t_R@1",
    "regions, hard": "regions/dense/hard",
    "regions, medium": "regions/dense/medium",
    "regions, easy": "regions/dense/easy",
    "regions, trivial": "regions/dense/trivial",
    "pointing game, attention": "grounding/attention/pointing",
    "pointing game, patch cosine": "grounding/cosine/pointing",
    "average precision, attention": "grounding/attention/average_precision",
    "average precision, patch cosine": "grounding/cosine/average_precision",
}
