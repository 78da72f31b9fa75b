"""Whole data sets through a trained model, without gradient, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bclip_core.data.images import normalise_images
from bclip_core.model import BClip
from bclip_core.progress import progress_bar
from bclip_core.tokenizer import Tokenizer


@torch.inference_mode()
def encode_images(
    model: BClip, pixels: Tensor, *, batch_size: int = 256, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """Global and dense embeddings of pictures.

    Args:
        model: any model of the collection.
        pixels: uint8 [M, 3, H, W].
        batch_size: pictures at a time.
        progress: show a progress bar.

    Returns:
        global [M, D] and patches [M, P, D], on the CPU, not normalised.
    """
    device = next(model.parameters()).device
    parts = []
    for start in progress_bar(
        range(0, len(pixels), batch_size), desc="encode images", progress=progress
    ):
        images = normalise_images(pixels[start : start + batch_size].to(device))
        parts.append([part.cpu() for part in model.backbone.encode_image(images)])
    return torch.cat([image for image, _ in parts]), torch.cat([patches for _, patches in parts])


@torch.inference_mode()
def encode_texts(
    model: BClip, texts: Sequence[str], *, batch_size: int = 512, progress: bool = False
) -> Tensor:
    """Embeddings of texts [T, D], on the CPU, not normalised; equal texts are encoded once."""
    tokenizer = Tokenizer(model.backbone.config.context_length)
    device = next(model.parameters()).device
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    unique = list(distinct)
    parts = []
    batches = range(0, len(unique), batch_size)
    for start in progress_bar(batches, desc="encode texts", progress=progress):
        tokens = tokenizer(unique[start : start + batch_size]).to(device)
        parts.append(model.backbone.encode_text(tokens).cpu())
    return torch.cat(parts)[[distinct[text] for text in texts]]
