"""FG-OVD's protocol: the true expression of a box among false ones; what not looking gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import torch
from torch import Tensor

from bclip_core.data.real import RegionSet
from bclip_core.evaluation.encoding import encode_dataset, encode_texts, pooled_caption_scores
from bclip_core.evaluation.protocols.named import OURS, Protocol
from bclip_core.evaluation.protocols.retrieval import Measured, tokenizer_of
from bclip_core.evaluation.regions import (
    blind_region_accuracy,
    hits_from_scores,
    region_scores,
    roi_features,
)
from bclip_core.evaluation.summaries import Metrics, region_metric, summarise_items
from bclip_core.evaluation.task import count_cut
from bclip_core.model import BClip

WHOLE = "whole picture squashed to the square (bicubic), aspect ratio lost"
_TIED = {"miss": "missed", "hit": "hit"}
OTHER_PICTURES = 4  # so many for each region's level of not looking, where it is pooled


def measure_regions(
    model: BClip,
    levels: Mapping[str, RegionSet],
    *,
    protocol: Protocol = OURS,
    progress: bool = False,
) -> Measured:
    """FG-OVD: the true expression of a box among false ones.

    A region is a hit when its true expression is more similar than every false one; a tie is a
    miss unless the protocol says otherwise, and how many a tie decides is recorded. Names:
    `regions/dense/LEVEL`, the ROI-aligned patches of the squashed picture (value-only ones, but of
    a model whose patches attend, as FLAIR's, those) against the expressions, the box in
    pixels of the original scaled per axis; and, with a pooler, `regions/pooled/LEVEL`, the whole
    picture pooled with each expression, the box unused. Beside the chance level 1 / (1 + N) stands
    `blind`, what the model scores on regions of other pictures, see `blind_region_accuracy`.

    Args:
        model: any model of the collection.
        levels: the regions of each level.
        protocol: whose choice of text path, precision and of what a tie is.
        progress: show bars.
    """
    files = list(dict.fromkeys(path for regions in levels.values() for path in regions.photos()))
    columns = {"id": [file.name for file in files], "image": [str(file) for file in files]}
    pictures = datasets.Dataset.from_dict(columns)
    pictures = pictures.cast_column("image", datasets.Image())
    _, patches = encode_dataset(model.eval(), pictures, whole=True, progress=progress)
    items = [item for regions in levels.values() for item in regions.items]
    texts = [text for item in items for text in item.captions]
    path = protocol.path("fgovd")
    encoded = encode_texts(model, texts, path=path, progress=progress)
    per_item = iter(torch.split(encoded, [len(item.captions) for item in items]))
    row_of = {path: row for row, path in enumerate(files)}
    cut = count_cut(texts, tokenizer_of(model, path))
    ties: dict[str, int] = {}
    told: dict[str, Any] = {
        "pictures": WHOLE, "pixels": model.backbone.image_size[0], "photos": len(files),
        "captions": cut._asdict(), "patches": model.backbone.config.patches,
    }  # fmt: skip
    told |= protocol.told("fgovd") | {f"{_TIED[protocol.ties]} by a tie": ties}
    metrics: Metrics = {}
    for level, regions in levels.items():
        rows = torch.tensor([row_of[item.photo] for item in regions.items])
        captions = [next(per_item) for _ in regions.items]
        region = _region_features(model, patches, rows, regions)
        scores = {"dense": region_scores(region, captions)}
        several = len(set(rows.tolist())) > 1  # else there is no other picture to look at
        blind = {"dense": blind_region_accuracy(region, captions, rows)} if several else {}
        if model.pooler is not None:
            scores["pooled"] = pooled_caption_scores(model, patches, rows, captions)
            if several:
                blind["pooled"] = _blind_pooled(model, patches, rows, captions)
        chance = sum(1 / len(item.captions) for item in regions.items) / len(regions)
        for kind, values in scores.items():
            outcome = hits_from_scores(values, protocol.ties)
            summary = summarise_items(outcome.hits, chance, rows)
            metrics[region_metric(level, kind)] = summary | (
                {"blind": blind[kind]} if kind in blind else {}
            )
            ties[f"{kind}/{level}"] = outcome.ties
    return Measured(metrics, told)


def _blind_pooled(model: BClip, patches: Tensor, rows: Tensor, captions: Sequence[Tensor]) -> float:
    """Share of hits when each region's captions ask one of a few other pictures."""
    shifts = range(1, min(len(patches), OTHER_PICTURES + 1))
    asked = ((rows + shift) % len(patches) for shift in shifts)
    hits = [
        hits_from_scores(pooled_caption_scores(model, patches, other, captions)).hits
        for other in asked
    ]
    return torch.cat(hits).double().mean().item()


def _region_features(model: BClip, patches: Tensor, rows: Tensor, regions: RegionSet) -> Tensor:
    boxes, patches = torch.tensor([item.box for item in regions.items]), patches.float()
    sizes = torch.zeros(len(patches), 2, dtype=torch.int64)
    sizes[rows] = torch.tensor([item.size for item in regions.items])
    return roi_features(patches, model.backbone.grid, boxes, rows, sizes)
