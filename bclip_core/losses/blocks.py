"""The [N, N] logits of β-CAL as blocks of rows: a matrix that is never whole in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.nn import functional

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
    normaliser: int  # divides the BCE sum; of "pairs" and "rows"
    chunk_size: int | None
    groups: Tensor | None  # [B, K] ids of equal texts, all different where padded
    with_slopes: bool
    slope_dtype: torch.dtype | None = None  # of the slopes' matrix products; None: the rows' own
    across_ranks: bool = False  # each process computes its share of the rows
    by_positives: bool = False  # BCE: each row is also divided by the weight of its positives
    bias: float = 0.0  # BCE: added to every logit
    with_bias_slope: bool = False
    related: Tensor | None = None  # [B, K, K] bool, symmetric: which texts of an image β reaches

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
        its image (those `related` to it), else 0.
        """
        owner, place = self.owner, torch.arange(len(self.index), device=self.index.device)
        width = int(torch.bincount(owner).max())
        start = torch.searchsorted(owner, owner).clamp_(max=len(owner) - width)
        columns = start[:, None] + place[:width]
        valid = self.compact(self.mask)
        own = (owner[columns] == owner[:, None]) & valid[columns] & valid[:, None]
        reached = own
        if self.related is not None:
            text = self.index % self.mask.shape[1]
            reached = own & self.related[owner[:, None], text[:, None], text[columns]]
        share = reached.to(dtype) * self.beta
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


_LARGEST_EXPONENT = 60.0  # exp(±60), and sums of it, need no shift in float32
_SLAB = 1024  # columns of a block that are rounded to bfloat16 at a time


