"""Does the map point at the object: attention or cosine maps against segmentation masks.

Ties are shared evenly between equal values, never broken by position. A constant map therefore
scores exactly what `grounding_chance` says, and no metric rewards a flat map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Grounding(NamedTuple):
    """Three numbers per map, each in [0, 1], larger is better; float64 [R].

    Attributes:
        pointing: the centre pixel of the hottest patch lies on the object (1 or 0; the share of
            them where several patches are equally hot).
        average_precision: area under precision over recall when the pixels are ranked by the map.
        iou: intersection over union of the object with the hottest pixels, as many as the object
            has. The object's area is given away; its place is not, and no threshold is tuned.
    """

    pointing: Tensor
    average_precision: Tensor
    iou: Tensor


def patch_cosine_map(patches: Tensor, text: Tensor) -> Tensor:
    """Cosine of each patch [R, P, D] with its item's text [R, D], as a map [R, P]."""
    return torch.einsum("rpd,rd->rp", F.normalize(patches, dim=-1), F.normalize(text, dim=-1))


def upsample_map(values: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation of patch values at the pixel centres (align_corners=False).

    Args:
        values: [R, P], row by row.
        grid: rows and columns of patches, rows * columns = P.
        size: height and width in pixels.

    Returns:
        Maps [R, height, width].

    Raises:
        ValueError: the grid does not fit P.
    """
    _check_grid(values, grid)
    maps = values.reshape(-1, 1, *grid)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False).squeeze(1)


def grounding_scores(
    maps: Tensor, grid: tuple[int, int], masks: Tensor | Sequence[Tensor]
) -> Grounding:
    """Compare each map with the mask of its object.

    Args:
        maps: one value per patch, larger means more on the object, [R, P].
        grid: rows and columns of patches, rows * columns = P.
        masks: R bool masks [H, W] at full resolution, of one size or of several.

    Returns:
        `Grounding` with one entry per map.

    Raises:
        ValueError: shapes do not fit, a mask is empty or a map has NaN (the message names it).
    """
    _check_grid(maps, grid)
    rows = []
    for values, mask in _pairs(maps.double(), masks):
        # Shifted so that interpolation's rounding cannot break the ties of a constant map.
        shifted = (values - values.min()).unsqueeze(0)
        pixels = upsample_map(shifted, grid, (mask.shape[0], mask.shape[1]))
        order = pixels.flatten().sort(descending=True)
        groups = _tie_groups(order.values, mask.flatten()[order.indices])
        rows.append(
            torch.stack([_pointing(values, grid, mask), _average_precision(groups), _iou(groups)])
        )
    return Grounding(*torch.stack(rows).unbind(1))


def grounding_chance(grid: tuple[int, int], masks: Tensor | Sequence[Tensor]) -> Grounding:
    """What maps without information score on these masks: a constant map, exactly.

    With a the share of pixels on the object: average precision a and intersection over union
    a / (2 - a), that of two independent areas of that size. Pointing is the share of patch
    centres on the object, which is near a.

    Args:
        grid: rows and columns of patches.
        masks: R bool masks [H, W].

    Returns:
        `Grounding` with one entry per mask.

    Raises:
        ValueError: a mask is not a bool matrix or is empty (the message names it).
    """
    count = grid[0] * grid[1]
    return grounding_scores(torch.zeros(len(masks), count), grid, masks)


def _pointing(values: Tensor, grid: tuple[int, int], mask: Tensor) -> Tensor:
    """Share of the hottest patches whose centre pixel is on the object."""
    height, width = mask.shape
    row = ((torch.arange(grid[0]) + 0.5) * height / grid[0]).long()
    column = ((torch.arange(grid[1]) + 0.5) * width / grid[1]).long()
    on_object = mask[row][:, column].flatten()
    return on_object[values == values.max()].double().mean()


def _tie_groups(values: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Cumulative count and cumulative object pixels at the end of each run of equal values.

    Args:
        values: sorted from high to low [N].
        positive: which of them are on the object [N].

    Returns:
        Both float64 [G], G distinct values.
    """
    last = torch.ones_like(positive)
    last[:-1] = values[1:] != values[:-1]
    ends = last.nonzero().squeeze(1)
    return (ends + 1).double(), positive.cumsum(0)[ends].double()


def _average_precision(groups: tuple[Tensor, Tensor]) -> Tensor:
    """Sum over thresholds of (gain in recall) * precision; one threshold per distinct value."""
    count, found = groups
    gained = found.diff(prepend=found.new_zeros(1))
    return (gained * found / count).sum() / found[-1]


def _iou(groups: tuple[Tensor, Tensor]) -> Tensor:
    """Hottest pixels, as many as the object has; the last run of equals is taken in proportion."""
    count, found = groups
    area = found[-1]
    cut = int(torch.searchsorted(count, area))
    start = count.new_zeros(1)
    count_before, found_before = torch.cat([start, count])[cut], torch.cat([start, found])[cut]
    share = (area - count_before) / (count[cut] - count_before)
    overlap = found_before + share * (found[cut] - found_before)
    return overlap / (2 * area - overlap)


def _pairs(maps: Tensor, masks: Tensor | Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    if len(maps) != len(masks) or len(maps) == 0:
        raise ValueError(f"{len(maps)} maps and {len(masks)} masks: expected one mask per map")
    for index, (values, mask) in enumerate(zip(maps, masks, strict=True)):
        if mask.ndim != 2 or mask.dtype != torch.bool:
            raise ValueError(
                f"mask {index} is {mask.dtype} {tuple(mask.shape)}: expected torch.bool [H, W]"
            )
        if not mask.any():
            raise ValueError(f"mask {index} is empty: expected at least one pixel on the object")
        if values.isnan().any():
            raise ValueError(f"map {index} contains NaN: expected numbers")
        yield values.to(mask.device), mask


def _check_grid(values: Tensor, grid: tuple[int, int]) -> None:
    if values.ndim != 2 or values.shape[1] != grid[0] * grid[1]:
        raise ValueError(
            f"maps {tuple(values.shape)} on grid {grid}: expected [R, {grid[0] * grid[1]}]"
        )
