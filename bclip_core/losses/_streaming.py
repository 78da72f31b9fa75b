"""β-CAL without its [N, N] matrices: one pass over blocks of rows, closed forms for the targets.

The loss is a function of unit rows `image` and `text` [N, D] and a scale; logits [N, N] are
scale · image · textᵀ. The gradient needs nothing that the loss does not, so both are computed in
the forward pass while a block of logits is at hand; backward only multiplies. An objective
returns, beside the loss, its two slopes [N, D]: the derivative by the rows, divided by the scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bclip_core.losses.global_contrastive import at_least_float32

_BLOCK_ELEMENTS = 2**20  # of one block of logits, unless a chunk size is given
_FEWEST_ROWS = 128  # matrix products get slow below
_KEPT_ELEMENTS = 6 * 2**20  # of the logits that CE keeps for its second pass
_LARGEST_EXPONENT = 60.0  # exp(±60) and sums of it are safe in float32 without a shift
_SMALLEST_NORM = 1e-12  # of torch.nn.functional.normalize


@dataclass(frozen=True)
class Pairs:
    """Which (image, text) pairs of a [B, K] batch take part, and how."""

    mask: Tensor  # [B, K] bool, the valid ones
    index: Tensor  # [N] flat positions of the rows and columns of the logits
    beta: float
    normaliser: int  # divides the BCE sum
    chunk_size: int | None
    groups: Tensor | None  # [B, K] ids of equal texts, all different where padded
    with_slopes: bool

    def compact(self, padded: Tensor) -> Tensor:
        """[B, K, ...] -> [N, ...], the rows that take part."""
        flat = padded.flatten(0, 1)
        return flat if len(self.index) == len(flat) else flat[self.index]

    def padded(self, rows: Tensor) -> Tensor:
        """[N, D] -> [B, K, D], zero where nothing takes part."""
        if len(rows) < self.mask.numel():
            full = rows.new_zeros(self.mask.numel(), rows.shape[1])
            full[self.index] = rows
            rows = full
        return rows.view(*self.mask.shape, rows.shape[1])

    def target_means(self, rows: Tensor) -> Tensor:
        """Σ_b T_ab rows_b [N, D] from per-image sums; T is the normalised CE target."""
        valid = self.mask.to(rows.dtype)
        share = valid / (1 + self.beta * (valid.sum(1, keepdim=True) - 1))
        padded = self.padded(rows)
        total = torch.einsum("bk,bkd->bd", valid, padded)[:, None]
        means = (padded * (1 - self.beta)).add_(total, alpha=self.beta)
        return self.compact(means.mul_(share[..., None]))


class _Logits:
    """Blocks of rows of the logits, or of their exponentials, in one storage of fixed size.

    The last blocks stay in it for a second visit in reverse order, the others are computed again.
    That visit may overwrite them.
    """

    def __init__(
        self, text: Tensor, image: Tensor, scale: float, pairs: Pairs, *, kept: int, exp: bool
    ) -> None:
        count = len(text)
        size = min(pairs.chunk_size or max(_FEWEST_ROWS, _BLOCK_ELEMENTS // count), count)
        self.blocks = [slice(i, min(i + size, count)) for i in range(0, count, size)]
        self.exponentials = exp
        self._text, self._image, self._scale, self._pairs = text, image, scale, pairs
        kept_blocks = min(max(1, kept // (size * count)), len(self.blocks))
        self._first_kept = self.blocks[-kept_blocks].start
        self._storage = text.new_empty(min(kept_blocks * size, count), count)
        self._held: set[int] = set()

    def __getitem__(self, rows: slice) -> Tensor:
        place = max(rows.start - self._first_kept, 0)
        block = self._storage[place : place + rows.stop - rows.start]
        if rows.start not in self._held:
            image, scale = self._image[rows], self._scale
            torch.addmm(block, image, self._text.T, beta=0, alpha=scale, out=block)
            self._exclude_duplicates(block, rows)
            if self.exponentials:
                block.exp_()
            if rows.start >= self._first_kept:
                self._held.add(rows.start)
        return block

    def _exclude_duplicates(self, block: Tensor, rows: slice) -> None:
        if self._pairs.groups is not None:
            groups = self._pairs.compact(self._pairs.groups)
            owner = self._pairs.index // self._pairs.mask.shape[1]
            equal = groups[rows, None] == groups
            block.masked_fill_(equal.logical_and_(owner[rows, None] != owner), -math.inf)


Objective = Callable[[Tensor, Tensor, float, Pairs], tuple[Tensor, Tensor, Tensor]]


def cross_entropy(
    text: Tensor, image: Tensor, scale: float, pairs: Pairs
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and slopes of the CE form."""
    kept = _KEPT_ELEMENTS if pairs.with_slopes else 0
    exp = abs(scale) <= _LARGEST_EXPONENT
    logits = _Logits(text, image, scale, pairs, kept=kept, exp=exp)
    valid = pairs.compact(pairs.mask)
    count = int(valid.sum())
    image_slope = pairs.target_means(text)
    by_target = scale * torch.einsum("nd,nd->n", image, image_slope)
    image_slope.div_(-count)
    text_slope = pairs.target_means(image).div_(-count)
    by_row, by_column = _log_partitions(logits, text)
    loss = ((by_row - by_target) + (by_column - by_target))[valid].sum() / (2 * count)
    if pairs.with_slopes:
        # a padded row or column has no loss of its own: infinity makes its softmax zero
        by_row = (by_row + math.log(2 * count)).masked_fill_(~valid, math.inf)
        by_column = (by_column + math.log(2 * count)).masked_fill_(~valid, math.inf)
        for rows in reversed(logits.blocks):
            softmaxes = _softmaxes(logits, rows, by_row[rows, None], by_column)
            image_slope[rows].addmm_(softmaxes, text)
            text_slope.addmm_(softmaxes.T, image[rows])
    return loss, text_slope, image_slope


