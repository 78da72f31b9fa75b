"""Devices and processes: one batch over many processes, features exchanged with gradients."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from bclip_core.config import ConfigError, TrainConfig
from bclip_core.model import Features


def world() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def make_accelerator(config: TrainConfig, device: str = "") -> Accelerator:
    """Devices, precision and accumulation of a run.

    Raises:
        ConfigError: fp16 on a CPU.
    """
    cpu = device == "cpu"
    if config.precision == "fp16" and (cpu or not torch.cuda.is_available()):
        raise ConfigError("precision='fp16': expected fp32 or bf16 where no GPU is used")
    # accelerate keeps one state per process; a notebook trains runs of different precision in one.
    AcceleratorState._reset_state(reset_partial_state=world()[1] == 1)
    return Accelerator(
        cpu=cpu,
        mixed_precision={"fp32": "no"}.get(config.precision, config.precision),
        gradient_accumulation_steps=config.accumulation,
    )


class _Gather(torch.autograd.Function):
    """[B/W, ...] of every rank to [B, ...] on every rank, in rank order, with gradient.

    All ranks compute the same loss from the same gathered tensor, so each has the whole gradient
    already: the sum over ranks that a gather's backward asks for is W times the own one, and
    nothing is sent.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:  # noqa: D102
        ctx.rank, ctx.world = world()
        whole = [torch.empty_like(part) for _ in range(ctx.world)]
        torch.distributed.all_gather(whole, part.contiguous())
        return torch.cat(whole)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: D102
        rank: int = ctx.rank
        ranks: int = ctx.world
        return gradients[0].chunk(ranks)[rank] * ranks


def _gather(part: Tensor) -> Tensor:
    whole: Tensor = _Gather.apply(part)  # type: ignore[no-untyped-call,unused-ignore]
    return whole


def gather_features(features: Features) -> Features:
    """The features of the joined batch on every rank; one process gets back what it gave.

    Every rank then computes the whole batch's loss, the same on all. The gather's backward
    multiplies by the number of ranks and DDP averages over them, so each parameter receives exactly
    the gradient of one process with the joined batch. (The authors gather without gradient and only
    for the global loss: about half the true gradient, and β-CAL without negatives from other
    ranks.)
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
