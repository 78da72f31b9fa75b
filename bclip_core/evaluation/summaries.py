"""From hits per item to what a table shows: metrics, their names, and how one is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from bclip_core.evaluation.intervals import bootstrap_interval
from bclip_core.evaluation.retrieval import Retrieval, chance_recall

PARTS = ("mean", "low", "high")
Estimate = dict[str, Any]
"""One number with its certainty: `PARTS`, and where they are known `chance` and `count`.

Fractions in [0, 1], as the protocols give them; of a difference, in [-1, 1]."""
Metrics = dict[str, Estimate]
"""What a model reached: estimates by name, see `retrieval_metric` and the others beside it."""


def summarise_items(
    values: Tensor, chance: float, groups: Tensor | Sequence[int] | None = None
) -> Estimate:
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


def retrieval_metric(kind: str, texts: str = "long", way: str = "t2i", k: int | str = 1) -> str:
    """The name of a recall: how pictures were embedded, which texts asked, direction and k."""
    return f"retrieval/{kind}/{texts}/{way}_R@{k}"


def region_metric(level: str, kind: str = "dense") -> str:
    """The name of a region accuracy, of the region's patches or of the pooled picture."""
    return f"regions/{kind}/{level}"


def attribute_metric(attribute: str, kind: str = "dense") -> str:
    """The name of the accuracy where one attribute alone is false."""
    return f"attributes/{kind}/{attribute}"


def grounding_metric(kind: str, measure: str) -> str:
    """The name of a comparison of maps with masks: "attention" or "cosine", of `Grounding`."""
    return f"grounding/{kind}/{measure}"


REGION_LEVELS = ("hard", "medium", "easy", "trivial")  # as FG-OVD calls them, in tables' order
HEADLINES = {
    "long caption → image, R@1": retrieval_metric("global", way="t2i"),
    "image → long caption, R@1": retrieval_metric("global", way="i2t"),
    "conditioned on every candidate, text → image, R@1": retrieval_metric("conditioned"),
    "conditioned on every candidate, image → text, R@1": retrieval_metric("conditioned", way="i2t"),
    **{f"regions, {level}": region_metric(level) for level in REGION_LEVELS},
    "pointing game, attention": grounding_metric("attention", "pointing"),
    "pointing game, patch cosine": grounding_metric("cosine", "pointing"),
    "average precision, attention": grounding_metric("attention", "average_precision"),
    "average precision, patch cosine": grounding_metric("cosine", "average_precision"),
}
"""What a model is judged by first: metrics by title. Other tables name theirs by the functions."""
OWN_CAPTION = {
    "own caption (leaks), text → image, R@1": retrieval_metric("own_caption", way="t2i"),
    "own caption (leaks), image → text, R@1": retrieval_metric("own_caption", way="i2t"),
}
"""The authors' protocol, which no other table than the methods' shows."""

_KIND_OF_MAP = {"attention": "attention", "cosine": "patch cosine"}
_MEASURES = {
    "pointing": "pointing game",
    "average_precision": "average precision",
    "iou": "intersection over union",
}
_TEXTS = {"long": "long caption", "short": "short caption", "captions": "caption"}
_PROTOCOLS = {
    "global": "",
    "conditioned": "conditioned, ",
    "own_caption": "own caption (leaks), ",
    "own_way": "its own way, ",
    "late": "late interaction, ",
}


def metric_title(name: str) -> str:
    """What a metric is called in a table: the field's terms in place of the record's key.

    "retrieval/global/long/t2i_R@1" is "long caption → image, R@1"; a name of no known kind stays
    as it is.
    """
    match name.split("/"):
        case ["retrieval", protocol, texts, way] if protocol in _PROTOCOLS and "_" in way:
            direction, recall = way.split("_", 1)
            text = _TEXTS.get(texts, texts.replace("_", " "))
            ends = (text, "image") if direction == "t2i" else ("image", text)
            return f"{_PROTOCOLS[protocol]}{' → '.join(ends)}, {recall}"
        case ["regions", kind, level]:
            return f"regions, {level}" + _of_what(kind)
        case ["attributes", kind, attribute]:
            return f"regions, {attribute} alone" + _of_what(kind)
        case ["grounding", kind, measure] if kind in _KIND_OF_MAP and measure in _MEASURES:
            return f"{_MEASURES[measure]}, {_KIND_OF_MAP[kind]}"
    return name


def _of_what(kind: str) -> str:
    """Region metrics are of the region's patches unless they say otherwise."""
    return "" if kind == "dense" else f", {kind} picture"


_OF_PHOTOGRAPHS = {"/long/": "/captions/", "/short/": "/summary/"}
_CALLED = {"long caption": "caption", "short caption": "summary"}


def fitting(titles: Mapping[str, str], measured: Collection[str]) -> dict[str, str]:
    """Titles and metrics as far as they were measured, in the names that photographs' have.

    A scene has a long caption and a short one; photographs have captions, long or short, and a
    summary where there is one caption each.

    Args:
        titles: metric by title, as for scenes.
        measured: names of metrics.
    """
    found = {}
    for title, name in titles.items():
        other, called = name, title
        for kind, of_photographs in _OF_PHOTOGRAPHS.items():
            other = other.replace(kind, of_photographs)
        for kind, word in _CALLED.items():
            called = called.replace(kind, word)
        if name in measured:
            found[title] = name
        elif other in measured:
            found[called] = other
    return found


def percent(estimate: Estimate, *, signed: bool = False) -> str:
    """`mean [low, high]` in percent, one decimal; `signed` writes the sign of a difference."""
    form = "+.1f" if signed else ".1f"
    mean, low, high = (format(100 * float(estimate[part]), form) for part in PARTS)
    return f"{mean} [{low}, {high}]"


def plus_minus(estimate: Estimate) -> str:
    """`mean ±half of the interval` in percent; without ± where the interval has no width."""
    half = (estimate["high"] - estimate["low"]) / 2
    return f"{100 * estimate['mean']:.1f}" + (f" ±{100 * half:.1f}" if half else "")


def reach(estimate: Estimate) -> tuple[float, tuple[float, float]]:
    """Mean in percent, and how far the interval reaches below and above it, for a bar."""
    mean, low, high = (100 * float(estimate[part]) for part in PARTS)
    # A bootstrap interval may exclude its own mean by rounding; a bar can't have negative length.
    return mean, (max(0.0, mean - low), max(0.0, high - mean))
