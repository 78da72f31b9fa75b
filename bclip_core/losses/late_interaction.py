"""Token-wise late interaction (FILIP, arXiv 2111.07783)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from bclip_core.losses.numerics import as_scalar, at_least_float32

IMAGES_AT_A_TIME = 16  # of the [images, patches, texts, words] cosines that exist at once


def late_interaction_similarity(
    patches: Tensor, words: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """FILIP's two similarities of every image with every text.

    Image to text: mean over patches of the largest cosine with a word of the text. Text to image:
    mean over the text's words of the largest cosine with a patch.

    Args:
        patches: [B, P, D], normalised inside.
        words: [T, L, D], normalised inside.
        mask: which words exist, [T, L] bool, at least one per text.

    Returns:
        image-to-text [B, T] and text-to-image [B, T]; images in rows in both.
    """
    patches, words = (functional.normalize(x, dim=-1) for x in (patches, words))
    parts = [
        checkpoint(_both_ways, part, words, mask, use_reentrant=False)
        for part in torch.split(patches, IMAGES_AT_A_TIME)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _both_ways(patches: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    cosines = torch.einsum("bpd,tld->btpl", patches, words)
    cosines = cosines.to(at_least_float32(cosines))
    by_patch = cosines.masked_fill(~mask[None, :, None], -torch.inf).amax(3).mean(2)
    by_word = cosines.amax(2).where(mask, 0).sum(2) / mask.sum(1).clamp(min=1)
    return by_patch, by_word


def late_interaction_contrastive(
    patches: Tensor, words: Tensor, mask: Tensor, logit_scale: Tensor | float
) -> Tensor:
    """Symmetric InfoNCE over the batch on FILIP's similarities.

    -1/(2B) Σ_b [log softmax over texts of scale · sᴵ_b,: at b + log softmax over images of
    scale · sᵀ_:,b at b], sᴵ and sᵀ as `late_interaction_similarity` gives them.

    Args:
        patches: [B, P, D].
        words: of each image's caption, [B, L, D].
        mask: which words exist, [B, L] bool.
        logit_scale: the multiplier itself.

    Raises:
        ValueError: shapes that do not match.
    """
    if len(patches) != len(words) or mask.shape != words.shape[:2]:
        shapes = f"patches {list(patches.shape)}, words {list(words.shape)}, {list(mask.shape)}"
        raise ValueError(f"{shapes}: expected [B, P, D], [B, L, D] and [B, L]")
    to_text, to_image = late_interaction_similarity(patches, words, mask)
    scale = as_scalar(logit_scale).to(to_text)
    labels = torch.arange(len(patches), device=patches.device)
    by_image = functional.cross_entropy(scale * to_text, labels)
    by_text = functional.cross_entropy(scale * to_image.T, labels)
    return (by_image + by_text) / 2
