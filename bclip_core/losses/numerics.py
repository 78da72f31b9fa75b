"""What the losses share: the precision to compute in, checked scalars, all pairs of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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


def as_scalar(value: Tensor | float, name: str = "logit_scale") -> Tensor:
    """A multiplier or bias as a scalar tensor; a number keeps its double precision.

    Raises:
        ValueError: more or less than one element.
    """
    if not isinstance(value, Tensor):
        return torch.tensor(float(value), dtype=torch.float64)
    if value.numel() != 1:
        raise ValueError(f"{name} of shape {list(value.shape)}: expected one number")
    return value.reshape(())
