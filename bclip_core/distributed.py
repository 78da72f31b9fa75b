"""One batch over many processes: features are exchanged with their gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import nn as distributed_nn

from bclip_core.model import Features


def world() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _gather(part: Tensor) -> Tensor:
    """[B/W, ...] of every rank to [B, ...] on every rank, in rank order, with gradient."""
    if part.is_floating_point():
        return torch.cat(distributed_nn.all_gather(part.contiguous()))
    whole = [torch.empty_like(part) for _ in range(world()[1])]
    torch.distributed.all_gather(whole, part.contiguous())
    return torch.cat(whole)


def gather_features(features: Features) -> Features:
    """The features of the joined batch on every rank; one process gets back what it gave.

    Every rank then computes the whole batch's loss. The gather's backward sums the W equal
    gradients and DDP averages over ranks, so each parameter receives exactly the gradient of one
    process with the joined batch. (The authors gather without gradient and only for the global
    loss: about half the true gradient, and β-CAL without negatives from other ranks.)
    """
    if world()[1] == 1:
        return features
    return features._replace(
        image=_gather(features.image),
        text=_gather(features.text),
        mask=_gather(features.mask),
        identity=_gather(features.identity),
        conditioned=None if features.conditioned is None else _gather(features.conditioned),
    )
