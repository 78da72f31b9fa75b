"""Weights into a module, exactly: every name and shape fits, or all that does not is listed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which part, what it has and what was asked."""


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load a state dict that fits to the last name and shape; half precision becomes float32.

    Raises:
        CheckpointError: names are missing or unknown, or shapes differ; all are listed, with both
            shapes.
    """
    wanted = module.state_dict()
    problems = [f"{n}: missing, expected {_shape(wanted[n])}" for n in wanted if n not in state]
    problems += [f"{n}: unknown, {_shape(state[n])}" for n in state if n not in wanted]
    problems += [
        f"{name}: shape {_shape(state[name])}, expected {_shape(value)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if problems:
        raise CheckpointError(f"{source}: " + "; ".join(problems))
    module.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in state.items()})


def _shape(value: Tensor) -> str:
    return f"{list(value.shape)}"
