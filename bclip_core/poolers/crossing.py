"""Texts pooled with images that are not theirs: what leak-free conditioning trains on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bclip_core.poolers.protocol import Pooler

SHIFTS_AT_A_TIME = 8  # other images per text that are pooled at once
CAPTIONS_AT_A_TIME = 64  # captions that every image is pooled with at once


def cross_images(
    pooler: Pooler,
    patches: Tensor,
    text: Tensor,
    mask: Tensor,
    *,
    seed: int,
    count: int = 0,
    one_text: bool = False,
    reference: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Pool M other images of the batch with each text.

    The batch is that of one process: patches are not exchanged between several.

    Which ones: M random shifts of the batch, shared by all texts, so that every image meets M
    others and a shift needs no gather. The pooler gets each image once with the texts of several
    other images side by side, so that its patches are projected once; nothing of the size
    B · (texts) · P · D exists, and of more than `SHIFTS_AT_A_TIME` images per text only so many
    are held at once, the rest is computed again in the backward pass.

    Args:
        pooler: patches [B, P, D] and text [B, K, D] to conditioned embeddings [B, K, D].
        patches: [B, P, D].
        text: [B, K, D].
        mask: which texts exist, [B, K] bool; at least one per image.
        seed: of the draws. A function of the batch keeps a resumed run on its path.
        count: M; 0 or more than there are: all B - 1 others.
        one_text: only one text of each image, drawn from those that exist.
        reference: also return the mean of the M conditioned embeddings.

    Returns:
        Cosines of the text with the others' conditioned embeddings, float32 or wider, [B, K, M]
        ([B, 1, M] for one text), and the mean [B, K, D] or None.

    Raises:
        ValueError: a batch of one image.
    """
    generator = torch.Generator().manual_seed(seed & (2**63 - 1))
    shifts = _draw_shifts(len(patches), count, generator)
    count = len(shifts)
    if one_text:
        drawn = torch.rand(mask.shape, generator=generator).to(mask.device)
        chosen = drawn.masked_fill(~mask, -1).argmax(1)
        text = text[torch.arange(len(text), device=text.device), chosen][:, None]
    groups = [shifts[i : i + SHIFTS_AT_A_TIME] for i in range(0, count, SHIFTS_AT_A_TIME)]
    parts = [
        checkpoint(_pool_shifted, pooler, patches, text, group, reference, use_reentrant=False)
        if len(groups) > 1 and torch.is_grad_enabled()
        else _pool_shifted(pooler, patches, text, group, reference)
        for group in groups
    ]
    cosines = torch.cat([cosine for cosine, _ in parts], dim=-1)
    total = torch.stack([sums for _, sums in parts]).sum(0) / count if reference else None
    return cosines, total


def _draw_shifts(images: int, count: int, generator: torch.Generator) -> list[int]:
    """How many places further on the M other images lie that each text is pooled with."""
    if images < 2:
        raise ValueError("a batch of 1 image has no other image to pool its texts with")
    count = min(count or images - 1, images - 1)
    return (torch.randperm(images - 1, generator=generator)[:count] + 1).tolist()


def cross_alike(identity: Tensor, mask: Tensor, *, seed: int, count: int = 0) -> Tensor:
    """Which of the other images that `cross_images` draws have the very text themselves.

    For such an image the text is as true as for its own, so it is no negative.

    Args:
        identity: a number of each text, [B, K]; equal numbers are equal texts.
        mask: which texts exist, [B, K] bool.
        seed: as for `cross_images`.
        count: as for `cross_images`.

    Returns:
        [B, K, M] bool.

    Raises:
        ValueError: a batch of one image.
    """
    generator = torch.Generator().manual_seed(seed & (2**63 - 1))
    alike = []
    for shift in _draw_shifts(len(identity), count, generator):
        theirs, exist = identity.roll(-shift, 0)[:, None], mask.roll(-shift, 0)[:, None]
        alike.append(((identity[..., None] == theirs) & exist).any(-1))
    return torch.stack(alike, dim=-1)


def cross_captions(pooler: Pooler, patches: Tensor, caption: Tensor) -> Tensor:
    """Every image of the batch pooled with every caption: conditioned retrieval, inside a batch.

    The batch is that of one process, as for `cross_images`. Of more than `CAPTIONS_AT_A_TIME`
    captions only so many are held at once.

    Args:
        pooler: patches [B, P, D] and text [B, K, D] to conditioned embeddings [B, K, D].
        patches: [B, P, D].
        caption: [B, D].

    Returns:
        Cosines [B, 2, B], float32 or wider, the image's own caption first: of caption b with the
        images b, b + 1, ... pooled under it, and of image b pooled under the captions b, b + 1, ...
        with these; places count around the batch.
    """
    count = len(patches)
    parts = [
        checkpoint(_pool_with_all, pooler, patches, part, use_reentrant=False)
        if count > CAPTIONS_AT_A_TIME and torch.is_grad_enabled()
        else _pool_with_all(pooler, patches, part)
        for part in torch.split(caption, CAPTIONS_AT_A_TIME)
    ]
    cosines = torch.cat(parts, dim=1)  # image by caption
    own = torch.arange(count, device=cosines.device)[:, None]
    around = (own + own.T) % count
    return torch.stack([cosines[around, own], cosines[own, around]], dim=1)


def _pool_with_all(pooler: Pooler, patches: Tensor, caption: Tensor) -> Tensor:
    """Cosines [B, C] of C captions with all images pooled under them."""
    conditioned, _ = pooler(patches, caption.expand(len(patches), *caption.shape))
    wide = conditioned.double() if conditioned.dtype == torch.float64 else conditioned.float()
    return (F.normalize(wide, dim=-1) * F.normalize(caption.to(wide.dtype), dim=-1)).sum(-1)


def _pool_shifted(
    pooler: Pooler, patches: Tensor, text: Tensor, shifts: list[int], reference: bool
) -> tuple[Tensor, Tensor]:
    """Cosines [B, K, G] of texts with the images `shifts` places further on, and their sum."""
    guests = torch.cat([text.roll(shift, 0) for shift in shifts], dim=1)
    conditioned, _ = pooler(patches, guests)
    by_shift = conditioned.chunk(len(shifts), dim=1)
    back = torch.stack([part.roll(-shift, 0) for part, shift in zip(by_shift, shifts, strict=True)])
    wide = back.double() if back.dtype == torch.float64 else back.float()
    unit = F.normalize(text.to(wide.dtype), dim=-1)
    cosines = (F.normalize(wide, dim=-1) * unit).sum(-1)  # [G, B, K]
    return cosines.permute(1, 2, 0), wide.sum(0) if reference else wide.new_zeros(())
