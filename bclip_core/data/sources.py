"""Data sets by name, as training reads them."""

from __future__ import annotations

import datasets

from bclip_core.config import ConfigError, DataConfig
from bclip_core.data.real import shard_files, shards
from bclip_core.data.real.data_sets import TRAINABLE
from bclip_core.data.real.loading import get, load_captions
from bclip_core.data.real.rows import DataError, LayoutError
from bclip_core.data.real.sets import CaptionSet
from bclip_core.data.real.training import training_rows
from bclip_core.data.scenes.build import load_scenes

NAMES = ("scenes", *TRAINABLE, shard_files.NAME)
SPLITS = ("train", "validation", "test")


def load_split(config: DataConfig, split: str) -> datasets.Dataset:
    """One split of the data set that `config` names; what can be kept is kept in the cache.

    Raises:
        ConfigError: unknown data set or split (the message lists the known ones), or a real data
            set does not lie where it is expected or has a malformed row.
    """
    if config.name not in NAMES:
        raise ConfigError(f"data set {config.name!r}: expected one of {', '.join(NAMES)}")
    if split not in SPLITS:
        raise ConfigError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    return load_scenes(config, split) if config.name == "scenes" else _real(config, split)


def _real(config: DataConfig, split: str) -> datasets.Dataset:
    """The first rows of a real data set, as many as the configuration counts for the split."""
    if config.name == shard_files.NAME:
        return _streamed(config, split)
    known = [name for name in get(config.name).splits if name in SPLITS]
    if split not in known:
        raise ConfigError(f"data set {config.name!r}, split {split!r}: it has {', '.join(known)}")
    try:
        captions = captions_of(config, split, getattr(config, split))
    except (DataError, LayoutError) as error:
        raise ConfigError(str(error)) from error
    return training_rows(captions)


def _streamed(config: DataConfig, split: str) -> datasets.Dataset:
    try:
        if split != "train":
            return training_rows(captions_of(config, split, getattr(config, split)))
        return shards.stream_rows(config.folder, config.train, config.bad_rows, links=config.links)
    except (DataError, LayoutError) as error:
        raise ConfigError(str(error)) from error


def captions_of(config: DataConfig, split: str, limit: int) -> CaptionSet:
    """The first `limit` pictures with captions of a real data set, as the configuration reads it.

    Raises:
        DataError, LayoutError, ValueError: as `load_captions`.
    """
    if config.name == shard_files.NAME:
        return shards.held_out(config.folder, split, limit, config.bad_rows, config.links)
    return load_captions(
        config.name,
        config.folder or None,
        split,
        images=config.images or None,
        missing=config.bad_rows,
        on_error=config.bad_rows,
        links=config.links,
        limit=limit,
    )
