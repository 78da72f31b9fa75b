"""Stretching a text tower's learnt positions (Long-CLIP, arXiv 2403.15378)."""

from __future__ import annotations

import torch
from torch import Tensor

KEPT_POSITIONS = 20  # Long-CLIP: these are trained well, because most captions are short


def stretch_positions(table: Tensor, keep: int = KEPT_POSITIONS, factor: int = 4) -> Tensor:
    """Lengthen a table of positions: the well-trained first rows stay, the rest is interpolated.

    Rows before `keep` are copied. Each later row is followed by `factor` - 1 rows interpolated
    towards the next one; the last row, which has no next one, goes on along its last step.

    Args:
        table: [T, W] positions, T = 77 for CLIP.
        keep: rows to keep as they are.
        factor: how many rows each of the other T - keep becomes.

    Returns:
        [keep + (T - keep) · factor, W]: 248 rows from CLIP's 77 with the defaults.

    Raises:
        ValueError: the table is not a matrix of more than `keep` rows (at least two), `keep` is
            negative or `factor` is below 1.
    """
    if keep < 0:
        raise ValueError(f"keep={keep}: expected >= 0")
    if factor < 1:
        raise ValueError(f"factor={factor}: expected >= 1")
    if table.ndim != 2 or table.shape[0] <= max(keep, 1):
        raise ValueError(
            f"table {tuple(table.shape)}: expected [T, W] with T > {max(keep, 1)} (keep={keep})"
        )
    fraction = torch.arange(factor, dtype=table.dtype, device=table.device)[:, None] / factor
    here, following = table[keep:-1, None], table[keep + 1 :, None]
    between = here * (1 - fraction) + following * fraction
    beyond = table[-1] + fraction * (table[-1] - table[-2])
    return torch.cat([table[:keep], between.flatten(0, 1), beyond])
