"""The leak of conditioned embeddings, measured on scenes.

One identical picture for all captions, and the variance that the text alone explains, see
`evaluation.leak`; and retrieval conditioned on every candidate once the text's mean is taken away.
"""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import torch

from bclip_core.data.images import decode_images
from bclip_core.evaluation import (
    conditioned_similarity,
    identical_picture_recall,
    mean_conditioned,
    retrieval_metrics,
    variance_shares,
)
from bclip_core.evaluation.encoding import device_of, encode_images, encode_texts
from bclip_core.model import BClip
from bclip_core.train import Run

CANDIDATES = 500  # texts, and images to find among
PICTURES = 20  # that are shown one at a time
REFERENCES = 64  # images whose mean conditioned embedding is taken away
NEWEST = "identical_centred/t2i_R@1"  # a stored measurement without it is made again
GRID = 100  # images and texts of the variance shares


def measure_leak(model: BClip, dataset: datasets.Dataset) -> dict[str, float]:
    """How much of the long captions' conditioned embeddings is the caption; empty without a pooler.

    Args:
        model: any.
        dataset: scenes; the last `REFERENCES` (at most half) are references, the first
            `CANDIDATES` of the others candidates, and the first `PICTURES` of these are shown.

    Returns:
        `identical/t2i_R@1`, `identical/i2t_R@1` and `identical/chance`; `share/text`,
        `share/image` and `share/pair`; R@1 conditioned on every candidate as `honest/...`. With
        each text's mean over the references taken away, `identical_centred/...` and
        `honest_centred/...`.
    """
    if model.pooler is None:
        return {}
    model = model.eval()
    pixels, _ = decode_images(dataset, model.backbone.image_size[0])
    _, patches = encode_images(model, pixels)
    text = encode_texts(model, dataset["caption"]).to(device_of(model))
    held = min(REFERENCES, len(text) // 2)
    references, count = patches[-held:], min(CANDIDATES, len(text) - held)
    candidates, text = patches[:count], text[:count]
    shown = candidates[:PICTURES]
    centre = mean_conditioned(model, references, text)
    values = {"identical/chance": 1 / len(text)}
    for name, reference in (("identical", None), ("identical_centred", centre)):
        recall = identical_picture_recall(model, shown, text, reference)
        values |= {f"{name}/{key}": value for key, value in recall.items()}
    shares = variance_shares(model, candidates[:GRID], text[:GRID])
    values |= {f"share/{name}": value for name, value in shares._asdict().items()}
    relevant = torch.eye(len(text), dtype=torch.bool)
    for name, reference in (("honest", None), ("honest_centred", centre)):
        similarity = conditioned_similarity(model, candidates, text, reference=reference).cpu()
        recall = retrieval_metrics(similarity, relevant, ks=(1,)).recall
        values |= {f"{name}/{key}": value for key, value in recall.items()}
    return values


def obtain_leaks(runs: Sequence[Run]) -> list[dict[str, float]]:
    """`measure_leak` of each run on its test scenes, kept beside its metrics."""
    return [run.kept("leak", measure_leak, NEWEST) for run in runs]
