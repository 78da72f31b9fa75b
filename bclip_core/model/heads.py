"""What a method learns beside backbone and pooler: scales, biases, token calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bclip_core.config import HeadsConfig
from bclip_core.model.calibration import TokenCalibration


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