def _log_partitions(logits: _Logits, like: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of every row [N] and column [N], each block read once."""
    by_row, by_column = like.new_empty(len(like)), like.new_zeros(len(like))
    if logits.exponentials:
        for rows in logits.blocks:
            block = logits[rows]
            by_row[rows] = block.sum(1)
            by_column += block.sum(0)
        return by_row.log_(), by_column.log_()
    by_column.fill_(-math.inf)
    for rows in logits.blocks:
        block = logits[rows]
        by_row[rows] = block.logsumexp(1)
        by_column = torch.logaddexp(by_column, block.logsumexp(0))
    return by_row, by_column


def _softmaxes(logits: _Logits, rows: slice, by_row: Tensor, by_column: Tensor) -> Tensor:
    """exp(s - by_row) + exp(s - by_column) of a block, in its place."""
    block = logits[rows]
    if logits.exponentials:
        return block.mul_(by_row.neg().exp() + by_column.neg().exp())
    softmaxes = (block - by_row).exp_()
    return block.sub_(by_column).exp_().add_(softmaxes)


def binary(
    text: Tensor, image: Tensor, scale: float, pairs: Pairs
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and slopes of the BCE form: every pair as a negative, then the inside of an image."""
    logits = _Logits(text, image, scale, pairs, kept=0, exp=False)
    loss, text_slope, image_slope = _inside_images(text, image, scale, pairs)
    for rows in logits.blocks:
        loss_sum, sigmoid = _softplus_sum(logits[rows])
        loss += loss_sum / pairs.normaliser
        if pairs.with_slopes:
            sigmoid /= pairs.normaliser
            image_slope[rows].addmm_(sigmoid, text)
            text_slope.addmm_(sigmoid.T, image[rows])
    return loss, text_slope, image_slope


def _inside_images(
    text: Tensor, image: Tensor, scale: float, pairs: Pairs
) -> tuple[Tensor, Tensor, Tensor]:
    """Replaces softplus(s) by weight · softplus(-s) in the [B, K, K] blocks of the images."""
    padded_text, padded_image = pairs.padded(text), pairs.padded(image)
    logits = torch.bmm(padded_image, padded_text.mT).mul_(scale)
    weight = torch.full_like(logits[0], pairs.beta).fill_diagonal_(1.0)
    inside = pairs.mask[:, :, None] & pairs.mask[:, None, :]
    softplus = -torch.nn.functional.logsigmoid(-logits)
    change = (weight * (softplus - logits) - softplus).where(inside, 0)
    slope = ((weight - 1) * logits.sigmoid() - weight).where(inside, 0) / pairs.normaliser
    text_slope = pairs.compact(torch.bmm(slope.mT, padded_image))
    image_slope = pairs.compact(torch.bmm(slope, padded_text))
    return change.sum() / pairs.normaliser, text_slope, image_slope


def _softplus_sum(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Σ softplus(s) and sigmoid(s)."""
    sigmoid = logits.sigmoid()
    # softplus(s) = max(s, 0) - log(1 - q) with q = sigmoid(-|s|), and -log(1 - q) =
    # 2 atanh(q / (2 - q)): as exact as log1p, which is ten times slower on some CPUs
    small = torch.minimum(sigmoid, 1 - sigmoid)
    total = logits.clamp_(min=0).sum()
    total += 2 * torch.div(small, 2 - small, out=small).atanh_().sum()
    return total, sigmoid


class StreamedLoss(torch.autograd.Function):
    """Normalises, runs an objective and carries its slopes back to the embeddings."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, text: Tensor, image: Tensor, scale: Tensor, objective: Objective, pairs: Pairs
    ) -> Tensor:
        dtype = at_least_float32(text, image)
        text_rows, text_norm = _unit_rows(pairs.compact(text), dtype)
        image_rows, image_norm = _unit_rows(pairs.compact(image), dtype)
        multiplier = float(scale)
        loss, text_slope, image_slope = objective(text_rows, image_rows, multiplier, pairs)
        if pairs.with_slopes:
            by_scale = _onto_sphere(image_slope, image_rows, multiplier / image_norm)
            _onto_sphere(text_slope, text_rows, multiplier / text_norm)
            ctx.save_for_backward(text_slope, image_slope, by_scale)
            ctx.pairs, ctx.targets = pairs, (text.dtype, image.dtype, scale.dtype, scale.device)
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        text_grad, image_grad, by_scale = ctx.saved_tensors
        text_dtype, image_dtype, scale_dtype, scale_device = ctx.targets
        padded = ctx.pairs.padded
        return (
            padded((text_grad * grad).to(text_dtype)),
            padded((image_grad * grad).to(image_dtype)),
            (by_scale * grad).to(scale_device, scale_dtype),
            None,
            None,
        )


def _unit_rows(rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rows / norm, and the norms [N, 1]."""
    rows = rows.to(dtype)
    norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=_SMALLEST_NORM)
    return rows / norm, norm


def _onto_sphere(slope: Tensor, rows: Tensor, factor: Tensor) -> Tensor:
    """In place: the slope by unit rows becomes that by the rows; returns Σ slope · rows."""
    radial = torch.einsum("nd,nd->n", slope, rows)[:, None]
    slope.addcmul_(rows, radial, value=-1).mul_(factor)
    return radial.sum()
