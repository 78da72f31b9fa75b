"""Token-level pieces that several methods share: attention without weights, contrast of tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bclip_core.losses.numerics import as_scalar, at_least_float32


def attend(queries: Tensor, tokens: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    """Each query's soft average of the tokens of its own sample, without learnt parameters.

    With unit rows q and v: Σ_p softmax_p(⟨q, v_p⟩ / τ) v_p.

    Args:
        queries: [B, T, D], normalised inside.
        tokens: [B, S, D], normalised inside.
        mask: which tokens exist, [B, S] bool, at least one per sample; None: all.
        temperature: τ > 0.

    Returns:
        [B, T, D], not normalised.
    """
    tokens = functional.normalize(tokens, dim=-1)
    logits = functional.normalize(queries, dim=-1) @ tokens.mT / temperature
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None], torch.finfo(logits.dtype).min)
    return logits.softmax(-1) @ tokens


def grouped_contrast(first: Tensor, second: Tensor, mask: Tensor, scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE inside groups: row t of `first` belongs to row t of `second`.

    With unit rows and s_tu = scale · ⟨first_t, second_u⟩ over the n valid rows of a group:
    -1/(2n) Σ_t (log softmax_u s_tu + log softmax_u s_ut) at u = t, averaged over the groups that
    have a valid row.

    Args:
        first: [G, T, D], normalised inside.
        second: [G, T, D], normalised inside.
        mask: [G, T] bool; rows that are not valid are no row, no column and no gradient.
        scale: the multiplier itself.

    Returns:
        The scalar loss, float64 for float64 input, else float32; 0 without any valid row.

    Raises:
        ValueError: shapes that do not match.
    """
    if first.shape != second.shape or first.shape[:2] != mask.shape:
        shapes = f"{list(first.shape)}, {list(second.shape)} and mask {list(mask.shape)}"
        raise ValueError(f"rows {shapes}: expected twice [G, T, D] and [G, T]")
    with torch.autocast(first.device.type, enabled=False):
        dtype = at_least_float32(first, second)
        rows, columns = (functional.normalize(x.to(dtype), dim=-1) for x in (first, second))
        logits = as_scalar(scale).to(rows) * (rows @ columns.mT)
        absent = ~(mask[:, :, None] & mask[:, None])
        logits = logits.masked_fill(absent, torch.finfo(dtype).min)
        own = logits.diagonal(dim1=1, dim2=2)
        loss = (logits.logsumexp(2) + logits.logsumexp(1)) / 2 - own
        count = mask.sum(1)
        per_group = loss.where(mask, 0).sum(1) / count.clamp(min=1)
        return per_group.sum() / (count > 0).sum().clamp(min=1)
