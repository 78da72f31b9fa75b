"""The contrastive loss of CLIP between one image and one text embedding per item."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bclip_core.losses.numerics import as_scalar, at_least_float32


def global_contrastive(image: Tensor, text: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE (CLIP, arXiv 2103.00020): item b's image and text against the batch.

    With unit rows and s_ab = scale · ⟨image_a, text_b⟩ the loss is
    -1/(2B) Σ_a (log softmax_b s_ab + log softmax_b s_ba) at b = a. Computed in float32 for
    half-precision input, also under autocast.

    Args:
        image: image embeddings [B, D], normalised inside.
        text: text embeddings [B, D], normalised inside.
        logit_scale: the multiplier itself (already exponentiated), a number or scalar tensor.

    Returns:
        The scalar loss, float64 for float64 input, else float32.

    Raises:
        ValueError: shapes that do not match, an empty batch, a scale that is not scalar.
    """
    if image.ndim != 2 or len(image) == 0:
        raise ValueError(f"image of shape {list(image.shape)}: expected [B, D] with B >= 1")
    if text.shape != image.shape:
        raise ValueError(f"text of shape {list(text.shape)}: expected image's {list(image.shape)}")
    with torch.autocast(image.device.type, enabled=False):
        dtype = at_least_float32(image, text)
        rows = functional.normalize(image.to(dtype), dim=1)
        columns = functional.normalize(text.to(dtype), dim=1)
        logits = as_scalar(logit_scale).to(rows) * (rows @ columns.T)
        labels = torch.arange(len(logits), device=logits.device)
        by_image = functional.cross_entropy(logits, labels)
        by_text = functional.cross_entropy(logits.T, labels)
        return (by_image + by_text) / 2
