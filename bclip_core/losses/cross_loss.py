"""Leak-free conditioning: other images, pooled with the same text, are its negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bclip_core.losses.numerics import as_scalar, at_least_float32


def unit_cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of the rows of two tensors [..., D], in float32 or wider, also under autocast."""
    dtype = at_least_float32(first, second)
    rows = (functional.normalize(x.to(dtype), dim=-1) for x in (first, second))
    return torch.mul(*rows).sum(-1)


def conditioned_contrastive(cosines: Tensor, scale: Tensor | float) -> Tensor:
    """The global loss's form on conditioned cosines: which image is a caption's, and which its own?

    With c_b0 the cosine of image b pooled under its own caption, and c_bm those of other images
    under it (or of this image under other captions), s = scale · c:

        -1/(2B) Σ_b Σ_way log (exp s_b0 / Σ_m exp s_bm)

    What a pooler copies from the text does not tell images apart in the first way, and speaks for
    every caption alike in the second. Not of either paper.

    Args:
        cosines: [B, 2, M], the own one first, see `poolers.cross_captions`.
        scale: the multiplier itself.

    Raises:
        ValueError: another shape.
    """
    if cosines.ndim != 3 or cosines.shape[1] != 2:
        raise ValueError(f"cosines {list(cosines.shape)}: expected [B, 2, M]")
    logits = as_scalar(scale).to(cosines) * cosines
    return (logits.logsumexp(-1) - logits[..., 0]).mean()


def cross_conditioned(
    own: Tensor,
    others: Tensor,
    mask: Tensor,
    scale: Tensor | float,
    *,
    form: str = "ce",
    bias: Tensor | float = 0.0,
    ignore: Tensor | None = None,
) -> Tensor:
    """Which image is it, when all of them have been pooled with this text?

    In β-CAL an image is pooled with its own texts alone, so a pooler that copies the text to its
    output scores well without looking. Here own_bk = ⟨c(image b, text bk), text bk⟩ competes with
    others_bkm = ⟨c(image m, text bk), text bk⟩ of M other images: what the pooler copies from the
    text is in all of them alike and wins nothing. With N valid texts and s = scale ·:

        CE:   -1/N Σ_bk log (exp s_own / (exp s_own + Σ_m exp s_m))
        BCE:  -1/N Σ_bk 1/(1 + M) [log σ(s_own + bias) + Σ_m log σ(-(s_m + bias))]

    This is not of either paper.

    Args:
        own: cosines [B, K].
        others: cosines [B, K, M].
        mask: which texts exist, [B, K] bool.
        scale: the multiplier itself.
        form: "ce" or "bce".
        bias: of the sigmoid form.
        ignore: [B, K, M] bool, other images that are no negatives of a text, because it is theirs
            as well; None: there are none.

    Raises:
        ValueError: another form, or shapes that do not match.
    """
    if form not in ("ce", "bce"):
        raise ValueError(f"form={form!r}: expected 'ce' or 'bce'")
    if own.shape != mask.shape or others.shape[:2] != mask.shape:
        shapes = f"own {list(own.shape)}, others {list(others.shape)}, mask {list(mask.shape)}"
        raise ValueError(f"{shapes}: expected [B, K], [B, K, M] and [B, K]")
    if ignore is not None and ignore.shape != others.shape:
        raise ValueError(f"ignore {list(ignore.shape)}: expected {list(others.shape)}, as others")
    dtype = at_least_float32(own, others)
    logits = torch.cat([own[..., None], others], dim=-1).to(dtype)
    logits = as_scalar(scale).to(logits) * logits
    if form == "ce":
        if ignore is not None:
            left = logits[..., 1:].masked_fill(ignore, -torch.inf)
            logits = torch.cat([logits[..., :1], left], dim=-1)
        losses = logits.logsumexp(-1) - logits[..., 0]
    else:
        logits = logits + as_scalar(bias).to(logits)
        positive, negative = logits[..., :1], -logits[..., 1:]
        pairs = -functional.logsigmoid(torch.cat([positive, negative], dim=-1))
        if ignore is None:
            losses = pairs.mean(-1)
        else:
            kept = torch.cat([torch.ones_like(ignore[..., :1]), ~ignore], dim=-1)
            losses = pairs.where(kept, 0).sum(-1) / kept.sum(-1)
    return losses.where(mask, 0).sum() / mask.sum().clamp(min=1)
