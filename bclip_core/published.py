"""Numbers that others published, each with its source. Nothing of ours is ever written here.

`metric` is the name under which `measure` saves the same quantity, so that ours can stand beside.
All values are percent.
"""

from __future__ import annotations

from dataclasses import dataclass

_CARD = "github.com/fzohra/B-CLIP, README.md"
_BETA = "arXiv 2512.12678"
_MUL = "arXiv 2512.07128"
_GLOBAL = "retrieval/global/captions"


@dataclass(frozen=True)
class Published:
    """One number of a paper.

    Attributes:
        model: the row's model; ours has the same `label`.
        data_set: as in `data.benchmarks`.
        metric: as in results of `measure`.
        title: what the paper calls the quantity.
        value: percent.
        source: where it is printed.
        note: what has to be known to compare.
    """

    model: str
    data_set: str
    metric: str
    title: str
    value: float
    source: str
    note: str = ""


def _pair(
    model: str, data_set: str, title: str, i2t: float, t2i: float, source: str,
    *, k: int = 1, note: str = "",
) -> tuple[Published, Published]:  # fmt: skip
    """Both directions of one retrieval result."""
    ways = (("i2t", "image → text", i2t), ("t2i", "text → image", t2i))
    first, second = (
        Published(model, data_set, f"{_GLOBAL}/{way}_R@{k}", f"{title}, {arrow}, R@{k}", value,
                  source, note)
        for way, arrow, value in ways
    )  # fmt: skip
    return first, second


def _regions(model: str, *values: float) -> tuple[Published, ...]:
    levels = ("hard", "medium", "easy", "trivial")
    note = "squashed pictures; the authors count a tie as a hit, we as a miss"
    return tuple(
        Published(model, "fgovd", f"regions/dense/{level}", f"FG-OVD {level}", value, _CARD, note)
        for level, value in zip(levels, values, strict=True)
    )


_UNSTATED = "which of the two models is not stated; which of DCI's lists neither"
_TUNED = "after fine-tuning on DOCCI"
PUBLISHED: tuple[Published, ...] = (
    *_pair("beta-clip-bce", "urban1k", "Urban-1K", 92.3, 91.8, f"{_BETA}; {_CARD}"),
    *_pair("beta-clip-bce", "sv1k", "SV-1k", 94.1, 94.4, _CARD),
    *_regions("beta-clip-bce", 20.1, 38.5, 34.2, 71.3),
    *_pair("beta-clip-ce", "urban1k", "Urban-1K", 88.6, 89.0, _CARD),
    *_pair("beta-clip-ce", "sv1k", "SV-1k", 94.0, 93.7, _CARD),
    *_regions("beta-clip-ce", 30.9, 55.4, 60.4, 80.3),
    *_pair("beta-clip", "dci", "DCI", 63.6, 65.1, _BETA, note=_UNSTATED),
    *_pair("mulclip", "dci", "DCI", 76.83, 78.83, _MUL, note=_TUNED),
    *_pair("mulclip", "docci", "DOCCI", 97.88, 98.1, _MUL, k=5, note=_TUNED),
    *_pair("mulclip", "flickr30k", "Flickr30k 1K", 89.6, 74.68, _MUL),
    *_pair("mulclip", "coco", "COCO 5K", 62.86, 44.25, _MUL),
    Published(
        "mulclip", "imagenet-v2", "classification/top1", "ImageNet-V2, top 1", 63.37, _MUL
    ),
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
"""MulCLIP's own ablation (arXiv 2512.07128), by the names of `mulclip_ablation.VARIANTS`: average
R@1 of long-caption retrieval in percent, ViT-B/16 tuned on DOCCI. Seeds and spread: not known."""
