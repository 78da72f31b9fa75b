"""Sigmoid losses: every image with every text is a yes or no of its own (SigLIP, FLAIR)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bclip_core.losses.numerics import all_pairs, as_scalar, at_least_float32


def sigmoid_contrastive(
    image: Tensor, text: Tensor, mask: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """Every image against every text: -1/N Σ_i Σ_jk log σ(y (scale · ⟨image_i, text_jk⟩ + bias)).

    text_jk is text k of image j, y is 1 where i = j, else -1; N counts the valid texts. With one
    text per image it is SigLIP's loss (arXiv 2303.15343); with several it is FLAIR's multi-positive
    sigmoid loss (arXiv 2412.03561).

    Args:
        image: [B, D], normalised inside.
        text: [B, K, D], normalised inside.
        mask: which texts exist, [B, K] bool.
        scale: the multiplier itself.
        bias: added to every logit; SigLIP starts it at -10.

    Raises:
        ValueError: shapes that do not match.
    """
    with torch.autocast(image.device.type, enabled=False):
        cosines = all_pairs(image, text, mask)
        logits = as_scalar(scale).to(cosines) * cosines + as_scalar(bias).to(cosines)
        own = torch.eye(len(image), dtype=torch.bool, device=image.device)[:, :, None]
        losses = -functional.logsigmoid(logits.where(own, -logits))
        return losses.where(mask, 0).sum() / mask.sum().clamp(min=1)


def text_conditioned_sigmoid(
    own: Tensor, others: Tensor, mask: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """FLAIR's text-conditioned sigmoid loss (arXiv 2412.03561; its code divides as here).

    Σ_b 1/(n_b + M) [Σ_k -log σ(scale · own_bk + bias) + Σ_m -log σ(-(scale · others_bm + bias))],
    with n_b valid texts of image b. In FLAIR's code each image draws one text of every other image
    afresh; here every image gives one text to all others, so that the pairs are as many.

    Args:
        own: cosine of text k with its own image pooled under it, [B, K].
        others: cosine of one text of b with each of M other images pooled under it, [B, M].
        mask: which texts exist, [B, K] bool.
        scale: the multiplier itself.
        bias: added to every logit.
    """
    dtype = at_least_float32(own, others)
    scale, bias = as_scalar(scale).to(own.device, dtype), as_scalar(bias).to(own.device, dtype)
    positive = -functional.logsigmoid(scale * own.to(dtype) + bias).where(mask, 0)
    negative = -functional.logsigmoid(-(scale * others.to(dtype) + bias))
    count = mask.sum(1) + others.shape[1]
    return ((positive.sum(1) + negative.sum(1)) / count).sum()
