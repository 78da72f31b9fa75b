"""Several texts per image as equal positives of its global embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from bclip_core.losses.numerics import all_pairs, as_scalar


def multi_positive(
    image: Tensor, text: Tensor, mask: Tensor, logit_scale: Tensor | float
) -> Tensor:
    """CLIP's loss averaged over an image's texts: the plain way to use sentences.

    With unit rows, s_i,jk = scale · ⟨image_i, text_jk⟩ and n_i valid texts of image i:

        -1/(2B) Σ_i 1/n_i Σ_k [log softmax over all texts (j, l) of s_i,jl at (i, k)
                               + log softmax over the images j of s_j,ik at i]

    With one text per image this is `global_contrastive`.

    Args:
        image: [B, D], normalised inside.
        text: [B, K, D], normalised inside.
        mask: which texts exist, [B, K] bool; at least one per image.
        logit_scale: the multiplier itself.

    Raises:
        ValueError: shapes that do not match.
    """
    with torch.autocast(image.device.type, enabled=False):
        cosines = all_pairs(image, text, mask)
        logits = as_scalar(logit_scale).to(cosines) * cosines
        positive = logits.diagonal(dim1=0, dim2=1).T  # [B, K]
        valid = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
        by_image = valid.flatten(1).logsumexp(1)[:, None] - positive
        by_text = logits.logsumexp(0) - positive
        losses = ((by_image + by_text) / 2).where(mask, 0)
        return (losses.sum(1) / mask.sum(1).clamp(min=1)).mean()
