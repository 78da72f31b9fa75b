"""Speed and memory of β-CAL: `python -m benchmarks.beta_cal [--quick]`.

Three versions of one loss, forward and backward, K = 36 texts and width 512 as in the paper:
`equations` writes the definition down with every [N, N] matrix in it, `autograd` leaves the
target matrices out and lets PyTorch differentiate, `streamed` is `bclip_core.losses.beta_cal`.
Repeats are interleaved, so that another load on the machine slows all three; the ratios are those
of the fastest repeats. Memory is the peak of PyTorch's allocator above the inputs. The full run
writes results/reference/benchmark_beta_cal.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from bclip_core.files import write_json
from bclip_core.losses import beta_cal
from bclip_core.results import REFERENCE_FOLDER, provenance

TEXTS, WIDTH, BETA, SCALE = 36, 512, 0.5, 1 / 0.07
Loss = Callable[[Tensor, Tensor, Tensor, Tensor, str], Tensor]


def equations(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """The definition, both directions, with all its [N, N] matrices."""
    text = functional.normalize(text[mask], dim=1)
    image = functional.normalize(image[mask], dim=1)
    by_image, by_text = scale * image @ text.T, scale * text @ image.T
    owner = mask.nonzero()[:, 0]
    same_image = (owner[:, None] == owner).float()
    itself = torch.eye(len(owner))
    shared = itself + BETA * (same_image - itself)
    if form == "ce":
        targets = shared / shared.sum(1, keepdim=True)
        rows = -(targets * by_image.log_softmax(1)).sum(1).mean()
        columns = -(targets * by_text.log_softmax(1)).sum(1).mean()
        return (rows + columns) / 2
    weights = 1 - same_image + shared
    rows = functional.binary_cross_entropy_with_logits(by_image, same_image, weights)
    columns = functional.binary_cross_entropy_with_logits(by_text, same_image, weights)
    return (rows + columns) / 2


def autograd(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """One matrix of logits, targets from the [B, K, K] blocks, PyTorch's gradient."""
    text = functional.normalize(text, dim=2)
    image = functional.normalize(image, dim=2)
    logits = scale * (image.flatten(0, 1) @ text.flatten(0, 1).T)
    inside = scale * image @ text.mT
    count = len(logits)
    weight = torch.full((TEXTS, TEXTS), BETA).fill_diagonal_(1.0)
    if form == "ce":
        target = (inside * weight).sum() / weight[0].sum()
        return (logits.logsumexp(0).sum() + logits.logsumexp(1).sum() - 2 * target) / (2 * count)
    everywhere = -functional.logsigmoid(-logits).sum()
    change = weight * -functional.logsigmoid(inside) + functional.logsigmoid(-inside)
    return (everywhere + change.sum()) / count**2


def streamed(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """The library's."""
    return beta_cal(text, image, mask, scale, beta=BETA, form=form)
