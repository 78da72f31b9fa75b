"""Token calibration: the layer of MulCLIP that turns many patch or word tokens into few."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_HIDDEN_RATIO = 0.2  # of the width, as in FineLIP's code


class TokenCalibration(nn.Module):
    """Learnt aggregation of tokens to fewer (FineLIP, arXiv 2504.01916, whose code names it so).

    Slot j is Σ_p softmax_p(γ · w_j(x_p)) x_p with w = Linear(GELU(Linear(LayerNorm(x)))), a hidden
    width of D/5 and a learnt γ. MulCLIP takes the layer over. FineLIP starts γ at 1: the logits are
    then small, every slot begins as nearly the plain mean of all tokens, and a loss that has to
    tell slots apart begins, and may stay, at the logarithm of their number.

    Args:
        dim: D.
        slots: how many tokens come out.
        scale: γ at the start.
    """

    def __init__(self, dim: int, slots: int, scale: float = 1.0) -> None:
        super().__init__()
        hidden = max(1, int(_HIDDEN_RATIO * dim))
        # A last bias would add the same to all tokens of a slot, which the softmax ignores.
        last = nn.Linear(hidden, slots, bias=False)
        self.weight = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), last)
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens [B, T, D], of which [B, T] bool exist (None: all), to [B, slots, D]."""
        return self.shares(tokens, mask) @ tokens

    def shares(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """How much of each token [B, T, D] is in each slot, [B, slots, T]; they sum to 1 over T."""
        logits = self.scale * self.weight(tokens)
        if mask is not None:
            logits = logits.masked_fill(~mask[..., None], torch.finfo(logits.dtype).min)
        weights: Tensor = logits.softmax(1).mT
        return weights
