"""What β-CAL asks of every pair, as full matrices: to draw and to check, never to train with."""

from __future__ import annotations

import torch
from torch import Tensor


def beta_cal_targets(
    mask: Tensor, beta: float, form: str = "ce", related: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Targets and weights of all pairs of the valid texts, in the order of `mask.flatten()`.

    CE: row a holds 1 on itself, β on the other valid texts of its image, 0 elsewhere, divided by
    the row's sum; all weights are 1. BCE: the target is 1 inside an image, else 0; the weight is
    β on two different texts of one image, else 1.

    Args:
        mask: [B, K] bool, True where a text is real; N of them.
        beta: in [0, 1].
        form: "ce" or "bce".
        related: [B, K, K] bool, which other texts of its image β reaches; None: all of them.

    Returns:
        targets [N, N] and weights [N, N], float64.

    Raises:
        ValueError: unknown form, beta out of range, mask not [B, K] bool.
    """
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(f"mask {mask.dtype} {list(mask.shape)}: expected torch.bool [B, K]")
    if not 0.0 <= beta <= 1.0:
        raise ValueError(f"beta={beta!r}: expected a number in [0, 1]")
    image_of_text = mask.nonzero()[:, 0]
    same_image = (image_of_text[:, None] == image_of_text).double()
    itself = torch.eye(len(image_of_text), dtype=torch.float64, device=mask.device)
    reached = same_image
    if related is not None:
        place = mask.nonzero()[:, 1]
        reached = same_image * related[image_of_text[:, None], place[:, None], place]
    shared = itself + beta * reached * (1 - itself)
    if form == "ce":
        return shared / shared.sum(1, keepdim=True), torch.ones_like(shared)
    if form == "bce":
        return same_image, 1 - same_image + shared
    raise ValueError(f"form={form!r}: expected one of ce, bce")
