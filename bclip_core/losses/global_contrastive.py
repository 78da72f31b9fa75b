"""The contrastive loss of CLIP between one image and one text embedding per item."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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


def all_pairs(image: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    """Cosine of every image with every text of every image, in float32 or wider.

    Call it without autocast.

    Args:
        image: [B, D], normalised inside.
        text: [B, K, D], normalised inside.
        mask: which texts exist, [B, K] bool; checked for its shape alone.

    Returns:
        [B, B, K]: image i with text k of image j.

    Raises:
        ValueError: shapes that do not match.
    """
    if text.ndim != 3 or mask.shape != text.shape[:2] or image.shape != text[:, 0].shape:
        shapes = f"image {list(image.shape)}, text {list(text.shape)}, mask {list(mask.shape)}"
        raise ValueError(f"{shapes}: expected [B, D], [B, K, D] and [B, K]")
    dtype = at_least_float32(image, text)
    rows, columns = (functional.normalize(x.to(dtype), dim=-1) for x in (image, text))
    return torch.einsum("id,jkd->ijk", rows, columns)


def at_least_float32(*tensors: Tensor) -> torch.dtype:
    """The dtype to compute in: float64 if any tensor has it, else float32."""
    precise = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if precise else torch.float32


def as_scalar(logit_scale: Tensor | float) -> Tensor:
    """The multiplier as a scalar tensor; a number keeps its double precision.

    Raises:
        ValueError: more or less than one element.
    """
    if not isinstance(logit_scale, Tensor):
        return torch.tensor(float(logit_scale), dtype=torch.float64)
    if logit_scale.numel() != 1:
        raise ValueError(f"logit_scale of shape {list(logit_scale.shape)}: expected one number")
    return logit_scale.reshape(())
