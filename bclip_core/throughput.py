"""How much of a device's arithmetic a training step uses: model FLOPs and their utilisation.

Model FLOPs are what the method needs, whatever the code recomputes or pads: two per multiplication
and addition, forward once and backward twice (Chowdhery et al., arXiv 2204.02311, appendix B).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn

from bclip_core.data.batches import TextBatch
from bclip_core.model import BClip

# Dense tensor-core peaks in FLOP/s at 16-bit precision without sparsity, from the makers' data
# sheets (SXM versions). A device that is not here gets no utilisation.
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}


def tower_flops(blocks: nn.ModuleList, lengths: Sequence[int]) -> int:
    """Forward FLOPs of a transformer over sequences of these lengths; attention counted in full."""
    attention = blocks[0].get_submodule("attn")
    hidden = blocks[0].get_submodule("mlp.c_fc")
    assert isinstance(attention, nn.MultiheadAttention)
    assert isinstance(hidden, nn.Linear)
    width = attention.embed_dim
    per_token = 8 * width**2 + 4 * width * hidden.out_features
    tokens, pairs = sum(lengths), sum(length**2 for length in lengths)
    return int(len(blocks) * (tokens * per_token + 4 * width * pairs))


def step_flops(model: BClip, images: int, texts: TextBatch) -> int:
    """Model FLOPs of one step over `images` pictures and their texts, forward and backward.

    Both towers, the patch projection and the pooler; each distinct text once at its own length.
    The losses are left out.
    """
    clip, dim = model.backbone.clip, model.backbone.dim
    visual, patches = clip.visual, model.backbone.grid[0] * model.backbone.grid[1]
    total = tower_flops(visual.transformer.resblocks, [patches + 1] * images)
    total += 2 * images * patches * visual.conv1.weight.numel()
    lengths: list[int] = (texts.tokens.argmax(dim=1) + 1).tolist()
    total += tower_flops(clip.transformer.resblocks, lengths)
    if model.pooler is not None:
        queries = texts.mask.shape[1]
        weights = sum(p.numel() for p in model.pooler.parameters() if p.ndim == 2)
        keys = min(weights, 2 * dim**2)  # applied to patches; the other weights to texts
        total += 2 * images * (queries * (weights - keys) + patches * keys)
        total += 4 * images * queries * patches * dim
    return int(3 * total)


def peak_flops(device: torch.device) -> float | None:
    """The device's peak at 16-bit precision, or None where it is not known."""
    if device.type != "cuda":
        return None
    return known_peak(torch.cuda.get_device_name(device))


def known_peak(name: str) -> float | None:
    """The peak of a GPU by its full name; other variants of a model have other peaks."""
    words = re.split(r"[\s-]+", name)
    if {"PCIe", "PCIE", "NVL"} & set(words):
        return None
    return next((PEAK_FLOPS[word] for word in words if word in PEAK_FLOPS), None)


def arithmetic_speed(flops: int, seconds: float, peak: float | None) -> dict[str, float]:
    """What the history says of an update of one process: its speed, and its share of the peak."""
    speed = {"teraflops_per_second": flops / seconds / 1e12}
    if peak is not None:
        speed["model_flops_utilisation"] = flops / seconds / peak
    return speed
