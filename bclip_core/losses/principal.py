"""Coarse image features by principal components (Long-CLIP, arXiv 2403.15378)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def principal_features(image: Tensor, components: int) -> Tensor:
    """A batch's image features, rebuilt from their mean and first principal components.

    Long-CLIP matches these with the short caption, so that what only a long caption tells need not
    be in the first components. The directions come from the unit features of the batch (its code
    takes 32); they are constants to the gradient, since that of a singular value decomposition has
    no bound where two singular values meet.

    Args:
        image: [B, D], normalised inside.
        components: how many directions are kept; fewer where the batch has fewer. (B images span
            at most B - 1 around their mean; what a decomposition gives beyond is arbitrary.)

    Returns:
        [B, D], not normalised.

    Raises:
        ValueError: not [B, D], or no component.
    """
    if image.ndim != 2 or components < 1:
        raise ValueError(
            f"image {list(image.shape)}, components={components}: expected [B, D] and >= 1"
        )
    with torch.autocast(image.device.type, enabled=False):
        unit = functional.normalize(image.double() if image.dtype == torch.float64
                                    else image.float(), dim=1)  # fmt: skip
        mean = unit.mean(0)
        centred = unit - mean
        _, lengths, directions = torch.linalg.svd(centred.detach(), full_matrices=False)
        nothing = lengths[0] * max(centred.shape) * torch.finfo(lengths.dtype).eps
        kept = directions[:components][lengths[:components] > nothing]
        rebuilt: Tensor = mean + centred @ kept.T @ kept
        return rebuilt
