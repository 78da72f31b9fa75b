"""Training, from a configuration to a finished run.

What is offered here is imported when it is asked for: the command's help needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bclip_core.train.loop import train
    from bclip_core.train.run import Run, find
    from bclip_core.train.start import create_model
    from bclip_core.train.step import NonFiniteLossError, NonFiniteWeightsError

__all__ = ["NonFiniteLossError", "NonFiniteWeightsError", "Run", "create_model", "find", "train"]

_PLACES = {
    "train": "loop", "Run": "run", "find": "run", "create_model": "start",
    "NonFiniteLossError": "step", "NonFiniteWeightsError": "step",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
