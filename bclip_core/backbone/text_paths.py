"""Which positions and projection a text goes through: one path for all, or two by length (FG-CLIP).

FG-CLIP (arXiv 2505.05071) trains two: captions of at most 77 ids read CLIP's table and projection,
longer ones a stretched table and a projection of their own. The long path is that of the wrapped
CLIP, the short one lies beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

CHOICES = ("auto", "each", "short", "long", "box")


class TextPath(NamedTuple):
    """What a text reads on its way: positions [T, W] and projection [W, D]."""

    positions: Tensor
    projection: Tensor


class ShortPath(nn.Module):
    """Positions and projection of short texts; starts at zero, weights are loaded into it.

    Args:
        positions: how many.
        width: W, of the text tower.
        dim: D.
    """

    def __init__(self, positions: int, width: int, dim: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.zeros(positions, width))
        self.text_projection = nn.Parameter(torch.zeros(width, dim))

    def path(self) -> TextPath:
        """Its weights."""
        return TextPath(self.positional_embedding, self.text_projection)


def take_short(choice: str, columns: int, ends: Tensor, short: int) -> Tensor:
    """Which texts go the short way.

    Args:
        choice: "auto" as the authors' interface: ids in at most `short` columns are short, ids in
            more are long, whatever each text's own length; "each": by its own length; "short" and
            "long": all; "box": as "short", but projected the long way, as FG-CLIP's box captions.
        columns: of the matrix of ids.
        ends: place of each text's end token, [U].
        short: how many ids the short path has positions for.

    Returns:
        [U] bool.

    Raises:
        ValueError: an unknown choice, or a text that is too long for the short path it is sent on.
    """
    if choice not in CHOICES:
        raise ValueError(f"text_path={choice!r}: expected one of {', '.join(CHOICES)}")
    fitting = ends < short
    if choice == "each":
        return fitting
    if choice == "long" or (choice == "auto" and columns > short):
        return torch.zeros_like(fitting)
    if not bool(fitting.all()):
        longest = int(ends.max()) + 1
        raise ValueError(f"a text of {longest} ids: expected at most {short}, the short path's")
    return fitting
