"""Retrieval by FILIP's own score, the late interaction of patches and words, on scenes.

The comparison scores every method by its class token, which all of them have. FILIP adds a
token-wise similarity, as methods with a pooler add conditioned embeddings.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import datasets
import torch

from bclip_core.backbone import Tokenizer
from bclip_core.data.images import decode_images
from bclip_core.evaluation import (
    Metrics,
    ranks,
    retrieval_from_ranks,
    retrieval_metric,
    summarise_retrieval,
)
from bclip_core.evaluation.encoding import device_of, encode_images
from bclip_core.losses import late_interaction_similarity
from bclip_core.model import BClip, get_method
from bclip_core.train import Run

KIND = "late"  # of retrieval, in names of metrics
TERM = "late_interaction"  # methods that learn by it are scored by it
TEXTS_AT_A_TIME = 64


@torch.inference_mode()
def late_retrieval(model: BClip, dataset: datasets.Dataset, texts: str = "long") -> Metrics:
    """R@1, 5 and 10 of long captions by late interaction, every text against every picture.

    Texts are ranked for a picture by the mean over its patches of the best word, pictures for a
    text by the mean over its words of the best patch (FILIP, arXiv 2111.07783).

    Args:
        model: any; its patches and words are compared as they are.
        dataset: scenes or photographs, with one caption each.
        texts: what the captions are called in names.

    Returns:
        `retrieval/late/TEXTS/<t2i|i2t>_R@k`, as `protocols.scenes.evaluate` gives its metrics.
    """
    model = model.eval()
    pixels, _ = decode_images(dataset, model.backbone.image_size[0])
    _, patches = encode_images(model, pixels)
    tokens = Tokenizer(model.backbone.config.context_length)(dataset["caption"])
    device = device_of(model)
    patches, parts = patches.to(device), []
    for part in torch.split(tokens, TEXTS_AT_A_TIME):
        _, words, mask = model.backbone.encode_words(part.to(device))
        length = int(mask.nonzero()[:, 1].max()) + 1  # no word behind it
        both = late_interaction_similarity(patches, words[:, :length], mask[:, :length])
        parts.append([similarity.cpu() for similarity in both])
    to_text, to_image = (torch.cat(several, 1) for several in zip(*parts, strict=True))
    relevant = torch.eye(len(tokens), dtype=torch.bool)
    found = {
        "t2i": ranks(to_image.T, relevant, query="text"),
        "i2t": ranks(to_text, relevant, query="image"),
    }
    return summarise_retrieval(
        f"retrieval/{KIND}/{texts}", retrieval_from_ranks(found, (1, 5, 10)), relevant
    )


def obtain_late(runs: Sequence[Run]) -> list[Metrics]:
    """`late_retrieval` of each run on its test scenes, kept beside its metrics.

    Empty for methods that don't learn by late interaction, and for pictures with several captions.
    """
    found = []
    for run in runs:
        texts = "long" if run.config.data.name == "scenes" else "captions"
        late = TERM in get_method(run.config.method).terms and (
            texts == "long" or retrieval_metric("global", "summary") in run.metrics()
        )
        measure = functools.partial(late_retrieval, texts=texts)
        found.append(run.kept("late", measure, retrieval_metric(KIND, texts)) if late else {})
    return found
