"""The protocol on scenes: retrieval, regions and grounding of one model on held-out scenes.

Every number comes with a bootstrap 95 % interval over scenes, its chance level and its count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import datasets
import numpy as np
import torch
from torch import Tensor

from bclip_core.data.images import decode_images
from bclip_core.data.scenes import (
    LEVELS,
    RegionQuery,
    attribute_queries,
    get_difficulty,
    linked_phrases,
    object_masks,
    region_queries,
)
from bclip_core.evaluation.conditioned import own_caption_similarity
from bclip_core.evaluation.encoding import (
    device_of,
    encode_images,
    encode_texts,
    pooled_caption_scores,
    pooled_similarity,
    pooled_with_own,
)
from bclip_core.evaluation.grounding import (
    Grounding,
    grounding_chance,
    grounding_scores,
    patch_cosine_map,
)
from bclip_core.evaluation.regions import hits_from_scores, region_scores, roi_features
from bclip_core.evaluation.retrieval import retrieval_metrics, similarity_matrix
from bclip_core.evaluation.summaries import (
    Metrics,
    attribute_metric,
    grounding_metric,
    region_metric,
    retrieval_metric,
    summarise_items,
    summarise_retrieval,
)
from bclip_core.model import BClip

PHRASES_PER_SCENE = 3  # of the grounding test


def evaluate(model: BClip, dataset: datasets.Dataset, *, progress: bool = False) -> Metrics:
    """All metrics of a model on scenes.

    Args:
        model: with or without a pooler; without one, what needs the pooler is left out.
        dataset: scenes, usually the test split.
        progress: show progress bars.

    Returns:
        For each metric name `{"mean", "low", "high", "chance", "count"}`, fractions in [0, 1].
        Names: `retrieval/<global|conditioned|own_caption>/<long|short>/<t2i|i2t>_R@k`,
        `regions/<dense|pooled>/<level>`, `attributes/<dense|pooled>/<attribute>`,
        `grounding/<attention|cosine>/<pointing|average_precision|iou>`.
    """
    model = model.eval()
    pixels, _ = decode_images(dataset, model.backbone.image_size[0])
    image, patches = encode_images(model, pixels, progress=progress)
    metrics: Metrics = {}
    for kind, captions in (
        ("long", dataset["caption"]),
        ("short", [captions[0] for captions in dataset["short_captions"]]),
    ):
        text = encode_texts(model, captions)
        metrics |= _retrieval(f"global/{kind}", similarity_matrix(text, image))
        if model.pooler is not None:
            honest = pooled_similarity(model, patches, text, progress=progress)
            metrics |= _retrieval(f"conditioned/{kind}", honest)
            own = pooled_with_own(model, patches, text)
            metrics |= _retrieval(f"own_caption/{kind}", own_caption_similarity(own, text))
    first = dataset[0]
    for level in LEVELS:
        asked = region_queries(dataset, level)
        metrics |= _regions(
            partial(region_metric, level), model, patches, asked, first["image"].size
        )
    for attribute in get_difficulty(first["difficulty"]).varying:
        asked = attribute_queries(dataset, attribute)
        metrics |= _regions(
            partial(attribute_metric, attribute), model, patches, asked, first["image"].size
        )
    return metrics | _grounding(model, patches, dataset)


VALIDATED = (retrieval_metric("global", way="t2i"), retrieval_metric("global", way="i2t"))
VALIDATED_REGIONS = region_metric("medium")


def validate(model: BClip, dataset: datasets.Dataset) -> Metrics:
    """The cheap part of `evaluate`, enough to choose settings by, and the score to choose by.

    `score` is the mean of R@1 of long captions (both ways) and the accuracy of medium regions,
    which have equal weight. Nothing of it needs a pooler, so that every method can be searched.
    """
    model = model.eval()
    pixels, _ = decode_images(dataset, model.backbone.image_size[0])
    image, patches = encode_images(model, pixels)
    text = encode_texts(model, dataset["caption"])
    metrics = _retrieval("global/long", similarity_matrix(text, image))
    picture, queries = dataset[0]["image"].size, region_queries(dataset, "medium")
    name = partial(region_metric, "medium")
    metrics |= _regions(name, model, patches, queries, picture, pooled=False)
    recall = float(np.mean([metrics[name]["mean"] for name in VALIDATED]))
    score = (recall + metrics[VALIDATED_REGIONS]["mean"]) / 2
    return metrics | {"score": {"mean": score, "count": len(dataset)}}


def _retrieval(name: str, similarity: Tensor) -> Metrics:
    relevant = torch.eye(len(similarity), dtype=torch.bool)
    return summarise_retrieval(
        f"retrieval/{name}", retrieval_metrics(similarity, relevant), relevant
    )


def _regions(
    name: Callable[[str], str],
    model: BClip,
    patches: Tensor,
    queries: Sequence[RegionQuery],
    picture: tuple[int, int],
    pooled: bool = True,
) -> Metrics:
    """Region accuracy of ROI-aligned patches, and of the picture pooled with each caption.

    `picture` is width and height of the stored scenes, the pixels that boxes are counted in;
    `pooled` False leaves the second out.
    """
    captions = encode_texts(model, [text for query in queries for text in query.captions])
    per_query = list(torch.split(captions, [len(query.captions) for query in queries]))
    rows = torch.tensor([query.row for query in queries])
    size = torch.tensor(picture).expand(len(patches), 2)
    boxes = torch.tensor([query.box for query in queries])
    region = roi_features(patches, model.backbone.grid, boxes, rows, size)
    scores = {"dense": region_scores(region, per_query)}
    if pooled and model.pooler is not None:
        scores["pooled"] = pooled_caption_scores(model, patches, rows, per_query)
    chance = float(np.mean([1 / len(query.captions) for query in queries]))
    return {
        name(kind): summarise_items(hits_from_scores(values).hits, chance, rows.tolist())
        for kind, values in scores.items()
    }


def grounding_items(
    dataset: datasets.Dataset, per_scene: int = PHRASES_PER_SCENE
) -> tuple[list[int], list[str], Tensor]:
    """Phrases with the pixels of what they name: row [R], phrase [R], mask bool [R, H, W].

    A phrase that is true of several objects has all of them as its mask. Phrases true of every
    object of a scene are left out where the scene has others, since any object would do.
    """
    rows, phrases, masks = [], [], []
    columns = ["phrases", "phrase_objects", "instances", "boxes"]
    for row, scene in enumerate(dataset.select_columns(columns)):
        links = {phrase: named for phrase, named in linked_phrases(scene).items() if named}
        objects_shown = len(scene["boxes"])
        specific = {p: linked for p, linked in links.items() if len(linked) < objects_shown}
        asked = dict(list((specific or links).items())[:per_scene])
        for phrase, mask in object_masks(scene, asked).items():
            rows.append(row)
            phrases.append(phrase)
            masks.append(mask)
    return rows, phrases, torch.stack(masks)


class PhraseScores(NamedTuple):
    """How well maps of phrases point, phrase by phrase.

    Attributes:
        rows: the scene of each, R numbers.
        phrases: R texts.
        scores: of each kind of map, "cosine" and, with a pooler, "attention" over all its heads.
        chance: what maps without information score.
    """

    rows: list[int]
    phrases: list[str]
    scores: dict[str, Grounding]
    chance: Grounding


def phrase_scores(
    model: BClip, patches: Tensor, dataset: datasets.Dataset, wording: str = "{}"
) -> PhraseScores:
    """The scores of `grounding_items`, with the scenes' patches [rows, P, D].

    Args:
        model: any.
        patches: of the scenes.
        dataset: the scenes.
        wording: what the model is asked; {} stands for the phrase.
    """
    rows, phrases, masks = grounding_items(dataset)
    text = encode_texts(model, [wording.replace("{}", phrase) for phrase in phrases])
    maps = {"cosine": patch_cosine_map(patches[rows], text)}
    if model.pooler is not None:
        device = device_of(model)
        with torch.inference_mode():
            shown, asked = patches[rows].to(device), text[:, None].to(device)
            weights = model.pooler(shown, asked, need_weights=True)[1]
        assert weights is not None
        maps["attention"] = weights.mean(1)[:, 0].cpu()  # over the heads
    grid = model.backbone.grid
    scores = {kind: grounding_scores(values, grid, masks) for kind, values in maps.items()}
    return PhraseScores(rows, phrases, scores, grounding_chance(grid, masks))


def _grounding(model: BClip, patches: Tensor, dataset: datasets.Dataset) -> Metrics:
    found = phrase_scores(model, patches, dataset)
    return {
        grounding_metric(kind, metric): summarise_items(
            items, float(getattr(found.chance, metric).mean()), found.rows
        )
        for kind, scores in found.scores.items()
        for metric, items in scores._asdict().items()
    }
