"""How a model wants its pictures: the mean and deviation that it was trained with."""

from __future__ import annotations

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor

from bclip_core.config import BackboneConfig


def statistics(config: BackboneConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of a model's pictures per channel, on the scale 0..1."""
    if not config.mean:
        return tuple(OPENAI_DATASET_MEAN), tuple(OPENAI_DATASET_STD)
    return config.mean, config.std


def own_statistics(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The values for a `BackboneConfig`: none where they are OpenAI's."""
    openai = (tuple(OPENAI_DATASET_MEAN), tuple(OPENAI_DATASET_STD))
    given = (tuple(mean), tuple(std))
    return ((), ()) if given == openai else given


def renormalise(images: Tensor, config: BackboneConfig) -> Tensor:
    """Pictures normalised as OpenAI's CLIP wants them, [B, 3, H, W], as this model wants them.

    The whole house normalises alike; a model of other statistics is told from here on.
    """
    if not config.mean:
        return images
    mean, std, own_mean, own_std = (
        torch.tensor(values, dtype=images.dtype, device=images.device).view(3, 1, 1)
        for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, config.mean, config.std)
    )
    return images * (std / own_std) + (mean - own_mean) / own_std