def cross_entropy(
    text: Tensor, image: Tensor, scale: float, pairs: Pairs
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The CE form: rows and columns from the same block; a second visit for the gradient."""
    logits = Logits(text, image, scale, pairs, keep=pairs.with_slopes)
    columns, own, share = pairs.own_image(text.dtype)
    weight = share.sum(1).clamp_(min=1)
    target = (share / weight[:, None] + share / weight[columns]) / 2  # of its row and its column
    valid = pairs.compact(pairs.mask)
    count = int(valid.sum())
    partition = _Unshifted(text) if abs(scale) <= _LARGEST_EXPONENT else _Shifted(text)
    by_target = text.new_zeros(len(text))
    for rows in logits.blocks:
        block, _ = logits[rows]
        positives = block.gather(1, columns[rows]).where(own[rows], 0)
        by_target[rows] = (positives * target[rows]).sum(1)
        partition.add(rows, block)
    by_row, by_column = partition.logarithms(pairs)
    by_target = pairs.total(by_target)
    loss = ((by_row - by_target) + (by_column - by_target))[valid].sum() / (2 * count)
    slopes = _Slopes(text, image, pairs)
    if pairs.with_slopes:
        # a padded row or column has no loss of its own: infinity makes its softmax zero
        by_row = (by_row + math.log(2 * count)).masked_fill_(~valid, math.inf)
        by_column = (by_column + math.log(2 * count)).masked_fill_(~valid, math.inf)
        target /= count
        for rows in reversed(logits.blocks):
            slope = partition.softmaxes(*logits[rows], by_row[rows, None], by_column)
            in_window = slope.gather(1, columns[rows]) - target[rows]
            slope.scatter_(1, columns[rows], in_window)
            slopes.add(rows, slope)
    return loss, *slopes.total(), torch.zeros_like(loss)  # a softmax has no use for a bias


class _Slopes:
    """The derivatives by the unit rows, summed block by block.

    Of bfloat16 embeddings the derivatives come back in bfloat16, so the factors of their products
    may be rounded to it first: that errs by up to three times as much as rounding the result (and
    moves the scale's derivative, a sum of these, by up to 0.6 % in what was tried), and is twice as
    fast where the hardware multiplies bfloat16. Every product is accumulated in
    float32, and so is the sum of them.
    """

    def __init__(self, text: Tensor, image: Tensor, pairs: Pairs) -> None:
        self._text, self._image, self._pairs = text, image, pairs
        self._by_text, self._by_image = torch.zeros_like(text), torch.zeros_like(image)

    def add(self, rows: slice, slope: Tensor) -> None:
        """A block of the derivatives by the logits, [rows, N]."""
        half = self._pairs.slope_dtype
        if half is None:
            self._by_image[rows].addmm_(slope, self._text)
            self._by_text.addmm_(slope.T, self._image[rows])
            return
        image = self._image[rows].to(half)
        for start in range(0, len(self._text), _SLAB):  # rounded copies of a whole would need room
            columns = slice(start, start + _SLAB)
            part = slope[:, columns].to(half)
            self._by_image[rows] += part @ self._text[columns].to(half)
            self._by_text[columns] += part.T @ image

    def total(self) -> tuple[Tensor, Tensor]:
        """By text and by image, [N, D], of all processes that share the rows."""
        if self._pairs.with_slopes:
            self._pairs.total(self._by_text), self._pairs.total(self._by_image)
        return self._by_text, self._by_image


class _Shifted:
    """Log-sum-exp of rows and columns at any scale: the largest logit is taken out first."""

    def __init__(self, like: Tensor) -> None:
        self._row = like.new_zeros(len(like))
        self._column = like.new_full((len(like),), -math.inf)

    def add(self, rows: slice, block: Tensor) -> None:
        self._row[rows] = block.logsumexp(1)
        self._column = torch.logaddexp(self._column, block.logsumexp(0))

    def logarithms(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        column = self._column
        if pairs.across_ranks:
            largest = column.clone()
            distributed.all_reduce(largest, distributed.ReduceOp.MAX)
            column = pairs.total((column - largest).exp()).log() + largest
        return pairs.total(self._row), column

    def softmaxes(self, block: Tensor, _: bool, by_row: Tensor, by_column: Tensor) -> Tensor:
        """exp(s - by_row) + exp(s - by_column), in the block's place."""
        rows = (block - by_row).exp_()
        return block.sub_(by_column).exp_().add_(rows)


class _Unshifted:
    """The same for small scales: one exponential serves row and column, and stays in the block."""

    def __init__(self, like: Tensor) -> None:
        self._row, self._column = like.new_zeros(len(like)), like.new_zeros(len(like))

    def add(self, rows: slice, block: Tensor) -> None:
        torch.sum(block.exp_(), 1, out=self._row[rows])
        self._column += block.sum(0)

    def logarithms(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return pairs.total(self._row).log(), pairs.total(self._column).log()

    def softmaxes(self, block: Tensor, new: bool, by_row: Tensor, by_column: Tensor) -> Tensor:
        """exp(s) (exp(-by_row) + exp(-by_column)), in the block's place."""
        exponentials = block.exp_() if new else block
        return exponentials.mul_(by_row.neg().exp() + by_column.neg().exp())


def binary(
    text: Tensor, image: Tensor, scale: float, pairs: Pairs
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The BCE form: pairs of different images while streaming, those inside an image apart."""
    logits = Logits(text, image, scale, pairs)
    columns, own, share = pairs.own_image(text.dtype)
    weights = 0.5 / share.sum(1) if pairs.by_positives else None  # of a row; ½, for columns have it
    loss, by_bias = text.new_zeros(()), text.new_zeros(())
    slopes = _Slopes(text, image, pairs)
    for rows in logits.blocks:
        block, _ = logits[rows]
        if pairs.bias:
            block += pairs.bias
        in_window = block.gather(1, columns[rows])
        block.scatter_(1, columns[rows], in_window.masked_fill(own[rows], -math.inf))
        positives = in_window.where(own[rows], math.inf)
        pull = -share[rows] * torch.sigmoid(-positives)
        pulled = share[rows] * functional.logsigmoid(positives)
        if weights is None:
            loss -= pulled.sum() / pairs.normaliser
            negatives, slope = _softplus_sum(block)
        else:
            of_pair = weights[rows, None] + weights[columns[rows]]
            loss -= (of_pair * pulled).sum() / pairs.normaliser
            pull *= of_pair
            negatives, slope = _weighted_softplus_sum(block, weights[rows], weights)
        loss += negatives / pairs.normaliser
        if pairs.with_slopes:
            slope.scatter_(1, columns[rows], slope.gather(1, columns[rows]) + pull)
            if pairs.with_bias_slope:
                by_bias += slope.sum()
            slopes.add(rows, slope)
    by_text, by_image = (slope.div_(pairs.normaliser) for slope in slopes.total())
    return pairs.total(loss), by_text, by_image, pairs.total(by_bias / pairs.normaliser)


def _softplus_sum(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Σ softplus(s) and sigmoid(s); the logits are overwritten."""
    sigmoid = logits.sigmoid()
    total = logits.clamp_(min=0).sum()
    small = _atanh_part(sigmoid, logits)
    return total + 2 * small.sum(), sigmoid


def _weighted_softplus_sum(
    logits: Tensor, by_row: Tensor, by_column: Tensor
) -> tuple[Tensor, Tensor]:
    """Σ_ab (r_a + c_b) softplus(s_ab) and (r_a + c_b) sigmoid(s_ab); the logits are overwritten."""
    sigmoid = logits.sigmoid()
    logits.clamp_(min=0)
    total = (by_row @ logits).sum() + (logits @ by_column).sum()
    small = _atanh_part(sigmoid, logits)
    total += 2 * ((by_row @ small).sum() + (small @ by_column).sum())
    torch.add(by_row[:, None], by_column, out=logits)
    return total, sigmoid.mul_(logits)


def _atanh_part(sigmoid: Tensor, out: Tensor) -> Tensor:
    """Half of -log(1 - q) with q = sigmoid(-|s|), in `out`.

    softplus(s) = max(s, 0) - log(1 - q), and -log(1 - q) = 2 atanh(q / (2 - q)): as exact as log1p,
    which is ten times slower on some CPUs.
    """
    small = torch.sub(1, sigmoid, out=out)
    torch.minimum(small, sigmoid, out=small)
    return small.div_(2 - small).atanh_()
