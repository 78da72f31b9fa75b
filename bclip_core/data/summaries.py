"""Which of an image's short texts a step reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def pick(choices: Sequence[str], generator: torch.Generator | None) -> str:
    """One at random; the first without a generator."""
    number = 0 if generator is None else int(torch.randint(len(choices), (), generator=generator))
    return choices[number]


def summary(row: dict[str, Any], source: str, generator: torch.Generator | None) -> str:
    """A short caption of the row, or the first sentence of its long one, see `SUMMARIES`."""
    if source == "given" or (source == "auto" and row["short_captions"]):
        return pick(row["short_captions"], generator)
    first: str = row["sentences"][0]
    return first
