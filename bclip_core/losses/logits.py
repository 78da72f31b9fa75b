"""The [N, N] logits of β-CAL as blocks of rows: a matrix that is never whole in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

_BLOCK_ELEMENTS = 3 * 2**19  # of one block, unless a chunk size is given
_FEWEST_ROWS = 256  # of one block; matrix products are slow below
_KEPT_ELEMENTS = 3 * _BLOCK_ELEMENTS  # of all blocks that stay for a second visit
_GPU_ROOM = 10  # times as many where launching kernels for small blocks would take the time;
# estimated (5 µs a launch, some twenty for a block), not measured


def slope_dtype(text: Tensor, image: Tensor) -> torch.dtype | None:
    """The type that the factors of the slopes' matrix products are rounded to; None: they aren't.

    Only where the gradients are rounded to it as well, and where that is faster.
    """
    half = text.dtype == image.dtype == torch.bfloat16
    return torch.bfloat16 if half and _multiplies_bfloat16(text.device) else None


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has instructions for it; without them it is slower than float32."""
    if device.type != "cpu":
        return True
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # oneDNN uses them
        return False
    tell = getattr(torch.cpu, "get_capabilities", None)  # PyTorch 2.11 has none
    capabilities = tell() if tell else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@dataclass(frozen=True)
class Pairs:
    """Which (image, text) pairs of a [B, K] batch are rows and columns of the logits, and how."""

    mask: Tensor  # [B, K] bool, the valid ones
    index: Tensor  # [N] flat positions of the rows, ascending
    beta: float
    normaliser: int  # divides the BCE sum
    chunk_size: int | None
    groups: Tensor | None  # [B, K] ids of equal texts, all different where padded
    with_slopes: bool
    slope_dtype: torch.dtype | None = None  # of the slopes' matrix products; None: the rows' own
    across_ranks: bool = False  # each process computes its share of the rows

    def compact(self, padded: Tensor) -> Tensor:
        """[B, K, ...] -> [N, ...], the rows."""
        flat = padded.flatten(0, 1)
        return flat if len(self.index) == len(flat) else flat[self.index]

    def padded(self, rows: Tensor) -> Tensor:
        """[N, D] -> [B, K, D], zero where there is no row."""
        if len(rows) < self.mask.numel():
            full = rows.new_zeros(self.mask.numel(), rows.shape[1])
            full[self.index] = rows
            rows = full
        return rows.view(*self.mask.shape, rows.shape[1])

    @property
    def own_rows(self) -> tuple[int, int]:
        """The first row that this process computes, and the first after them."""
        if not self.across_ranks:
            return 0, len(self.index)
        rank, ranks = distributed.get_rank(), distributed.get_world_size()
        return rank * len(self.index) // ranks, (rank + 1) * len(self.index) // ranks

    def total(self, part: Tensor) -> Tensor:
        """The sum over the processes that share the rows, in the part's place."""
        if self.across_ranks:
            distributed.all_reduce(part)
        return part

    @property
    def owner(self) -> Tensor:
        """Which image a row belongs to [N]."""
        return self.index // self.mask.shape[1]

    def own_image(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """For every row: columns [N, W], whether they are of its image [N, W], shares [N, W].

        The columns of an image are neighbours. All rows get a window of the same width W, which
        may also show other images. The share is 1 for the row itself, β for other valid texts of
        its image, else 0.
        """
        owner, place = self.owner, torch.arange(len(self.index), device=self.index.device)
        width = int(torch.bincount(owner).max())
        start = torch.searchsorted(owner, owner).clamp_(max=len(owner) - width)
        columns = start[:, None] + place[:width]
        valid = self.compact(self.mask)
        own = (owner[columns] == owner[:, None]) & valid[columns] & valid[:, None]
        share = own.to(dtype) * self.beta
        return columns, own, share.masked_fill_(own & (columns == place[:, None]), 1.0)


class Logits:
    """scale · image · textᵀ [N, N] of unit rows, in blocks of this process's rows (`blocks`).

    One storage of fixed size holds the block asked for; with `keep`, also as many of the last
    blocks as fit, for a second visit in reverse order. That visit may overwrite them.
    """

    def __init__(
        self, text: Tensor, image: Tensor, scale: float, pairs: Pairs, *, keep: bool = False
    ) -> None:
        count, (first, end) = len(text), pairs.own_rows
        room = 1 if text.device.type == "cpu" else _GPU_ROOM
        size = min(pairs.chunk_size or max(_FEWEST_ROWS, room * _BLOCK_ELEMENTS // count), count)
        self.blocks = [slice(i, min(i + size, end)) for i in range(first, end, size)]
        self._text, self._image, self._scale, self._pairs = text, image, scale, pairs
        kept = max(1, room * _KEPT_ELEMENTS // (size * count)) if keep else 1
        self._first_kept = self.blocks[-kept:][0].start if self.blocks else end
        self._storage = text.new_empty(min(kept * size, end - first), count)
        self._held: set[int] = set()

    def __getitem__(self, rows: slice) -> tuple[Tensor, bool]:
        """The block, and whether it is new: not what an earlier visitor has left."""
        place = max(rows.start - self._first_kept, 0)
        block = self._storage[place : place + rows.stop - rows.start]
        if rows.start in self._held:
            return block, False
        torch.addmm(block, self._image[rows], self._text.T, beta=0, alpha=self._scale, out=block)
        if self._pairs.groups is not None:
            self._exclude_duplicates(block, rows)
        if rows.start >= self._first_kept:
            self._held.add(rows.start)
        return block, True

    def _exclude_duplicates(self, block: Tensor, rows: slice) -> None:
        assert self._pairs.groups is not None
        groups, owner = self._pairs.compact(self._pairs.groups), self._pairs.owner
        equal = groups[rows, None] == groups
        block.masked_fill_(equal.logical_and_(owner[rows, None] != owner), -math.inf)
