"""Data sets by name."""

from __future__ import annotations

import datasets

from bclip_core.config import ConfigError, DataConfig
from bclip_core.data.scenes import load_scenes

LOADERS = {"scenes": load_scenes}
SPLITS = ("train", "validation", "test")


def load_split(config: DataConfig, split: str) -> datasets.Dataset:
    """One split of the data set that `config` names, built on first use and then read from disk.

    Raises:
        ConfigError: unknown data set or split; the message lists the known ones.
    """
    if config.name not in LOADERS:
        raise ConfigError(f"data set {config.name!r}: expected one of {', '.join(LOADERS)}")
    if split not in SPLITS:
        raise ConfigError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    return LOADERS[config.name](config, split)
