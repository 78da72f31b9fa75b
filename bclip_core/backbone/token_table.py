"""Several look-ups in the table of tokens with one gradient of the table.

Each look-up of its own makes a gradient as large as the table, 100 MB for CLIP's, of which a few
hundred rows are not zero; texts in groups of one length are looked up once per group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _Lookups(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, *ids: Tensor) -> tuple[Tensor, ...]:  # noqa: D102
        ctx.save_for_backward(*ids)
        ctx.rows = len(table)
        return tuple(F.embedding(each, table) for each in ids)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        whole = gradients[0].new_zeros(ctx.rows, gradients[0].shape[-1])
        # last first, as autograd would add them up: the same bits
        for ids, gradient in reversed(list(zip(ctx.saved_tensors, gradients, strict=True))):
            used, place = torch.unique(ids, return_inverse=True)
            part = torch.ops.aten.embedding_dense_backward(gradient, place, len(used), -1, False)
            whole.index_add_(0, used, part)
        return whole, *[None] * len(gradients)


def look_up(table: Tensor, ids: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Rows of a table [V, W] for several tensors of ids [...]: each [..., W]."""
    found: tuple[Tensor, ...] = _Lookups.apply(table, *ids)  # type: ignore[no-untyped-call,unused-ignore]
    return found
