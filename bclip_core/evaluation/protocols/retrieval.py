"""The papers' protocols on real data sets: retrieval and classes, regions in `protocols.regions`.

Every number comes with a bootstrap 95 % interval over pictures, its chance level and its count,
and every result with how it was measured (`Measured.protocol`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from open_clip import IMAGENET_CLASSNAMES

from bclip_core.backbone import Tokenizer
from bclip_core.data.real import CaptionSet, LabelledSet
from bclip_core.evaluation.classification import class_ranks, zero_shot_classifier
from bclip_core.evaluation.conditioned import own_caption_similarity, two_stage_retrieval
from bclip_core.evaluation.encoding import (
    device_of,
    encode_dataset,
    encode_texts,
    pooled_similarity,
    pooled_with_own,
)
from bclip_core.evaluation.protocols.named import OURS, Protocol
from bclip_core.evaluation.retrieval import retrieval_metrics, similarity_matrix
from bclip_core.evaluation.summaries import Metrics, summarise_items, summarise_retrieval
from bclip_core.evaluation.task import retrieval_task
from bclip_core.model import BClip

CENTRE_CROP = "short side resized (bicubic), centre cropped"
PICTURES = {"crop": CENTRE_CROP, "squash": "both sides resized (bicubic), aspect ratio lost"}
CONDITIONED = ("all", "two-stage", "none")


class Measured(NamedTuple):
    """What a protocol gives: metrics by name, and how they were measured."""

    metrics: Metrics
    protocol: dict[str, Any]


def measure_retrieval(
    model: BClip,
    captions: CaptionSet,
    *,
    conditioned: str = "all",
    top_k: int = 100,
    limit: int | None = None,
    protocol: Protocol = OURS,
    progress: bool = False,
) -> Measured:
    """Retrieval between pictures and their long or only captions, and their summaries.

    A query is a hit at k when any of its answers is among the k most similar items; a tie with a
    wrong item counts against the model. A text's answer is its own picture; all captions of a
    picture are its answers. Texts longer than the model's context are cut and keep their end token;
    how many is recorded. Names: `retrieval/PROTOCOL/TEXTS/t2i_R@1` with TEXTS `captions` or
    `summary` (the data set's short caption, else the first sentence; for single-caption sets), and
    PROTOCOL

    - `global`: cosine of the class token and the text.
    - `conditioned`: cosine of the text and the image pooled under it, every text with every image.
    - `conditioned_topK`: the same, on short lists of K by the global cosine.
    - `own_caption`: the authors' protocol, which leaks the answer: each image pooled with its own
      caption. For single-caption sets.

    Args:
        model: the last three need a pooler and are left out without one.
        captions: M pictures.
        conditioned: "all", "two-stage" or "none".
        top_k: length of the short lists.
        limit: at most so many captions of a picture; None takes those of the protocol.
        protocol: whose choices of pictures, captions, text path, short lists, precision and k.
        progress: show bars.

    Raises:
        ValueError: another value of `conditioned`.
    """
    if conditioned not in CONDITIONED:
        raise ValueError(f"conditioned={conditioned!r}: expected one of {', '.join(CONDITIONED)}")
    pooled = model.pooler is not None and conditioned != "none"
    pictures, resize = captions.to_dataset(), protocol.resize or model.backbone.config.resize
    path, limit = protocol.path(captions.name), limit or protocol.captions or None
    image, patches = encode_dataset(
        model.eval(), pictures, resize=resize, patches=pooled, progress=progress
    )
    single = all(len(item.captions[:limit]) == 1 for item in captions.items)
    metrics: Metrics = {}
    told: dict[str, Any] = {"pictures": PICTURES[resize], "pixels": model.backbone.image_size[0]}
    told |= protocol.told(captions.name)
    for kind in ("captions", "summary") if single else ("captions",):
        tokenizer = tokenizer_of(model, path)
        task = retrieval_task(captions, tokenizer, limit=limit, summary=kind == "summary")
        assert task.cut is not None
        told[kind] = task.cut._asdict()
        text = encode_texts(model, task.texts, path=path, progress=progress)
        plain = similarity_matrix(text, image)
        found = {"global": retrieval_metrics(plain, task.relevant, protocol.ks)}
        if pooled and conditioned == "all":
            honest = pooled_similarity(model, patches, text, progress=progress)
            found["conditioned"] = retrieval_metrics(honest, task.relevant, protocol.ks)
        if pooled and conditioned == "two-stage":
            query, relevant = text.to(device_of(model)), task.relevant
            found[f"conditioned_top{top_k}"] = two_stage_retrieval(
                model, patches, query, plain, relevant, top_k,
                ks=protocol.ks, lists=protocol.lists, progress=progress,
            )  # fmt: skip
        if pooled and single:
            own = own_caption_similarity(pooled_with_own(model, patches, text), text)
            found["own_caption"] = retrieval_metrics(own, task.relevant, protocol.ks)
        for name, outcome in found.items():
            metrics |= summarise_retrieval(f"retrieval/{name}/{kind}", outcome, task.relevant)
    return Measured(metrics, told)


def measure_classes(
    model: BClip, labelled: LabelledSet, *, protocol: Protocol = OURS, progress: bool = False
) -> Measured:
    """Zero-shot classification by open_clip's classifier and CLIP's 80 templates of ImageNet.

    Names: `classification/top1` and `classification/top5`: whether the picture's class is the most
    similar one, or among the five; a tie counts against the model.

    Args:
        model: any model of the collection.
        labelled: pictures of named classes.
        protocol: whose choice of pictures and precision.
        progress: show bars.
    """
    pictures, resize = labelled.to_dataset(), protocol.resize or model.backbone.config.resize
    image, _ = encode_dataset(
        model.eval(), pictures, resize=resize, patches=False, progress=progress
    )
    names = labelled.class_names or tuple(IMAGENET_CLASSNAMES)
    classifier = zero_shot_classifier(
        model.backbone, tokenizer_of(model), names, device=device_of(model), progress=progress
    )
    found = class_ranks(image, classifier, labelled.labels())
    metrics = {
        f"classification/top{k}": summarise_items(found <= k, min(k / len(names), 1.0))
        for k in (1, 5)
    }
    size = model.backbone.image_size[0]
    told = {"pictures": PICTURES[resize], "pixels": size, "classes": len(names)}
    return Measured(metrics, told | protocol.told(labelled.name))


def tokenizer_of(model: BClip, path: str = "auto") -> Tokenizer:
    """The tokenizer of a model's context, or of its short text path where all texts go that way."""
    short = model.backbone.config.short_context if path == "short" else 0
    return Tokenizer(short or model.backbone.context_length)
