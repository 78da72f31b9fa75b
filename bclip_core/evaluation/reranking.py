"""Conditioned retrieval in two stages, for sets where every text with every image is too much.

The class token makes a short list, text-conditioned pooling orders it: 25,000 texts, 5,000 images
and lists of 100 need 3 million pooled pairs instead of 125 million. It is honest: the list is made
without knowing the answer, and a query whose answers are all off its list is a miss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bclip_core.evaluation.conditioned import HasPooler, conditioned_similarity
from bclip_core.evaluation.retrieval import Retrieval, ranks, retrieval_from_ranks
from bclip_core.progress import progress_bar


def two_stage_retrieval(
    model: HasPooler,
    patches: Tensor,
    text: Tensor,
    similarity: Tensor,
    relevant: Tensor,
    top_k: int,
    *,
    ks: Sequence[int] = (1, 5, 10),
    progress: bool = False,
) -> Retrieval:
    """Recall of short lists from one similarity, ordered by another.

    Text to image, each text's `top_k` most similar images are ordered by the cosine of the text
    with the image pooled under it; image to text, each image's `top_k` texts likewise. With a list
    of all candidates this is conditioned retrieval itself.

    Args:
        model: anything with a `pooler`; put it in eval mode first.
        patches: [M, P, D].
        text: [Q, D].
        similarity: [Q, M] of the first stage.
        relevant: bool [Q, M].
        top_k: length of the lists.
        ks: as `retrieval_metrics`; none may exceed `top_k`.
        progress: show a bar over the images for each direction.

    Raises:
        ValueError: k beyond the list, or shapes that do not fit.
    """
    if top_k < max(ks):
        raise ValueError(f"top_k={top_k}: expected at least {max(ks)}, the largest k asked for")
    lists = {"t2i": _shortlist(similarity, top_k), "i2t": _shortlist(similarity.T, top_k).T}
    found = {}
    for way, listed in lists.items():
        scores = listed_similarity(model, patches, text, listed, progress=progress)
        scores = scores.to(similarity.device)
        transposed = way == "i2t"
        found[way] = ranks(
            scores.T if transposed else scores,
            relevant.T if transposed else relevant,
            query="image" if transposed else "text",
        )
    return retrieval_from_ranks(found, ks)


def listed_similarity(
    model: HasPooler, patches: Tensor, text: Tensor, listed: Tensor, *, progress: bool = False
) -> Tensor:
    """`conditioned_similarity` of the listed pairs only, -inf for all others.

    Args:
        model: anything with a `pooler`; put it in eval mode first.
        patches: [M, P, D].
        text: [Q, D].
        listed: bool [Q, M].
        progress: show a bar over the images.

    Returns:
        [Q, M], where `text` is.
    """
    scores = text.new_full(listed.shape, -torch.inf)
    for image in progress_bar(range(len(patches)), unit="image", progress=progress):
        rows = listed[:, image].nonzero().squeeze(1).to(text.device)
        if len(rows):
            cosines = conditioned_similarity(model, patches[image : image + 1], text[rows])
            scores[rows, image] = cosines.squeeze(1)
    return scores


def _shortlist(similarity: Tensor, top_k: int) -> Tensor:
    """Which of the columns are among a row's `top_k` largest, bool of the same shape."""
    best = similarity.topk(min(top_k, similarity.shape[1]), dim=1).indices
    return torch.zeros_like(similarity, dtype=torch.bool).scatter_(1, best, True)
