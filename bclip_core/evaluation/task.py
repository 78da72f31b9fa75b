"""What retrieval on captioned pictures is: which texts, which answers are right, what is cut.

Text to image: a text's right answer is its own picture. Image to text: any of a picture's texts is
right, so a picture with five captions is a hit at k when one of them is among the first k. Equal
captions of other pictures are not right answers. Recall is `evaluation.retrieval_metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.data.real import CaptionSet


class TokenCut(NamedTuple):
    """How many texts do not fit a context.

    Attributes:
        texts: how many there are.
        cut: how many have more tokens than the context, start and end included, and lose their end.
        longest: tokens of the longest one before cutting.
        context_length: L.
    """

    texts: int
    cut: int
    longest: int
    context_length: int


class RetrievalTask(NamedTuple):
    """Q texts against M pictures.

    Attributes:
        texts: Q texts, those of one picture side by side.
        relevant: bool [Q, M], whether text q belongs to picture m.
        cut: what the tokenizer cuts; None without one.
    """

    texts: list[str]
    relevant: Tensor
    cut: TokenCut | None


def retrieval_task(
    captions: CaptionSet,
    tokenizer: Tokenizer | None = None,
    *,
    limit: int | None = None,
    summary: bool = False,
    rows: Sequence[int] | None = None,
) -> RetrievalTask:
    """The texts and right answers of a set.

    Args:
        captions: M pictures and their captions.
        tokenizer: counts what its context cuts.
        limit: at most so many captions of a picture, as `CaptionSet.texts`.
        summary: the short caption instead, as `CaptionSet.texts`.
        rows: the pictures that take part, in this order, as `decode_images` gives them; None: all.
    """
    texts = captions.texts(limit=limit, summary=summary)
    texts = texts if rows is None else [texts[row] for row in rows]
    owners = torch.tensor([image for image, own in enumerate(texts) for _ in own])
    flat = [text for own in texts for text in own]
    cut = count_cut(flat, tokenizer) if tokenizer is not None else None
    return RetrievalTask(flat, relevant_matrix(owners, len(texts)), cut)


def relevant_matrix(owners: Tensor, images: int) -> Tensor:
    """Which text belongs to which picture, bool [Q, M].

    Args:
        owners: the picture of each text, int64 [Q].
        images: M.

    Raises:
        ValueError: an owner is no picture, or a picture has no text.
    """
    relevant = torch.zeros(len(owners), images, dtype=torch.bool)
    low, high = (int(owners.min()), int(owners.max())) if len(owners) else (0, 0)
    if low < 0 or high >= max(images, 1):
        raise ValueError(f"owners from {low} to {high}: expected 0..{images - 1}")
    relevant[torch.arange(len(owners)), owners] = True
    without = (~relevant.any(dim=0)).nonzero()
    if len(without):
        raise ValueError(f"image {int(without[0])} has no text: expected at least one")
    return relevant


def count_cut(texts: Sequence[str], tokenizer: Tokenizer) -> TokenCut:
    """How many of the texts a tokenizer's context cuts, by its own token count.

    Raises:
        ValueError: no text, or an empty one.
    """
    if not texts:
        raise ValueError("texts=[]: expected at least one text")
    lengths = [tokenizer.count(text) for text in texts]
    length = tokenizer.context_length
    return TokenCut(len(texts), sum(n > length for n in lengths), max(lengths), length)
