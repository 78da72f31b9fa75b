"""What decides a run, checked field by field, and the named sizes of it."""

from bclip_core.config.flags import did_you_mean, split_arguments
from bclip_core.config.profiles import (
    PROFILES,
    Profile,
    change,
    configure,
    get_profile,
)
from bclip_core.config.run import (
    PATCHES,
    RESIZES,
    SIGMOID_BIASES,
    SIGMOID_NORMALISERS,
    SUMMARIES,
    TEXT_KINDS,
    BackboneConfig,
    ConfigError,
    DataConfig,
    HeadsConfig,
    LossConfig,
    PoolerConfig,
    RunConfig,
    TextConfig,
    TrainConfig,
)

__all__ = [
    "BackboneConfig",
    "ConfigError",
    "DataConfig",
    "HeadsConfig",
    "LossConfig",
    "PATCHES",
    "PROFILES",
    "PoolerConfig",
    "Profile",
    "RESIZES",
    "RunConfig",
    "SIGMOID_BIASES",
    "SIGMOID_NORMALISERS",
    "SUMMARIES",
    "TEXT_KINDS",
    "TextConfig",
    "TrainConfig",
    "change",
    "configure",
    "did_you_mean",
    "get_profile",
    "split_arguments",
]
