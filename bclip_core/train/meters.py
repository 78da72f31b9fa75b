"""What an update says and costs: terms, time, memory, and its share of a device's arithmetic.

Model FLOPs are what the method needs, whatever the code recomputes or pads: two per multiplication
and addition, forward once and backward twice (Chowdhery et al., arXiv 2204.02311, appendix B).
"""

from __future__ import annotations

import math
import re
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from bclip_core.data.batches import Batch
from bclip_core.model import BClip, Features, TextBatch

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


def peak_memory() -> float:
    """The most memory in MiB that this process has held: of the GPU where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10)


class Meter:
    """Sums over the micro-batches of an update, and the line of history that they make.

    Args:
        device: that the model runs on.

    Attributes:
        norm: of the update's gradient, before clipping.
    """

    def __init__(self, device: torch.device) -> None:
        self.norm = math.nan
        self._peak = peak_flops(device)
        self.restart()

    def restart(self) -> None:
        """Begin the next update."""
        self._began, self._waited, self._flops = time.perf_counter(), 0.0, 0
        self._means = dict[str, float]()

    def waiting_for(self, batches: Iterator[Batch]) -> Batch:
        """The next batch; the time that it takes is the loader's."""
        asked = time.perf_counter()
        batch = next(batches)
        self._waited += time.perf_counter() - asked
        return batch

    def count_flops(self, model: BClip, images: int, texts: TextBatch) -> None:
        """Add the arithmetic of a micro-batch."""
        self._flops += step_flops(model, images, texts)

    def add_terms(self, values: dict[str, float], accumulation: int) -> None:
        """Add a micro-batch's loss terms to their means over the update."""
        for name, value in values.items():
            self._means[name] = self._means.get(name, 0.0) + value / accumulation

    def record(self, update: int, features: Features, factors: dict[str, float]) -> dict[str, Any]:
        """The line of history of an update.

        Args:
            update: how many are done.
            features: of its last micro-batch, for the learnt scales.
            factors: of the learning rates.
        """
        seconds = time.perf_counter() - self._began
        line: dict[str, Any] = {"update": update, "loss": sum(self._means.values()), **self._means}
        line |= factors
        line |= {"gradient_norm": self.norm} if math.isfinite(self.norm) else {}
        line |= {"logit_scale": float(features.logit_scale.detach())}
        if features.pooler_logit_scale is not None:
            line |= {"pooler_logit_scale": float(features.pooler_logit_scale.detach())}
        line |= {"seconds": seconds, "loader_share": self._waited / seconds}
        line |= {"peak_memory": peak_memory()}
        return line | arithmetic_speed(self._flops, seconds, self._peak)
