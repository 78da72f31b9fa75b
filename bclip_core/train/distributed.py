"""Devices and processes: one batch over many processes, features exchanged with gradients."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import ProjectConfiguration
from torch import Tensor

from bclip_core.config import ConfigError, TrainConfig
from bclip_core.model import Features
from bclip_core.records.locks import lock


def world() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def make_accelerator(
    config: TrainConfig, device: str = "", trackers: Sequence[str] = (), folder: Path | None = None
) -> Accelerator:
    """Devices, precision and accumulation of a run, and who watches it.

    Args:
        config: of the loop.
        device: "cpu" keeps an available GPU out of it.
        trackers: names, see `tracking`.
        folder: where they write.

    Raises:
        ConfigError: fp16 on a CPU; "bf16-products" on a GPU, or on a processor without them;
            updates in the backward pass of several processes.
    """
    cpu = device == "cpu"
    on_cpu = cpu or not torch.cuda.is_available()
    if config.precision == "fp16" and on_cpu:
        raise ConfigError("precision='fp16': expected fp32 or bf16 where no GPU is used")
    if config.precision == "bf16-products" and not (on_cpu and has_bf16_products()):
        where = "on this processor, which has no bf16 instructions" if on_cpu else "on a GPU"
        raise ConfigError(f"precision='bf16-products': expected fp32 or bf16 {where}")
    # accelerate keeps one state per process; a notebook trains runs of different precision in one.
    AcceleratorState._reset_state(reset_partial_state=world()[1] == 1)
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=config.precision if config.precision in ("bf16", "fp16") else "no",
        gradient_accumulation_steps=config.accumulation,
        log_with=list(trackers) or None,
        project_config=ProjectConfiguration(logging_dir=str(folder) if folder else None),
    )
    if config.update_in_backward and accelerator.num_processes > 1:
        raise ConfigError(
            "update_in_backward=True: expected False in several processes, whose gradients are "
            "exchanged later"
        )
    return accelerator


def has_bf16_products() -> bool:
    """Whether oneDNN can multiply in bfloat16 here; it would not say that it does not."""
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    here: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return here and supported


@contextmanager
def alone(folder: Path, config: TrainConfig, device: str = "") -> Iterator[None]:
    """Hold the lock of a run's folder; of several ranks the first holds it, the others wait for it.

    Raises:
        OSError: the folder's parent cannot be written.
        ConfigError: $WORLD_SIZE is no number.
    """
    if _ranks_asked() > 1:
        make_accelerator(config, device)  # begins the process group
    rank, ranks = world()
    with lock(folder) if rank == 0 else nullcontext():
        if ranks > 1:
            torch.distributed.barrier()
        yield


def _ranks_asked() -> int:
    """What whoever starts the ranks says of their number."""
    given = os.environ.get("WORLD_SIZE", "").strip() or "1"
    if not given.isdecimal():
        raise ConfigError(f"$WORLD_SIZE={given!r}: expected a whole number, as torchrun sets it")
    return int(given)


class _Gather(torch.autograd.Function):
    """[b_r, ...] of every rank r to [B, ...] on every rank, in rank order, with gradient.

    All ranks compute the same loss from the same gathered tensor, so each has the whole gradient
    already: the sum over ranks that a gather's backward asks for is W times the own one, and
    nothing is sent.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, sizes: list[int]) -> Tensor:  # noqa: D102
        rank, ctx.world = world()
        ctx.start, ctx.length = sum(sizes[:rank]), sizes[rank]
        # collectives want equal shapes: shorter parts travel with padding, which is cut off again
        longest = part.new_zeros(max(sizes), *part.shape[1:])
        longest[: len(part)] = part
        whole = [torch.empty_like(longest) for _ in sizes]
        torch.distributed.all_gather(whole, longest)
        return torch.cat([piece[:size] for piece, size in zip(whole, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return gradients[0].narrow(0, ctx.start, ctx.length) * ctx.world, None


def _gather(part: Tensor, sizes: list[int]) -> Tensor:
    whole: Tensor = _Gather.apply(part, sizes)  # type: ignore[no-untyped-call,unused-ignore]
    return whole


def _batch_sizes(images: int, device: torch.device) -> list[int]:
    """How many images each rank holds."""
    sizes = torch.zeros(world()[1], dtype=torch.int64, device=device)
    sizes[world()[0]] = images
    torch.distributed.all_reduce(sizes)
    counts: list[int] = sizes.tolist()
    return counts


_CROSSED = ("crossed", "crossed_captions")  # last axis: other images of a process's own share


def _equal_widths(features: Features) -> Features:
    """Word tokens padded to the longest caption of any rank; other images per text are checked.

    Raises:
        ValueError: the ranks pool different numbers of other images with a text.
    """
    for name in ("word_tokens", "word_mask", *_CROSSED):
        value: Tensor | None = getattr(features, name)
        if value is None:
            continue
        place = -1 if name in _CROSSED else 1
        widest = torch.tensor(value.shape[place], device=value.device)
        torch.distributed.all_reduce(widest, torch.distributed.ReduceOp.MAX)
        missing = int(widest) - value.shape[place]
        if name in _CROSSED and missing:
            raise ValueError(
                f"{name} of shape {list(value.shape)}: expected {int(widest)} other images per "
                "text, as on another rank; lower loss.cross_images or share the batch evenly"
            )
        if missing:
            before = (0, 0) if value.ndim == 3 else ()  # functional.pad counts from the last axis
            padded: Any = {name: torch.nn.functional.pad(value, (*before, 0, missing))}
            features = features._replace(**padded)
    return features


def gather_features(features: Features) -> Features:
    """The features of the joined batch on every rank; one process gets back what it gave.

    The ranks may hold different numbers of images (an uneven last batch). Every rank then computes
    the whole batch's loss, the same on all; the rows of β-CAL, whose work grows with the square of
    the batch, they share (`beta_cal(across_ranks=True)`). The gather's backward multiplies by the
    number of ranks and DDP averages over them, so each parameter receives exactly the gradient of
    one process with the joined batch. (The authors gather without gradient and only for the global
    loss: about half the true gradient, and β-CAL without negatives from other ranks.)
    """
    if world()[1] == 1:
        return features
    sizes = _batch_sizes(len(features.image), features.image.device)
    features = _equal_widths(features)
    per_image: dict[str, Any] = {
        name: _gather(value, sizes)
        for name, value in features._asdict().items()
        if isinstance(value, torch.Tensor) and value.ndim
    }
    return features._replace(**per_image, ranks=world()[1])
