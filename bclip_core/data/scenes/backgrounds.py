"""Background textures: muted colours of middle brightness, so that every object stands out."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bclip_core.data.scenes.attributes import BACKGROUND_COLOURS, Background

_STRIPE_PERIOD, _GRID_PERIOD, _CHECKER_CELL = 0.22, 0.19, 0.17
_PLAIN_NOISE, _SPECKLE_NOISE = 0.015, 0.11
_NOISE_CELLS = 64  # noise cells per side, whatever the picture's size
_NOISE_CROPS = 256  # different places per axis where a crop may start


def paint_backgrounds(
    backgrounds: Sequence[Background], image_size: int, device: str | torch.device
) -> Tensor:
    """Float32 [B, H, W, 3] in [0, 1]."""
    base = torch.tensor([BACKGROUND_COLOURS[b.colour] for b in backgrounds], device=device) / 255
    axis = (torch.arange(image_size, device=device) + 0.5) / image_size
    brightness = _noise([b.noise_seed for b in backgrounds], axis)
    textures = [b.texture for b in backgrounds]
    speckled = torch.tensor([t == "speckled" for t in textures], device=device)
    amplitude = torch.where(speckled, _SPECKLE_NOISE, _PLAIN_NOISE)
    brightness = brightness * amplitude[:, None, None]
    for texture in sorted(set(textures) - {"plain", "speckled"}):
        rows = [i for i, name in enumerate(textures) if name == texture]
        chosen = torch.tensor(rows, device=device)
        values = [
            (math.cos(b.angle), math.sin(b.angle), b.phase) for b in (backgrounds[i] for i in rows)
        ]
        cosine, sine, phase = torch.tensor(values, device=device)[:, :, None, None].unbind(1)
        brightness[chosen] += _texture(texture, axis, cosine, sine, phase)
    return base[:, None, None, :] + brightness[..., None]


def _texture(name: str, axis: Tensor, cosine: Tensor, sine: Tensor, phase: Tensor) -> Tensor:
    """Brightness to add, [M, H, W]; the direction arguments are [M, 1, 1]."""
    x, y = axis[None, None, :], axis[None, :, None]
    if name == "shaded":
        return 0.22 * ((x - 0.5) * cosine + (y - 0.5) * sine)
    if name == "striped":
        return 0.06 * torch.sin(2 * math.pi * ((x * cosine + y * sine) / _STRIPE_PERIOD + phase))
    if name == "gridded":
        line_x = (torch.remainder(x / _GRID_PERIOD + phase, 1.0) - 0.5).abs()
        line_y = (torch.remainder(y / _GRID_PERIOD + phase, 1.0) - 0.5).abs()
        return 0.1 * (1.0 - 8.0 * torch.minimum(line_x, line_y)).clamp(min=0.0)
    wave_x = torch.sin(math.pi * (x / _CHECKER_CELL + 2 * phase))
    wave_y = torch.sin(math.pi * (y / _CHECKER_CELL + 2 * phase))
    return 0.055 * (8.0 * wave_x * wave_y).clamp(-1.0, 1.0)


def _noise(seeds: Sequence[int], axis: Tensor) -> Tensor:
    """Noise in [-0.5, 0.5], float32 [B, H, W]: a crop of one fixed picture, chosen by the seed."""
    cell = (axis * _NOISE_CELLS).long()
    corner = torch.tensor(seeds, device=axis.device)[:, None, None] % _NOISE_CROPS**2
    row = corner // _NOISE_CROPS + cell[:, None]
    column = corner % _NOISE_CROPS + cell
    return _noise_picture().to(axis.device)[row, column]


@functools.cache
def _noise_picture() -> Tensor:
    side = _NOISE_CROPS + _NOISE_CELLS
    levels = np.random.Generator(np.random.PCG64(0)).random((side, side))
    return torch.from_numpy(levels.astype(np.float32)) - 0.5
