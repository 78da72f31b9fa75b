"""β-CAL: β-contextualised contrastive alignment of text-conditioned images and texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

from bclip_core.losses.blocks import Pairs, binary, cross_entropy, slope_dtype
from bclip_core.losses.numerics import as_scalar, at_least_float32

_Form = Callable[[Tensor, Tensor, float, Pairs], tuple[Tensor, Tensor, Tensor, Tensor]]
_FORMS: dict[str, _Form] = {"ce": cross_entropy, "bce": binary}
NORMALISERS = ("pairs", "rows", "positives")
"""What the sigmoid form divides each row's sum by, before the mean over rows: its number of pairs
(the paper's), nothing (SigLIP's), or the weight of its positives (as CE's target)."""


def beta_cal(
    text: Tensor,
    image: Tensor,
    mask: Tensor,
    logit_scale: Tensor | float,
    *,
    beta: float = 0.5,
    form: str = "ce",
    chunk_size: int | None = None,
    mask_padding: bool = True,
    duplicates: Tensor | None = None,
    related: Tensor | None = None,
    across_ranks: bool = False,
    normaliser: str = "pairs",
    bias: Tensor | float = 0.0,
) -> Tensor:
    """The β-CAL loss of β-CLIP (arXiv 2512.12678), streamed.

    Every text k of image i is a query; its image embedding is the image pooled under that text.
    Over the N valid pairs a = (i, k), with unit rows and s_ab = scale · ⟨image_a, text_b⟩:

        CE:   T_ab = [a = b] + β [a ≠ b, same image], each row divided by its sum 1 + β (n_i - 1)
              where n_i counts the valid texts of the image;
              L = -1/(2N) Σ_ab T_ab (log softmax_b s_ab + log softmax_a s_ab)
        BCE:  y_ab = 1 inside an image, else 0; w_ab = β for two texts of one image, else 1;
              L = 1/N² Σ_ab w_ab [softplus(s_ab) - y_ab s_ab]

    As published, BCE is a mean over all pairs. `normaliser` and `bias` are ours, see
    `notebooks/18_wake_sigmoid.ipynb`: with z_ab = s_ab + bias in the place of s_ab,

        L = 1/(2N) Σ_ab (1/d_a + 1/d_b) w_ab [softplus(z_ab) - y_ab z_ab]

    where d_a is N ("pairs"), 1 ("rows", SigLIP's division) or 1 + β (n_a - 1), the weight of the
    row's positives, which CE's targets are divided by too ("positives").

    The two forms differ at β = 0: CE then pushes the other texts of an image away as negatives,
    BCE ignores them. No [N, N] tensor exists: T and y differ from zero only in the columns of a
    row's own image, and the rest is one pass over blocks of rows (a second one for the gradient
    of CE, whose column sums are complete only at the end of the first). Computed in float32 for
    half-precision input, also under autocast; gradients have the dtype of their input. Of bfloat16
    input the gradient's matrix products are bfloat16 too, accumulated in float32, where the
    hardware has instructions for that. Nothing depends on an order of additions that changes from
    run to run.

    Args:
        text: text embeddings [B, K, D], normalised inside.
        image: image embeddings conditioned on those texts [B, K, D], normalised inside.
        mask: [B, K] bool, True where a text is real. An image may have none.
        logit_scale: the multiplier itself (already exponentiated), a number or scalar tensor.
        beta: how far other texts of the same image count as positives, in [0, 1].
        form: "ce" or "bce".
        chunk_size: rows of a block; None: as many as keep the memory of a block constant.
        mask_padding: True leaves padded rows out altogether. False reproduces the authors' code:
            CE keeps padded columns in the softmax as negatives, BCE divides by (B·K)².
        duplicates: [B, K] int64 ids of equal texts. Pairs of different images with one id are
            left out of the CE softmax and get weight 0 in BCE. None, as in the paper, keeps
            them as negatives.
        related: [B, K, K] bool, symmetric: which other texts of its image β reaches; to the rest
            of them the loss is what it is at β = 0. Each row and column of T is then divided by
            its own sum, T by the row's in the first logarithm's factor, by the column's in the
            second's. None, as in the paper: all of them. Ours, see
            `notebooks/06_draw_attention.ipynb`.
        across_ranks: every process of the default group calls this with the same tensors; each
            computes the rows that fall to it, and the sums are exchanged: value and gradients are
            the same on all, those of one process.
        normaliser: of BCE, one of `NORMALISERS`; "pairs" is the paper's. `mask_padding=False`
            counts padded rows as rows, here too.
        bias: of BCE, added to every logit; a number or scalar tensor. 0 is the paper's. A softmax
            does not notice one.

    Returns:
        The scalar loss, float64 for float64 input, else float32.

    Raises:
        ValueError: an argument out of its range, shapes that do not match, an all-masked batch, or
            `across_ranks` without a process group.
    """
    _check_options(beta, form, chunk_size, across_ranks)
    _check_balance(form, normaliser, bias)
    _check_tensors(text, image, mask, duplicates)
    _check_related(related, mask)
    scale, offset = as_scalar(logit_scale), as_scalar(bias, "bias")
    in_softmax = mask if mask_padding or form == "bce" else torch.ones_like(mask)
    index = in_softmax.flatten().nonzero()[:, 0]
    if len(index) == 0 or not (mask_padding or mask.any()):
        raise ValueError(f"mask of shape {list(mask.shape)} is False everywhere: expected a text")
    if duplicates is not None:  # padded rows hold any id: give each one of its own
        alone = -1 - torch.arange(mask.numel(), device=mask.device).view_as(mask)
        duplicates = duplicates.where(mask, alone + duplicates.min().clamp(max=0))
    counted = len(index) if mask_padding else mask.numel()
    inputs = (text, image, scale, offset)
    pairs = Pairs(
        mask=mask,
        index=index,
        beta=float(beta),
        normaliser=counted**2 if normaliser == "pairs" else counted,
        chunk_size=chunk_size,
        groups=duplicates,
        with_slopes=torch.is_grad_enabled() and any(x.requires_grad for x in inputs),
        slope_dtype=slope_dtype(text, image),
        across_ranks=across_ranks,
        by_positives=normaliser == "positives",
        bias=float(offset.detach()),
        with_bias_slope=torch.is_grad_enabled() and offset.requires_grad,
        related=related,
    )
    with torch.autocast(text.device.type, enabled=False):
        loss: Tensor = _BetaCal.apply(*inputs, _FORMS[form], pairs)
    return loss


def _check_options(beta: float, form: str, chunk_size: int | None, across_ranks: bool) -> None:
    if not 0.0 <= beta <= 1.0:
        raise ValueError(f"beta={beta!r}: expected a number in [0, 1]")
    if form not in _FORMS:
        raise ValueError(f"form={form!r}: expected one of {', '.join(_FORMS)}")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size={chunk_size!r}: expected None or a number of rows >= 1")
    if across_ranks and not (distributed.is_available() and distributed.is_initialized()):
        raise ValueError("across_ranks=True: expected an initialised torch.distributed group")


def _check_balance(form: str, normaliser: str, bias: Tensor | float) -> None:
    if normaliser not in NORMALISERS:
        raise ValueError(f"normaliser={normaliser!r}: expected one of {', '.join(NORMALISERS)}")
    if form == "bce":
        return
    if normaliser != "pairs":
        raise ValueError(f"normaliser={normaliser!r}: expected 'pairs' with form={form!r}")
    if isinstance(bias, Tensor) or bias:
        raise ValueError(f"bias={bias!r}: expected 0.0 with form={form!r}, which ignores a bias")


def _check_tensors(text: Tensor, image: Tensor, mask: Tensor, duplicates: Tensor | None) -> None:
    if text.ndim != 3:
        raise ValueError(f"text of shape {list(text.shape)}: expected [B, K, D]")
    if image.shape != text.shape:
        raise ValueError(f"image of shape {list(image.shape)}: expected text's {list(text.shape)}")
    for name, tensor in (("mask", mask), ("duplicates", duplicates)):
        if tensor is not None and tensor.shape != text.shape[:2]:
            expected = list(text.shape[:2])
            raise ValueError(f"{name} of shape {list(tensor.shape)}: expected [B, K] = {expected}")
    if mask.dtype != torch.bool:
        raise ValueError(f"mask of dtype {mask.dtype}: expected torch.bool")
    if duplicates is not None and duplicates.dtype != torch.int64:
        raise ValueError(f"duplicates of dtype {duplicates.dtype}: expected torch.int64")


def _check_related(related: Tensor | None, mask: Tensor) -> None:
    if related is None:
        return
    expected = [*mask.shape, mask.shape[1]]
    if list(related.shape) != expected or related.dtype != torch.bool:
        found = f"{related.dtype} {list(related.shape)}"
        raise ValueError(f"related {found}: expected torch.bool [B, K, K] = {expected}")
    if not torch.equal(related, related.mT):
        raise ValueError("related: expected a symmetric relation, found texts related one way")


class _BetaCal(torch.autograd.Function):
    """Normalises, runs a form and carries its slopes back to the embeddings."""

    @staticmethod
    def forward(
        ctx: Any,
        text: Tensor,
        image: Tensor,
        scale: Tensor,
        _: Tensor,
        form: _Form,
        pairs: Pairs,
    ) -> Tensor:
        dtype = at_least_float32(text, image)
        text_rows, text_norm = _unit_rows(pairs.compact(text).to(dtype))
        image_rows, image_norm = _unit_rows(pairs.compact(image).to(dtype))
        multiplier = float(scale)
        loss, text_slope, image_slope, by_bias = form(text_rows, image_rows, multiplier, pairs)
        if pairs.with_slopes:
            by_scale = _off_sphere(image_slope, image_rows, multiplier / image_norm)
            _off_sphere(text_slope, text_rows, multiplier / text_norm)
            ctx.save_for_backward(text_slope, image_slope, by_scale, by_bias)
            ctx.pairs = pairs
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # autograd casts each gradient to the dtype and device of its input
        by_text, by_image, *by_scalars = (saved * grad for saved in ctx.saved_tensors)
        return ctx.pairs.padded(by_text), ctx.pairs.padded(by_image), *by_scalars, None, None


def _unit_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of length 1 and their former lengths [N, 1], floored as functional.normalize does."""
    norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12)
    return rows / norm, norm


def _off_sphere(slope: Tensor, rows: Tensor, factor: Tensor) -> Tensor:
    """In place: the slope by unit rows becomes that by the rows; returns Σ slope · rows."""
    radial = torch.einsum("nd,nd->n", slope, rows)[:, None]
    slope.addcmul_(rows, radial, value=-1).mul_(factor)
    return radial.sum()
