"""The papers' headline rows beside ours, from committed results only; subsets in their own table.

A result of `measure` fills a published row when its label is the row's model, its data set the
row's (one of its lists counts: dci-1999 for dci), its split the test split, for regions the row's
level, or the one that its protocol reads, and the data were complete. Its cell says by which
protocol it was measured (`evaluation.protocols.named`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bclip_core.evaluation import (
    REGION_LEVELS,
    metric_title,
    percent,
    region_metric,
    retrieval_metric,
)
from bclip_core.evaluation.protocols.named import OURS, PROTOCOLS, get_protocol
from bclip_core.records.files import is_hidden, read_record
from bclip_core.records.results import REFERENCE_FOLDER

_CARD = "github.com/fzohra/B-CLIP, README.md"
_ZOO = "github.com/beichenzbc/Long-CLIP, checkpoints/model_zoo.md"
_FLAIR = "github.com/ExplainableML/flair 4feb3675, README.md"
_BETA = "arXiv 2512.12678"
_MUL = "arXiv 2512.07128"


@dataclass(frozen=True)
class Published:
    """One number of a paper.

    Attributes:
        model: the row's model; ours has the same `label`.
        data_set: as in `data.real`.
        metric: as in results of `measure`.
        title: what the paper calls the quantity.
        value: percent.
        source: where it is printed.
        protocol: whose choices stand behind it, of `protocols.named`.
        note: what has to be known to compare.
    """

    model: str
    data_set: str
    metric: str
    title: str
    value: float
    source: str
    protocol: str
    note: str = ""


def _pair(
    model: str, data_set: str, title: str, i2t: float, t2i: float, source: str,
    *, protocol: str, k: int = 1, note: str = "",
) -> tuple[Published, Published]:  # fmt: skip
    """Both directions of one retrieval result."""
    ways = (("i2t", "image → text", i2t), ("t2i", "text → image", t2i))
    score = get_protocol(protocol).score
    first, second = (
        Published(model, data_set, retrieval_metric(score, "captions", way, k),
                  f"{title}, {arrow}, R@{k}", value, source, protocol, note)
        for way, arrow, value in ways
    )  # fmt: skip
    return first, second


def _regions(model: str, *values: float) -> tuple[Published, ...]:
    return tuple(
        Published(
            model, "fgovd", region_metric(level), f"FG-OVD {level}", value, _CARD, "beta-clip"
        )
        for level, value in zip(REGION_LEVELS, values, strict=True)
    )


_UNSTATED = "which of the two models is not stated; which of DCI's lists neither"
_TUNED = "after fine-tuning on DOCCI"


def _relative(
    model: str, coco: tuple[float, float], flickr: tuple[float, float], source: str, protocol: str,
    whole: str,
) -> tuple[Published, ...]:  # fmt: skip
    """COCO 5K and Flickr30k, each as image to text and text to image."""
    return (
        *_pair(model, "flickr30k", f"Flickr30k {whole}", *flickr, source, protocol=protocol),
        *_pair(model, "coco", "COCO 5K", *coco, source, protocol=protocol),
    )


PUBLISHED: tuple[Published, ...] = (
    *_pair("beta-clip-bce", "urban1k", "Urban-1K", 92.3, 91.8, f"{_BETA}; {_CARD}",
           protocol="beta-clip"),
    *_pair("beta-clip-bce", "sv1k", "SV-1k", 94.1, 94.4, _CARD, protocol="beta-clip"),
    *_regions("beta-clip-bce", 20.1, 38.5, 34.2, 71.3),
    *_pair("beta-clip-ce", "urban1k", "Urban-1K", 88.6, 89.0, _CARD, protocol="beta-clip"),
    *_pair("beta-clip-ce", "sv1k", "SV-1k", 94.0, 93.7, _CARD, protocol="beta-clip"),
    *_regions("beta-clip-ce", 30.9, 55.4, 60.4, 80.3),
    *_pair("beta-clip", "dci", "DCI", 63.6, 65.1, _BETA, protocol="beta-clip", note=_UNSTATED),
    *_pair("mulclip", "dci", "DCI", 76.83, 78.83, _MUL, protocol="mulclip", note=_TUNED),
    *_pair("mulclip", "docci", "DOCCI", 97.88, 98.1, _MUL, protocol="mulclip", k=5, note=_TUNED),
    *_relative("mulclip", (62.86, 44.25), (89.6, 74.68), _MUL, "mulclip", "1K"),
    Published("mulclip", "imagenet-v2", "classification/top1", "ImageNet-V2, top 1", 63.37, _MUL,
              "mulclip"),
    *_relative("longclip-b", (57.2, 40.4), (47.2, 33.1), _ZOO, "long-clip", "whole"),
    *_relative("longclip-l", (58.3, 45.1), (48.8, 39.4), _ZOO, "long-clip", "whole"),
    *_relative("flair-cc3m-recap", (51.6, 37.7), (78.7, 65.7), _FLAIR, "flair", "1K"),
    *_relative("flair-cc12m-recap", (64.1, 47.8), (90.8, 75.4), _FLAIR, "flair", "1K"),
    *_relative("flair-yfcc15m-recap", (67.3, 51.2), (93.3, 79.2), _FLAIR, "flair", "1K"),
    *_relative("flair-merged30m", (68.0, 53.3), (94.7, 81.1), _FLAIR, "flair", "1K"),
)  # fmt: skip


@dataclass(frozen=True)
class PublishedLengths:
    """What β-CLIP's authors print of ShareGPT4V's 1.2M captions (spaCy's small English model).

    A phrase's tokens include start and end. Percentiles are 50, 75, 90, 95, 99.
    """

    captions: int = 1_242_828
    phrases_mean: float = 42.06
    phrases_median: float = 41.0
    phrases_percentiles: tuple[float, ...] = (41.0, 50.0, 56.0, 60.0, 68.0)
    phrase_tokens_mean: float = 4.42
    phrase_tokens_median: float = 4.0
    phrase_tokens_percentiles: tuple[float, ...] = (4.0, 5.0, 6.0, 7.0, 8.0)
    source: str = "github.com/fzohra/B-CLIP, sharegpt4v_statistics_phrases.txt"


SHAREGPT4V_LENGTHS = PublishedLengths()

MULCLIP_ABLATION = {
    "full": 76.67,
    "global only": 73.67,
    "without sub-captions": 73.92,
    "without words": 74.93,
    "batch-wise words": 71.60,
}
"""MulCLIP's own ablation (arXiv 2512.07128), by the names of `mulclip.ablation.VARIANTS`: average
R@1 of long-caption retrieval in percent, ViT-B/16 tuned on DOCCI. Seeds and spread: not known."""


Record = Mapping[str, Any]
_FIELDS = {"data_set", "label", "complete", "metrics"}


def measured(size: str, folder: Path = REFERENCE_FOLDER) -> list[dict[str, Any]]:
    """The values of every result of `measure` in a folder, by name.

    Args:
        size: "full" or "mini".
        folder: where results lie.

    Raises:
        ValueError: a file is broken, or says that its data were of the other size.
    """
    found = []
    for path in sorted(folder.glob(f"*__{size}.json")):
        if is_hidden(path.name):  # as macOS leaves them beside copies
            continue
        values = read_record(path, "values")["values"]
        if not isinstance(values, dict) or not _FIELDS <= values.keys():
            raise ValueError(f"{path}: expected a result of `measure`, with {sorted(_FIELDS)}")
        if values["complete"] != (size == "full"):
            raise ValueError(f"{path}: complete={values['complete']}: expected {size == 'full'}")
        found.append(values)
    return found


def paper_rows(
    results: Sequence[Record], published: Sequence[Published] = PUBLISHED
) -> list[list[str]]:
    """Header and rows: model, quantity, published, ours by its protocol, items, whose, source.

    Ours, with their 95 % interval, are empty until measured. What is not known of a published
    number's protocol stands in `protocols.named.protocol_rows`.
    """
    ours = "ours (protocol)"
    rows = [["model", "quantity", "published", ours, "items", "published protocol", "source"]]
    for row in published:
        fitting = [result for result in results if _fits(row, result)]
        measured_here = "; ".join(
            f"{percent(result['metrics'][row.metric])} ({_protocol(result)})" for result in fitting
        )
        items = "; ".join(f"{result['metrics'][row.metric]['count']:,}" for result in fitting)
        source = f"{row.source} ({row.note})" if row.note else row.source
        printed = [row.model, row.title, f"{row.value:g}"]
        rows.append([*printed, measured_here, items, row.protocol, source])
    return rows


def _protocol(result: Record) -> str:
    """By which protocol a result was measured; those from before there were any are ours."""
    return str(result.get("protocol", {}).get("name", OURS.name))


def subset_rows(results: Sequence[Record]) -> list[list[str]]:
    """Header and rows: data set, label, metric, items, levels of guessing, ours; for subsets."""
    rows = [["data set", "model", "metric", "items", "chance", "not looking", "% [95 % interval]"]]
    for result in results:
        for name, value in result["metrics"].items():
            chance, count = f"{100 * value['chance']:.1f}", f"{value['count']:,}"
            blind = f"{100 * value['blind']:.1f}" if "blind" in value else chance
            about = [_titled(result), result["label"], metric_title(name), count, chance, blind]
            rows.append([*about, percent(value)])
    return rows


def other_splits(results: Sequence[Record]) -> list[Record]:
    """Results of other splits than the test split, which never stand beside published numbers."""
    return [result for result in results if _other_split(result)]


def _other_split(result: Record) -> str:
    """The split of a result where it is not one that papers report; "" where it is."""
    levels = ("hard", "medium", "easy", "trivial")
    protocol = PROTOCOLS.get(_protocol(result), OURS)
    read = [name.partition(":")[2] for name in protocol.reads.values()]
    splits = [one["split"] for one in result.get("data", ()) if one["split"] not in read]
    return ", ".join(split for split in splits if split not in ("test", *levels))


def _titled(result: Record) -> str:
    split, protocol = _other_split(result), _protocol(result)
    title = f"{result['data_set']} {split}" if split else str(result["data_set"])
    return title if protocol == OURS.name else f"{title} ({protocol})"


def at_chance(value: Mapping[str, Any]) -> bool:
    """Whether the interval of a metric holds the level of not looking, to rounding.

    That is `blind` where it was measured (regions), else the chance level. A bootstrap of nothing
    but misses (or hits) has no width; the exact binomial 95 % bound stands for its inner end then.
    """
    level, rounding = value.get("blind", value["chance"]), 1e-9
    low, high, bound = value["low"], value["high"], 0.025 ** (1 / value["count"])
    if value["mean"] == 0:
        high = 1 - bound
    elif value["mean"] == 1:
        low = bound
    return bool(low - rounding <= level <= high + rounding)


def outside_chance(results: Sequence[Record]) -> list[str]:
    """Metrics that are not `at_chance`: none are expected of random weights."""
    return [
        f"{result['data_set']} {metric_title(name)}"
        for result in results
        for name, value in result["metrics"].items()
        if not at_chance(value)
    ]


def _fits(row: Published, result: Record) -> bool:
    name = result["data_set"]
    return (
        result["label"] == row.model
        and result["complete"]
        and not _other_split(result)
        and (name == row.data_set or name.startswith(f"{row.data_set}-"))
        and row.metric in result["metrics"]
    )
