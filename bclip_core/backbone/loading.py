"""Weights into a module, exactly: every name and shape fits, or all that does not is listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

MOST_LISTED = 8  # problems of one kind in a message


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which part, what it has and what was asked."""


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load a state dict that fits to the last name and shape; half precision becomes float32.

    Raises:
        CheckpointError: names are missing or unknown, or shapes differ; the first of each kind are
            listed, with both shapes. Or a weight is no real number, or not finite in float32.
    """
    _refuse(module, state, source)
    wanted = module.state_dict()
    loaded = {n: v.float() if v.is_floating_point() else v for n, v in state.items()}
    for name, value in loaded.items():
        if wanted[name].is_floating_point() and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(f"{source}: {name}: {kind}: expected floating-point numbers")
        if value.is_floating_point() and not value.isfinite().all():
            lost = int((~value.isfinite()).sum())
            raise CheckpointError(
                f"{source}: {name}: {lost:,} of {value.numel():,} numbers are not finite: weights "
                "of a training that failed; take an earlier checkpoint"
            )
    module.load_state_dict(loaded)


def refuse_unfit(
    make: Callable[[], nn.Module], state: Mapping[str, Tensor], source: str | Path
) -> None:
    """Refuse a state dict that does not fit what `make` makes, before memory is taken for it.

    A small file may name a large model; so the shapes are compared with those of a module whose
    tensors have no storage.

    Raises:
        CheckpointError: as `load_exactly`.
    """
    with torch.device("meta"):
        module = make()
    _refuse(module, state, source)


def _refuse(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    wanted = module.state_dict()
    missing = [f"{n}: missing, expected {_shape(wanted[n])}" for n in wanted if n not in state]
    unknown = [f"{n}: unknown, {_shape(state[n])}" for n in state if n not in wanted]
    differing = [
        f"{name}: shape {_shape(state[name])}, expected {_shape(value)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if missing or unknown or differing:
        problems = [*_first(missing), *_first(unknown), *_first(differing)]
        raise CheckpointError(f"{source}: " + "; ".join(problems))


def _first(problems: list[str]) -> list[str]:
    """The first of them and how many more there are; hundreds of names help nobody."""
    more = len(problems) - MOST_LISTED
    return problems if more <= 0 else [*problems[:MOST_LISTED], f"and {more} more like it"]


def _shape(value: Tensor) -> str:
    return f"{list(value.shape)}"
