"""Retrieval from a similarity matrix: ranks, recall at k and what chance would give.

Ties are resolved against the model: an irrelevant item with the same similarity counts as ranked
above. A model that scores everything alike therefore finds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK_ELEMENTS = 1 << 24  # entries of the similarity matrix that are looked at together


class Retrieval(NamedTuple):
    """Both directions of one retrieval evaluation; the two dictionaries share their keys.

    Attributes:
        recall: fraction of queries in [0, 1] under names such as `t2i_R@1` and `i2t_R@5`.
        hits: the queries behind each number, bool [Q] for `t2i_*` and [M] for `i2t_*`.
    """

    recall: dict[str, float]
    hits: dict[str, Tensor]


def similarity_matrix(text: Tensor, image: Tensor) -> Tensor:
    """Cosine similarity of every text with every image.

    Args:
        text: embeddings [Q, D], any length of vector.
        image: embeddings [M, D].

    Returns:
        Similarities [Q, M].

    Raises:
        ValueError: the inputs are not two matrices of the same width.
    """
    if text.ndim != 2 or image.ndim != 2 or text.shape[1] != image.shape[1]:
        raise ValueError(
            f"text {tuple(text.shape)} and image {tuple(image.shape)}: expected [Q, D] and [M, D]"
        )
    return F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T


def ranks(similarity: Tensor, relevant: Tensor, *, query: str = "query") -> Tensor:
    """Rank of the best relevant item of each query, counted from 1.

    The rank is one more than the number of irrelevant items that are at least as similar as the
    best relevant one, so that a tie counts against the model.

    Args:
        similarity: [Q, M], larger is more similar.
        relevant: bool [Q, M], which items answer which query.
        query: what a row is called in an error message.

    Returns:
        Ranks int64 [Q] in 1..M.

    Raises:
        ValueError: shapes or dtype do not fit, nothing to rank, a similarity is NaN, or a query
            has no relevant item (the message names the row).
    """
    _check_matrices(similarity, relevant)
    rows = max(1, _CHUNK_ELEMENTS // similarity.shape[1])
    found = []
    for start in range(0, len(similarity), rows):
        scores, answers = similarity[start : start + rows], relevant[start : start + rows]
        _check_rows(scores, answers, start, query)
        best = scores.masked_fill(~answers, -math.inf).amax(dim=1, keepdim=True)
        found.append(1 + ((scores >= best) & ~answers).sum(dim=1))
    return torch.cat(found)


def recall_at_k(similarity: Tensor, relevant: Tensor, k: int) -> float:
    """Fraction of queries with any relevant item among the k most similar ones.

    Args:
        similarity: [Q, M], larger is more similar.
        relevant: bool [Q, M]; several items may answer one query.
        k: length of the list that is looked at, at least 1; from M on every query is a hit.

    Returns:
        Recall at k in [0, 1], ties counted against the model.

    Raises:
        ValueError: as `ranks`, or k below 1.
    """
    _check_k(k)
    return _fraction(ranks(similarity, relevant) <= k)


def retrieval_metrics(
    similarity: Tensor, relevant: Tensor, ks: Sequence[int] = (1, 5, 10)
) -> Retrieval:
    """Recall at several k, text to image (rows ask) and image to text (columns ask).

    Args:
        similarity: every text against every image [Q, M].
        relevant: bool [Q, M], which text belongs to which image.
        ks: lengths of the list.

    Returns:
        Recall and per-query hits, see `Retrieval`.

    Raises:
        ValueError: as `ranks` for either direction, or a k below 1.
    """
    for k in ks:
        _check_k(k)
    found = {
        "t2i": ranks(similarity, relevant, query="text"),
        "i2t": ranks(similarity.T, relevant.T, query="image"),
    }
    return retrieval_from_ranks(found, ks)


def retrieval_from_ranks(ranks_by_way: Mapping[str, Tensor], ks: Sequence[int]) -> Retrieval:
    """Recall at several k from the `ranks` of each direction, "t2i" and "i2t"."""
    for k in ks:
        _check_k(k)
    hits = {f"{way}_R@{k}": rank <= k for way, rank in ranks_by_way.items() for k in ks}
    return Retrieval({name: _fraction(hit) for name, hit in hits.items()}, hits)


def chance_recall(relevant: Tensor, k: int) -> float:
    """Expected recall at k of a random order of the items, for the rows of `relevant` [Q, M].

    A query with r of M items relevant is missed with probability C(M-r, k) / C(M, k).

    Raises:
        ValueError: k below 1.
    """
    _check_k(k)
    items = relevant.shape[1]
    drawn = min(k, items)
    missed = [
        math.comb(items - int(count), drawn) / math.comb(items, drawn)
        for count in relevant.sum(dim=1)
    ]
    return 1.0 - sum(missed) / len(missed)


def _fraction(hits: Tensor) -> float:
    return hits.double().mean().item()


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k={k}: expected at least 1")


def _check_matrices(similarity: Tensor, relevant: Tensor) -> None:
    if similarity.ndim != 2 or similarity.shape != relevant.shape or similarity.numel() == 0:
        raise ValueError(
            f"similarity {tuple(similarity.shape)} and relevant {tuple(relevant.shape)}: "
            "expected the same non-empty [Q, M]"
        )
    if relevant.dtype != torch.bool:
        raise ValueError(f"relevant has dtype {relevant.dtype}: expected torch.bool")


def _check_rows(scores: Tensor, answers: Tensor, start: int, query: str) -> None:
    broken = scores.isnan().any(dim=1).nonzero()
    if len(broken):
        raise ValueError(f"similarity of {query} {start + int(broken[0])} is NaN: expected numbers")
    unanswered = (~answers.any(dim=1)).nonzero()
    if len(unanswered):
        raise ValueError(
            f"{query} {start + int(unanswered[0])} has no relevant item: expected at least one"
        )
