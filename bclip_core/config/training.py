"""The settings of the training loop."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

from bclip_core.config.base import Config, ConfigError, require, require_choice

EITHER = (("steps", "epochs"), ("warmup_steps", "warmup_epochs"))
"""Settings of which one says how long something is, and the other is 0."""
_IN_BACKWARD = (("clip_norm", 0), ("accumulation", 1), ("gradient_cache", 0))
"""What lets weights move in the backward pass; all else needs all gradients at once."""


def settle(values: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Settings of `TrainConfig` in which one of `EITHER` that is given alone sets the other to 0.

    Args:
        values: by name.
        given: those that were asked for; the others were there before.
    """
    settled = dict(values)
    for pair in EITHER:
        for name, other in (pair, pair[::-1]):
            if name in given and values[name] and other not in given:
                settled[other] = 0
    return settled


@dataclass(frozen=True)
class TrainConfig(Config):
    """The loop: AdamW with two learning-rate groups, warm-up and cosine.

    How long it is `steps` or `epochs` say, one of them; the other is 0. So it is with the warm-up.
    """

    steps: int = 140  # updates; 0 where `epochs` say how long
    epochs: int = 0  # passes over all rows, the last batch filled; 0 where `steps` say how long
    batch_size: int = 64  # images of a micro-batch, over all processes
    lr: float = 7e-4  # backbone
    pooler_lr: float = 2e-3  # pooler and learnt scales of the loss
    final_lr_fraction: float = 0.01  # cosine ends at lr times this
    pooler_final_lr_fraction: float = -1.0  # the same of pooler_lr; -1: as the backbone's
    warmup_steps: int = 10  # updates of linear warm-up; 0 where `warmup_epochs` say how long
    warmup_epochs: float = 0.0  # the same as a share of a pass; 0 where `warmup_steps` say it
    warmup_lr: float = 0.0  # rate of the first update of a warm-up; 0: a first step like the others
    pooler_warmup: bool = True  # whether the pooler warms up, too; the β-CLIP authors' does not
    weight_decay: float = 0.01  # matrices only
    adam_betas: tuple[float, float] = (0.9, 0.98)  # decay of AdamW's two moments
    clip_norm: float = 1.0  # 0 switches clipping off
    accumulation: int = 1  # micro-batches per update; adds no negatives to a contrastive loss
    precision: str = "fp32"  # "fp32" | "bf16" | "fp16", or on CPUs "bf16-products"
    seed: int = 0  # of fresh weights and of the order and texts of batches
    checkpoint_every: int = 50  # updates between checkpoints; 0: only at the end
    keep_epochs: tuple[int, ...] = ()  # after these passes epoch-NN.safetensors is written
    log_every: int = 1  # updates between records of the history
    gradient_cache: int = 0  # images encoded at a time, exact whole-batch gradient; 0: all at once
    loader_workers: int = 0  # processes that decode and tokenise; 0: this one, small data ahead
    packed_texts: bool = False  # texts end to end in one pass, not grouped by length: faster
    activation_checkpointing: bool = False  # recompute blocks in backward: less memory, slower
    update_in_backward: bool = False  # each weight moves as its gradient comes: less memory
    memory: str = "ordinary"  # "lean": both where they can be, and more; the same bits
    choose_fastest: bool = False  # time packing, attention, loaders at the start; last bits vary
    compile: bool = False  # torch.compile of the image tower
    channels_last: bool = False  # memory order of pictures and of the patch convolution
    fused_optimizer: bool = True  # AdamW as one kernel per group

    def __post_init__(self) -> None:
        super().__post_init__()
        betas = self.adam_betas
        pair = isinstance(betas, list | tuple) and len(betas) == 2
        if not pair or not all(isinstance(b, int | float) and 0 <= b < 1 for b in betas):
            raise ConfigError(f"adam_betas={betas!r}: expected two numbers in [0, 1)")
        object.__setattr__(self, "adam_betas", tuple(map(float, betas)))  # JSON gives a list
        for name in ("batch_size", "accumulation", "log_every"):
            require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        for name in (
            "epochs", "warmup_steps", "warmup_epochs", "warmup_lr", "checkpoint_every",
            "weight_decay", "clip_norm", "seed", "gradient_cache", "loader_workers",
        ):  # fmt: skip
            require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        require(self.seed < 2**63, "seed", self.seed, f"< {2**63}")
        fraction, own = self.final_lr_fraction, self.pooler_final_lr_fraction
        require(0 <= fraction <= 1, "final_lr_fraction", fraction, "a number in [0, 1]")
        allowed = own == -1 or 0 <= own <= 1
        require(allowed, "pooler_final_lr_fraction", own, "a number in [0, 1], or -1")
        require(self.lr > 0, "lr", self.lr, "> 0")
        require(self.pooler_lr > 0, "pooler_lr", self.pooler_lr, "> 0")
        require_choice("precision", self.precision, ("fp32", "bf16", "fp16", "bf16-products"))
        require_choice("memory", self.memory, ("ordinary", "lean"))
        self._check_length()
        if self.update_in_backward:  # a gradient is gone before the next one is there
            for name, needed in _IN_BACKWARD:
                value = getattr(self, name)
                require(value == needed, name, value, f"{needed} with update_in_backward")
            expected = "another than fp16 with update_in_backward"
            require(self.precision != "fp16", "precision", self.precision, expected)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """As `Config.from_dict`; epochs without steps stand alone, see `settle`."""
        return super().from_dict(settle(values, values))

    def _check_length(self) -> None:
        """One way to say how long it trains and warms up; epochs to keep are among those trained.

        Raises:
            ConfigError: both ways at once, or neither.
        """
        require(self.steps >= (0 if self.epochs else 1), "steps", self.steps, ">= 1")
        for epochs, steps in (("epochs", "steps"), ("warmup_epochs", "warmup_steps")):
            if getattr(self, epochs) and getattr(self, steps):
                given = f"{epochs}={getattr(self, epochs)!r} and {steps}={getattr(self, steps)!r}"
                raise ConfigError(f"{given}: expected one of them, and 0 for the other")
        start, rates = self.warmup_lr, (self.lr, self.pooler_lr)
        require(start <= min(rates), "warmup_lr", start, f"<= lr and pooler_lr, {rates}")
        kept, last = self.keep_epochs, self.epochs or math.inf
        whole = isinstance(kept, list | tuple) and all(type(e) is int for e in kept)
        if not whole or not all(1 <= epoch <= last for epoch in kept):
            within = f", at most {last}" if self.epochs else ""
            raise ConfigError(f"keep_epochs={kept!r}: expected whole numbers >= 1{within}")
        object.__setattr__(self, "keep_epochs", tuple(sorted(set(kept))))  # JSON gives a list

    @property
    def holds_gradients(self) -> str:
        """Why lean memory holds all gradients of one process at once; "" where it does not."""
        for name, needed in _IN_BACKWARD:
            if getattr(self, name) != needed:
                return f"{name}={getattr(self, name)!r}"
        return "precision=fp16" if self.precision == "fp16" else ""

    @property
    def images_per_update(self) -> int:
        """How many images an update has seen, over micro-batches and processes."""
        return self.batch_size * self.accumulation

    def updates(self, rows: int) -> int:
        """How many updates a run takes: `steps`, or ⌈E·N / images per update⌉.

        Args:
            rows: N, of the data set.
        """
        return self.steps or self.updates_of(self.epochs, rows)

    def updates_of(self, epochs: int, rows: int) -> int:
        """After how many updates so many passes over N rows are done."""
        require(rows >= 1, "rows", rows, ">= 1, to count the updates of an epoch")
        return -(-epochs * rows // self.images_per_update)

    def warmup_updates(self, rows: int) -> int:
        """How many updates the warm-up takes: `warmup_steps`, or its share of a pass, rounded."""
        return self.warmup_steps or round(self.warmup_epochs * rows / self.images_per_update)

    @property
    def pooler_differs(self) -> bool:
        """Whether the pooler's rate has a course of its own."""
        return self.pooler_final_lr_fraction != -1 or not self.pooler_warmup
