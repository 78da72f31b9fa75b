"""How weights move: learning rates, AdamW's groups, clipping, and what only changes speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bclip_core.config import TrainConfig
from bclip_core.model import BClip


def learning_rate_factor(
    update: int, config: TrainConfig, rows: int = 0, *, pooler: bool = False
) -> float:
    """Linear warm-up to 1, then a cosine to `final_lr_fraction` at the last update.

    Args:
        update: how many are done.
        config: of the loop.
        rows: of the data set, where the configuration counts in epochs.
        pooler: of the pooler's rate, where it has a course of its own.
    """
    warmup = 0 if pooler and not config.pooler_warmup else config.warmup_updates(rows)
    if update < warmup:
        if not config.warmup_lr:
            return (update + 1) / warmup
        start = config.warmup_lr / (config.pooler_lr if pooler else config.lr)
        return start + (1 - start) * update / max(1, warmup - 1)
    own = pooler and config.pooler_final_lr_fraction != -1
    final = config.pooler_final_lr_fraction if own else config.final_lr_fraction
    span = max(1, config.updates(rows) - 1 - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (update - warmup) / span)))
    return final + (1 - final) * cosine


def make_optimizer(model: BClip, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with a rate for the backbone and one for the pooler; only matrices decay.

    A table of positions whose first rows are frozen does not decay: those rows would move by it.
    Groups of the pooler say so, for `set_learning_rates`, where its rate takes another course.
    """
    frozen = {"backbone.clip.positional_embedding"} if model.backbone.frozen_positions else set()
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        pooler = name.startswith(("pooler.", "heads."))
        rate = config.pooler_lr if pooler else config.lr
        decay = config.weight_decay if parameter.ndim >= 2 and name not in frozen else 0.0
        own = pooler and config.pooler_differs
        groups.setdefault((rate, decay, own), []).append(parameter)
    parameters = [
        {"params": members, "lr": rate, "base_lr": rate, "weight_decay": decay, "pooler": own}
        for (rate, decay, own), members in groups.items()
    ]
    return torch.optim.AdamW(parameters, betas=config.adam_betas, fused=config.fused_optimizer)


def set_learning_rates(
    optimizer: torch.optim.Optimizer, update: int, config: TrainConfig, rows: int
) -> None:
    """The rates of the next update, see `learning_rate_factor`."""
    for group in optimizer.param_groups:
        own = group.get("pooler", False)  # groups of earlier checkpoints do not say it
        factor = learning_rate_factor(update, config, rows, pooler=own)
        group["lr"] = group["base_lr"] * factor


def recomputes(config: TrainConfig) -> bool:
    """Whether blocks are recomputed in the backward pass."""
    return config.activation_checkpointing or config.memory == "lean"


def apply_settings(model: BClip, config: TrainConfig) -> None:
    """Packing, checkpointing, memory order and compilation: they change speed and memory alone."""
    model.backbone.packed = config.packed_texts
    model.backbone.set_checkpointing(recomputes(config))
    if config.channels_last:
        model.backbone.clip.visual.to(memory_format=torch.channels_last)
    compile_images(model, config.compile)


def compile_images(model: BClip, wanted: bool = True) -> None:
    """Compile the image tower, or take what was compiled away.

    Pictures have one shape; texts come in ever new ones.
    """
    there = "encode_image" in model.backbone.__dict__
    if wanted and not there:
        compiled = torch.compile(model.backbone.encode_image)
        model.backbone.encode_image = compiled  # type: ignore[method-assign]
    if there and not wanted:
        del model.backbone.__dict__["encode_image"]


@contextmanager
def update_in_backward(
    model: BClip, optimizer: torch.optim.Optimizer, config: TrainConfig, processes: int = 1
) -> Iterator[list[Tensor] | None]:
    """Where so configured, each weight moves as soon as its gradient is whole, which is then freed.

    The same update, bit for bit, without ever holding all gradients. A weight's gradient is whole
    once every use of it has been passed backwards, so nothing reads the weight afterwards.

    Args:
        model: whose weights move.
        optimizer: over them.
        config: asks for it, or for lean memory, which has it wherever it can be.
        processes: that share a batch; several exchange whole gradients first.

    Yields:
        None, or a list that each backward pass adds the gradients' norms to, for its reader to
        clear.
    """
    lean = config.memory == "lean" and processes == 1 and not config.holds_gradients
    if not (config.update_in_backward or lean):
        yield None
        return
    norms = list[Tensor]()

    def move(parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        norm = parameter.grad.norm()
        if norm.isfinite():  # of one that is not the step's reader tells
            optimizer.step()  # moves those alone that have a gradient
        norms.append(norm)
        parameter.grad = None

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hooks = [
        parameter.register_post_accumulate_grad_hook(move)  # type: ignore[no-untyped-call]
        for parameter in trained
    ]
    try:
        yield norms
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def float32_products(device: torch.device, precision: str) -> Iterator[None]:
    """How float32 matrix products are made while a run trains.

    On a GPU in mixed precision, the losses' are TensorFloat-32: the embeddings come out of bf16 or
    fp16 layers, whose rounding is no finer; sums and exponentials stay float32. On a CPU in
    "bf16-products", oneDNN rounds the factors of every product to bfloat16 and adds in float32:
    weights, activations and gradients stay float32. Elsewhere nothing changes.
    """
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and precision != "fp32":
        torch.set_float32_matmul_precision("high")
    if device.type == "cpu" and precision == "bf16-products":
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def exact_products(precision: str) -> Iterator[None]:
    """In "bf16-products" the losses' own products are float32: a scale of 100 magnifies rounding.

    That is their forward pass; gradients are rounded as all others are.
    """
    before = torch.get_float32_matmul_precision()
    if precision == "bf16-products":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def clip_gradients(accelerator: Accelerator, model: BClip, limit: float) -> float:
    """Clip to a total norm of `limit` (0: do not clip); the norm before clipping."""
    return float(accelerator.clip_grad_norm_(model.parameters(), limit if limit > 0 else math.inf))
