"""Similarities of text-conditioned image embeddings: every text with every image.

A text-conditioned embedding exists per (image, text) pair. An honest retrieval score therefore
pools each image once with each candidate text. Pooling an image with its own caption only, as the
authors' evaluation does, tells the model the answer; it is kept here under a name that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bclip_core.evaluation.retrieval import (
    Retrieval,
    ranks,
    retrieval_from_ranks,
    similarity_matrix,
)
from bclip_core.poolers import Pooler
from bclip_core.records.progress import progress_bar

MEMORY_BUDGET = 64 * 2**20
"""Default working memory of one block of pairs in bytes: about 1200 pairs at D = 512, P = 196."""

# What a cross-attention pooler with an MLP of 4·D holds at once, rounded up;
# benchmarks/conditioned_similarity.py measures the peak.
_VECTORS_PER_PAIR = 20  # of width D: text, query, attention, its MLP
_MAPS_PER_PAIR = 16  # of length P: scores and weights of 8 heads where they are not fused
_COPIES_PER_IMAGE = 5  # of [P, D]: normalised patches, keys, values and their layouts


class HasPooler(Protocol):
    """What the conditioned evaluation needs of a model."""

    @property
    def pooler(self) -> Pooler | None:
        """What pools its patches by text."""


def conditioned_similarity(
    model: HasPooler,
    patches: Tensor,
    text: Tensor,
    *,
    memory_budget: int = MEMORY_BUDGET,
    progress: bool = False,
    reference: Tensor | None = None,
) -> Tensor:
    """Cosine of every text with every image pooled under that text: cos(pool(image m, q), text q).

    The pooler sees one block of (images x texts) at a time, so that the patches of an image are
    projected once for all texts of a block and memory does not grow with the number of pairs. The
    work happens where `text` is; patches are moved there block by block. No gradient is kept.

    Args:
        model: anything with a `pooler`; put it in eval mode first.
        patches: [M, P, D].
        text: [Q, D].
        memory_budget: working memory of one block in bytes, at least one pair at a time.
        progress: show a bar over the images on stderr.
        reference: [Q, D], taken from the conditioned embeddings of each text before the cosine;
            `mean_conditioned` of other images leaves what the image adds to them.

    Returns:
        Similarities [Q, M].

    Raises:
        ValueError: the model has no pooler, or the shapes do not fit.
    """
    _check_inputs(model, patches, text)
    images, texts = _block(patches, len(text), memory_budget)
    similarity = text.new_empty(len(text), len(patches))
    centre = torch.zeros_like(text) if reference is None else reference.to(text)
    with torch.no_grad(), progress_bar(total=len(patches), unit="image", progress=progress) as bar:
        for image in _slices(len(patches), images):
            maps = patches[image].to(text.device)
            for query in _slices(len(text), texts):
                pairs = _pair_cosines(model, maps, text[query], centre[query])
                similarity[query, image] = pairs.T
            bar.update(len(maps))
    return similarity


def conditioned_caption_scores(
    model: HasPooler,
    patches: Tensor,
    image_index: Tensor,
    captions: Sequence[Tensor],
    *,
    memory_budget: int = MEMORY_BUDGET,
) -> list[Tensor]:
    """Score each region's captions by pooling its whole picture with each caption.

    The box is not used: the caption itself has to find its object. Feed the result to
    `regions.hits_from_scores`.

    Args:
        model: anything with a `pooler`; put it in eval mode first.
        patches: [M, P, D].
        image_index: int [R], the picture of each region.
        captions: R tensors [1 + N, D], the true caption in row 0.
        memory_budget: working memory of one block in bytes.

    Returns:
        R tensors [1 + N] of cosines.

    Raises:
        ValueError: not one picture and one set of captions per region, an index names no picture,
            or as `conditioned_similarity`.
    """
    if len(image_index) != len(captions):
        raise ValueError(f"{len(captions)} sets of captions: expected one per {len(image_index)}")
    regions_of: dict[int, list[int]] = {}
    for region, index in enumerate(image_index.tolist()):
        if not 0 <= index < len(patches):
            raise ValueError(f"image_index[{region}]={index}: expected 0..{len(patches) - 1}")
        regions_of.setdefault(index, []).append(region)
    same_number = dict[int, list[int]]()  # how many captions a picture is pooled with: pictures
    for index, regions in regions_of.items():
        number = sum(len(captions[region]) for region in regions)
        same_number.setdefault(number, []).append(index)
    scores = dict[int, Tensor]()
    for number, pictures in same_number.items():
        together = _pictures_at_once(patches, number, memory_budget)
        for block in _slices(len(pictures), together):
            asked = [regions_of[index] for index in pictures[block]]
            texts = [torch.cat([captions[region] for region in regions]) for regions in asked]
            cosines = _own_cosines(model, patches[pictures[block]], texts, memory_budget)
            for regions, found in zip(asked, cosines, strict=True):
                parts = torch.split(found, [len(captions[region]) for region in regions])
                scores.update(zip(regions, parts, strict=True))
    return [scores[region] for region in range(len(captions))]


def own_caption_similarity(conditioned: Tensor, text: Tensor) -> Tensor:
    """The authors' evaluation protocol, which leaks the answer; not a retrieval score.

    Image m has been pooled with its own caption m only and is then compared with every text. The
    pooled embedding can carry its caption, so that retrieval succeeds without looking at the
    image: one identical picture for all items is enough. Report it under this name alone.

    Args:
        conditioned: image m pooled with its own caption, [M, D].
        text: [Q, D].

    Returns:
        Cosines [Q, M].

    Raises:
        ValueError: the shapes do not fit.
    """
    return similarity_matrix(text, conditioned)


def _pair_cosines(model: HasPooler, patches: Tensor, text: Tensor, centre: Tensor) -> Tensor:
    """Patches [m, P, D], text and centre [q, D] to the cosines of all m * q pairs, [m, q]."""
    assert model.pooler is not None  # checked with the inputs
    conditioned, _ = model.pooler(patches, text.expand(len(patches), -1, -1))
    cosines: Tensor = torch.einsum(
        "mqd,qd->mq", F.normalize(conditioned - centre, dim=-1), F.normalize(text, dim=-1)
    )
    return cosines


@torch.no_grad()
def _own_cosines(
    model: HasPooler, patches: Tensor, texts: Sequence[Tensor], memory_budget: int
) -> Iterable[Tensor]:
    """Each of the pictures [b, P, D] pooled with its own texts, b of [n, D]; b of [n]."""
    if len(patches) == 1:  # whose texts may be more than fit at once
        whole = conditioned_similarity(model, patches, texts[0], memory_budget=memory_budget)
        return [whole.squeeze(1)]
    _check_inputs(model, patches, texts[0])
    assert model.pooler is not None
    stacked = torch.stack(list(texts))
    conditioned, _ = model.pooler(patches.to(stacked.device), stacked)
    return F.cosine_similarity(conditioned, stacked, dim=-1).unbind()


@torch.no_grad()
def mean_conditioned(model: HasPooler, patches: Tensor, text: Tensor) -> Tensor:
    """What a text gives whatever the image: its mean conditioned embedding over images.

    Args:
        model: anything with a `pooler`; put it in eval mode first.
        patches: [M, P, D], of images that are no candidates.
        text: [Q, D].

    Returns:
        [Q, D].
    """
    _check_inputs(model, patches, text)
    assert model.pooler is not None
    total = torch.zeros_like(text)
    for picture in patches:
        total += model.pooler(picture[None].to(text.device), text[None])[0][0]
    return total / len(patches)


def _block(patches: Tensor, queries: int, memory_budget: int) -> tuple[int, int]:
    """Images and texts per block: first as many texts as fit, then as many images."""
    image_bytes = _picture_bytes(patches, 0)
    pair_bytes = _picture_bytes(patches, 1) - image_bytes
    texts = min(queries, max(1, (memory_budget - image_bytes) // pair_bytes))
    images = max(1, memory_budget // (image_bytes + texts * pair_bytes))
    return images, texts


def _pictures_at_once(patches: Tensor, texts: int, memory_budget: int) -> int:
    """Pictures of a block in which each is pooled with so many texts of its own."""
    return max(1, memory_budget // _picture_bytes(patches, texts))


def _picture_bytes(patches: Tensor, texts: int) -> int:
    """What a picture with so many texts holds at once."""
    positions, width = patches.shape[1:]
    images = _COPIES_PER_IMAGE * positions * width
    pair = _VECTORS_PER_PAIR * width + _MAPS_PER_PAIR * positions
    return int(patches.element_size() * (images + texts * pair))


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))


def _check_inputs(model: HasPooler, patches: Tensor, text: Tensor) -> None:
    if model.pooler is None:
        raise ValueError("model.pooler is None: expected a model with a text-conditioned pooler")
    if patches.ndim != 3 or text.ndim != 2 or patches.shape[-1] != text.shape[-1]:
        raise ValueError(
            f"patches {tuple(patches.shape)} and text {tuple(text.shape)}: "
            "expected [M, P, D] and [Q, D]"
        )


def two_stage_retrieval(
    model: HasPooler,
    patches: Tensor,
    text: Tensor,
    similarity: Tensor,
    relevant: Tensor,
    top_k: int,
    *,
    ks: Sequence[int] = (1, 5, 10),
    lists: str = "each way",
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
        lists: "each way" as above; "per image" as FLAIR's code: the images' lists serve both
            directions, and a text finds no image that does not list it.
        progress: show a bar over the images for each direction.

    Raises:
        ValueError: k beyond the list, unknown `lists`, or shapes that do not fit.
    """
    if top_k < max(ks):
        raise ValueError(f"top_k={top_k}: expected at least {max(ks)}, the largest k asked for")
    if lists not in ("each way", "per image"):
        raise ValueError(f"lists={lists!r}: expected 'each way' or 'per image'")
    per_image = _shortlist(similarity.T, top_k).T
    per_text = per_image if lists == "per image" else _shortlist(similarity, top_k)
    found = {}
    for way, listed in (("t2i", per_text), ("i2t", per_image)):
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
