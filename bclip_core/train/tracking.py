"""Accelerate's trackers: whoever watches a run elsewhere sees the scalars of its history."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from bclip_core.config import ConfigError, RunConfig, did_you_mean

PROJECT = "bclip"
FOLDER = "trackers"  # in a run's folder, of those that write files
PACKAGES: dict[str, tuple[str, ...]] = {  # one of them is needed
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "comet_ml": ("comet_ml",),
    "aim": ("aim",),
    "mlflow": ("mlflow",),
    "clearml": ("clearml",),
    "dvclive": ("dvclive",),
    "swanlab": ("swanlab",),
}


def require_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that cannot be used; accelerate would leave them out and train.

    Raises:
        ConfigError: an unknown name, or a package that is not installed; it is named.
    """
    for name in names:
        if name not in PACKAGES:
            near = did_you_mean(name, PACKAGES)
            raise ConfigError(f"tracker {name!r}: expected one of {', '.join(PACKAGES)}{near}")
        if not any(importlib.util.find_spec(package) for package in PACKAGES[name]):
            package = PACKAGES[name][0].replace("_", "-")
            raise ConfigError(f"tracker {name!r}: not installed; expected pip install {package}")


def begin(accelerator: Accelerator, config: RunConfig, folder: Path, update: int) -> None:
    """Open the trackers that the accelerator was made with.

    Args:
        accelerator: of the run.
        config: of the run, which they keep.
        folder: of the run.
        update: how many updates are done; what a killed run has written after them is dropped.
    """
    if not accelerator.log_with:
        return
    arguments = {
        "tensorboard": {"purge_step": update + 1},
        "wandb": {"name": folder.name, "dir": str(folder)},
    }
    accelerator.init_trackers(PROJECT, config=_flat(config.to_dict()), init_kwargs=arguments)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their dotted names; what is no number or text as text."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, bool | int | float | str)
            found[prefix + name] = value if plain else str(value)
    return found


def tell(accelerator: Accelerator, record: dict[str, Any]) -> None:
    """One line of the history."""
    if accelerator.trackers:
        values = {name: value for name, value in record.items() if name != "update"}
        accelerator.log(values, step=record["update"])


def finish(accelerator: Accelerator) -> None:
    """Close them. Accelerate's `end_training` would end the process group, too."""
    for tracker in accelerator.trackers:
        tracker.finish()
