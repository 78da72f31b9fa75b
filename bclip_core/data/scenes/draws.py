"""Reproducible random choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")


class Draws:
    """Random choices from a key alone: the same everywhere, independent of any other scene.

    Only uniform doubles of PCG64 are used; the choices are made from them here, so they do not
    depend on how a NumPy version implements `choice` or `shuffle`.
    """

    def __init__(self, *key: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
        self._buffer: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        if not self._buffer:
            self._buffer = self._generator.random(128).tolist()
        return low + (high - low) * self._buffer.pop()

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high], both included."""
        return low + int(self.uniform() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def pick(self, items: Sequence[_T]) -> _T:
        """One of `items`, all equally likely."""
        return items[int(self.uniform() * len(items))]

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """A random permutation of `items`."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = int(self.uniform() * (last + 1))
            result[last], result[other] = result[other], result[last]
        return result
