"""What every pooler is to the rest of the house."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from bclip_core.config import PoolerConfig


class Pooler(Protocol):
    """A module that pools an image's patches once for each of its texts.

    Evaluation, crossing, attention maps and the explorer use nothing else of it.

    Attributes:
        config: kind, heads and start, as checkpoints store it.
        heads: how many maps of weights each text gets.
        logit_scale: the logarithm of the local loss's scale, or None where the loss has its own.
    """

    config: PoolerConfig

    @property
    def heads(self) -> int:  # noqa: D102
        ...

    @property
    def logit_scale(self) -> nn.Parameter | None:  # noqa: D102
        ...

    def __call__(
        self, patches: Tensor, text: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Patches [B, P, D] and text [B, K, D] to [B, K, D] and weights [B, heads, K, P] or None.

        Each text's result is independent of the other texts, so padded ones need no mask.
        """

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As of any `nn.Module`."""
