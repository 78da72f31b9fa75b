"""A large batch's gradient in a small batch's memory (gradient caching, arXiv 2101.06983).

A contrastive loss needs the embeddings of the whole batch, but few of the activations behind them
at a time. The batch is encoded in chunks without a graph; the loss gives the gradient by each
embedding; then each chunk is encoded again, with a graph, and carries its part of that gradient to
the weights. The sum over chunks is the gradient of the whole batch, exactly: nothing is
approximated, and unlike accumulation every text keeps all its negatives. The price is one more
forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bclip_core.model import Features, TextBatch


def chunks(images: Tensor, texts: TextBatch, size: int) -> Iterator[tuple[Tensor, TextBatch]]:
    """At most `size` images at a time with their own texts; tokens keep their width L.

    A text that two chunks share is encoded in both.
    """
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        mask = texts.mask[rows]
        index = texts.index[rows].where(mask, texts.index[rows][mask][:1])
        used, compact = torch.unique(index, return_inverse=True)
        yield images[rows], TextBatch(texts.tokens[used], compact.where(mask, 0), mask)


def encode_in_chunks(model: nn.Module, images: Tensor, texts: TextBatch, size: int) -> Features:
    """The batch's `Features` without a graph; those with a gradient are leaves.

    Args:
        model: `BClip`, or what accelerate made of it.
        images: normalised pixels [B, 3, H, W].
        texts: of the same images; each has at least one.
        size: images per chunk.
    """
    with torch.no_grad():
        parts: list[Features] = [model(*chunk) for chunk in chunks(images, texts, size)]
    several = [part.tensors() for part in parts]
    leaves = dict[str, Tensor]()
    for name, value in several[0].items():
        joined = torch.cat([part[name] for part in several]) if value.ndim else value
        leaves[name] = joined.detach().requires_grad_(joined.is_floating_point())
    return parts[0].with_tensors(leaves)


def backward_in_chunks(
    model: nn.Module, images: Tensor, texts: TextBatch, size: int, encoded: Features
) -> None:
    """Carry the gradients of `encoded` (from `encode_in_chunks`, after backward) to the weights."""
    whole = {name: x.grad for name, x in encoded.tensors().items() if x.is_leaf}
    for start, chunk in zip(range(0, len(images), size), chunks(images, texts, size), strict=True):
        last = start + size >= len(images)
        outputs, gradients = [], []
        with nullcontext() if last else _without_exchange(model):
            for name, value in model(*chunk).tensors().items():
                gradient = whole.get(name)
                if gradient is None or not (gradient.ndim or last):
                    continue  # scalars are the same in every chunk: theirs is taken once
                outputs.append(value)
                gradients.append(gradient[start : start + size] if gradient.ndim else gradient)
            torch.autograd.backward(outputs, gradients)


def _without_exchange(model: nn.Module) -> AbstractContextManager[None]:
    """Ranks exchange gradients once, with the last chunk."""
    if isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()
