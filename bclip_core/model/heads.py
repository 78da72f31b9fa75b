"""What a method learns beside backbone and pooler: scales, biases, token calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bclip_core.config import HeadsConfig

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


class HeadsSpec(NamedTuple):
    """Which heads a method has.

    Attributes:
        scalars: learnt numbers by name, with their starts; a `..._scale` is a logarithm.
        calibrate: whether patches and words are calibrated.
        config: sizes.
    """

    scalars: Mapping[str, float]
    calibrate: bool
    config: HeadsConfig

    @property
    def shape(self) -> tuple[tuple[str, ...], bool, HeadsConfig]:
        """What two files must share to hold the same weights: all but the starts."""
        return tuple(sorted(self.scalars)), self.calibrate, self.config


class Heads(nn.Module):
    """The learnt parts that a method's terms ask for.

    Args:
        scalars: learnt numbers by name, with their starts; a `..._scale` is a logarithm.
        dim: D.
        patches: P, of which `config.token_ratio` decides the number of calibrated tokens, for
            patches and words alike (as FineLIP's code).
        calibrate: whether patches and words are calibrated.
        config: sizes.

    Attributes:
        scalars: parameters by name.
        calibrate_patches: a `TokenCalibration`, or None.
        calibrate_words: a `TokenCalibration`, or None.
    """

    def __init__(
        self,
        scalars: Mapping[str, float],
        dim: int,
        patches: int,
        calibrate: bool,
        config: HeadsConfig,
    ) -> None:
        super().__init__()
        self.config, self.names, self.calibrate = config, tuple(sorted(scalars)), calibrate
        self.scalars = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(float(scalars[name]))) for name in self.names}
        )
        slots = max(1, int(config.token_ratio * patches))
        sizes = (dim, slots, config.calibration_scale)
        self.calibrate_patches = TokenCalibration(*sizes) if calibrate else None
        self.calibrate_words = TokenCalibration(*sizes) if calibrate else None

    def values(self) -> dict[str, Tensor]:
        """The scalars as losses read them: scales exponentiated."""
        return {
            name: value.exp() if name.endswith("_scale") else value
            for name, value in self.scalars.items()
        }

    def to_dict(self) -> dict[str, object]:
        """What a checkpoint needs to build them again."""
        return {"names": list(self.names), "calibrate": self.calibrate, **self.config.to_dict()}
