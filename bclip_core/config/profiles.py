"""Whole experiments by name.

On scenes four sizes of the same work: smoke (a minute's look), cpu (the main job), long (the same
at a length that decides), gpu (larger).
On photographs the papers' own, see `photographs`, and photos-smoke, a look at whether they run.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import Any

from bclip_core.config import photographs
from bclip_core.config.base import ConfigError, require
from bclip_core.config.flags import check_name, setting_types
from bclip_core.config.names import did_you_mean
from bclip_core.config.run import (
    BackboneConfig,
    DataConfig,
    LossConfig,
    PoolerConfig,
    RunConfig,
    TextConfig,
)
from bclip_core.config.training import TrainConfig, settle


@dataclass(frozen=True)
class Profile:
    """Sizes shared by the notebooks.

    Attributes:
        name: how the profile is asked for.
        base: the fine-tuning run that methods, β and seeds are varied on.
        seeds: of the method comparison.
        betas: of the β ablation; its runs use the first seed.
        pretraining: the run that makes the shipped model's counterpart of this size; None where
            the weights come from elsewhere.
        workers: how many runs train side by side, one thread each; 0 trains in this process.
        evaluation: names of the data sets that its source reports results on.
        about: what it reproduces, and what its source leaves open.
    """

    name: str
    base: RunConfig
    seeds: tuple[int, ...]
    betas: tuple[float, ...]
    pretraining: RunConfig | None = None
    workers: int = 0
    evaluation: tuple[str, ...] = ()
    about: str = ""

    def run(self, method: str, *, seed: int | None = None, beta: float | None = None) -> RunConfig:
        """The configuration of one method, with the profile's first seed and β = 0.5 by default."""
        train = self.base.train.replace(seed=self.seeds[0] if seed is None else seed)
        loss = self.base.loss if beta is None else LossConfig(beta=beta)
        # the start of β-CLIP's pooler is of its methods alone; others refuse what they don't read
        own = self.base.pooler if method.startswith("beta-clip") else PoolerConfig()
        return self.base.replace(method=method, train=train, loss=loss, pooler=own)


def _fine_tuning(data: DataConfig, texts: TextConfig, train: TrainConfig) -> RunConfig:
    # 248 positions from the shipped model's 77, as Long-CLIP and β-CLIP do.
    backbone = BackboneConfig(pretrained="scenes", context_length=248)
    return RunConfig(backbone=backbone, data=data, texts=texts, train=train)


def _pretraining(data: DataConfig, train: TrainConfig) -> RunConfig:
    texts = TextConfig(caption="short", sentence_texts=False, phrases=0)
    return RunConfig("clip-pretrain", data=data, texts=texts, train=train)


_PRETRAIN = TrainConfig(
    batch_size=128, lr=2e-3, warmup_steps=100, checkpoint_every=500, log_every=10, precision="bf16"
)
_SMOKE_DATA = DataConfig(train=256, validation=64, test=100)
_CPU = Profile(
    "cpu",
    _fine_tuning(
        DataConfig(train=8000),
        TextConfig(sentences=5, phrases=10),
        TrainConfig(steps=100, precision="bf16"),
    ),
    seeds=(0, 1, 2),
    betas=(0.0, 0.5, 1.0),
    pretraining=_pretraining(DataConfig(train=40_000), _PRETRAIN.replace(steps=6_000)),
    workers=2,
)
_LONG = _CPU.base.replace(train=_CPU.base.train.replace(steps=1000))
_PROFILES = (
    Profile(
        "smoke",
        _fine_tuning(
            _SMOKE_DATA,
            TextConfig(sentences=2, phrases=6),
            TrainConfig(steps=8, batch_size=32, warmup_steps=2, checkpoint_every=4),
        ),
        seeds=(0,),
        betas=(0.0, 0.5, 1.0),
        pretraining=_pretraining(
            _SMOKE_DATA, _PRETRAIN.replace(steps=6, batch_size=32, warmup_steps=2, log_every=1)
        ),
    ),
    _CPU,
    replace(_CPU, name="long", base=_LONG),
    Profile(
        "gpu",
        _fine_tuning(
            DataConfig(train=100_000),
            TextConfig(sentences=5, phrases=30),
            TrainConfig(steps=1500, batch_size=256, warmup_steps=50, precision="bf16"),
        ),
        seeds=(0, 1, 2),
        betas=(0.0, 0.25, 0.5, 0.75, 1.0),
        pretraining=_pretraining(
            DataConfig(train=200_000), _PRETRAIN.replace(steps=20_000, batch_size=512)
        ),
    ),
    Profile(
        "photos-smoke",
        photographs.PHOTOS_SMOKE,
        seeds=(0,),
        betas=(0.0, 0.5, 1.0),
        evaluation=("photographs",),
        about=photographs.SMOKE_NOTE,
    ),
    Profile(
        "paper-b16",
        photographs.PAPER_B16,
        seeds=(0,),
        betas=(0.0, 0.25, 0.5, 1.0),
        evaluation=("urban1k", "sv1k", "dci", "fgovd"),
        about=photographs.BETA_CLIP_OPEN,
    ),
    Profile(
        "paper-l14",
        photographs.PAPER_L14,
        seeds=(0,),
        betas=(0.0, 0.25, 0.5, 1.0),
        evaluation=("urban1k", "sv1k", "dci", "fgovd"),
        about=photographs.L14_OPEN,
    ),
    Profile(
        "mulclip-docci",
        photographs.MULCLIP_DOCCI,
        seeds=(0,),
        betas=(0.5,),
        evaluation=("docci", "dci", "flickr30k", "coco", "imagenet-v2"),
        about=photographs.MULCLIP_OPEN,
    ),
)
PROFILES: dict[str, Profile] = {profile.name: profile for profile in _PROFILES}


def get_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ConfigError: unknown; the message lists the known ones.
    """
    if not isinstance(name, str) or name not in PROFILES:
        near = did_you_mean(name, PROFILES) if isinstance(name, str) else ""
        raise ConfigError(f"profile={name!r}: expected one of {', '.join(PROFILES)}{near}")
    return PROFILES[name]


def _parse_setting(text: str) -> tuple[str, Any]:
    """`loss.beta=0.25` to ("loss.beta", 0.25); values are JSON, else text; text stays text."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set {text!r}: expected NAME=VALUE, for example loss.beta=0.25")
    name = name.replace("-", "_")
    check_name(name)
    kind = setting_types().get(name, float)  # those of `loss.extra` are numbers
    with contextlib.suppress(json.JSONDecodeError):
        read = json.loads(value.lower() if kind is bool else value)
        if kind is not str or isinstance(read, str):
            return name, read
    return name, value


def configure(profile: str, method: str, settings: list[str]) -> RunConfig:
    """A profile's configuration of a method with single settings changed.

    Args:
        profile: name of a profile.
        method: name of a method.
        settings: "part.field=value", for example "train.steps=20".

    Raises:
        ConfigError: anything unknown or not allowed.
    """
    return change(get_profile(profile).run(method), settings)


def change(config: RunConfig, settings: list[str]) -> RunConfig:
    """A configuration with single settings changed, checked again; see `configure`."""
    values, given = config.to_dict(), set[str]()
    for setting in settings:
        name, value = _parse_setting(setting)
        given.add(name)
        *parts, last = name.split(".")
        inner = values
        for part in parts:
            require(isinstance(inner.get(part), dict), name, value, "a setting by its name")
            inner = inner[part]
        inner[last] = value
    asked = {name.removeprefix("train.") for name in given if name.startswith("train.")}
    values["train"] = settle(values["train"], asked)
    return RunConfig.from_dict(values)
