"""What every pooler is to the rest of the house."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from bclip_core.config import PoolerConfig


def check_shapes(patches: Tensor, text: Tensor, dim: int | None = None) -> None:
    """Refuse what cannot be pooled.

    Args:
        patches: [B, P, D] expected.
        text: [B, K, D] expected, of the same B and D.
        dim: the D of a pooler with weights; None: any.

    Raises:
        ValueError: names both shapes and what was expected.
    """
    fits = patches.ndim == text.ndim == 3 and patches.shape[0] == text.shape[0]
    width = patches.shape[-1] if dim is None and patches.ndim else dim
    if not fits or not patches.shape[1] or patches.shape[-1] != width or text.shape[-1] != width:
        of = "D" if dim is None else dim
        raise ValueError(
            f"patches {tuple(patches.shape)}, text {tuple(text.shape)}: "
            f"expected [B, P, {of}] and [B, K, {of}], P at least 1"
        )


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

        Raises:
            ValueError: the shapes do not fit each other or the pooler's width, see `check_shapes`.
        """

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As of any `nn.Module`."""
