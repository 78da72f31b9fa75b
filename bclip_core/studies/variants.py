"""What a study compares: variants, which train as a method does and differ in what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bclip_core.config import ConfigError, Profile, RunConfig
from bclip_core.studies.runs import obtain
from bclip_core.studies.search import Factors, cost, scaled
from bclip_core.train import Run


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        method: of the catalogue.
        what: one line for tables.
        loss: settings of the loss that differ.
        pooler: settings of the pooler that differ.
        heads: settings of the heads that differ.
        own_steps: whether it gets a number of updates of its own.
        like: the method whose chosen settings it takes over, instead of its own.
    """

    method: str
    what: str = ""
    loss: dict[str, Any] = field(default_factory=dict)
    pooler: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, Any] = field(default_factory=dict)
    own_steps: bool = False
    like: str = ""

    def configs(
        self, profile: Profile, factors: Factors = (1.0, 1.0), seeds: int = 0, steps: int = 0
    ) -> list[RunConfig]:
        """Its configurations, one per seed.

        Args:
            profile: sizes and seeds.
            factors: of the learning rates and weights, as a search has chosen them.
            seeds: the first so many; 0: all.
            steps: updates, where it has `own_steps`.
        """
        found = []
        for seed in profile.seeds[: seeds or None]:
            config = scaled(profile.run(self.method, seed=seed), factors)
            train = config.train.replace(steps=steps) if self.own_steps else config.train
            found.append(
                config.replace(
                    loss=config.loss.replace(**self.loss),
                    pooler=config.pooler.replace(**self.pooler),
                    heads=config.heads.replace(**self.heads),
                    train=train,
                )
            )
        return found


def choose(variants: Mapping[str, Variant], name: str) -> Variant:
    """One of the variants.

    Raises:
        ConfigError: an unknown name; the message lists those that there are.
    """
    if name not in variants:
        raise ConfigError(f"variant={name!r}: expected one of {', '.join(variants)}")
    return variants[name]


def obtain_variants(
    configs: Mapping[str, Sequence[RunConfig]], workers: int = 0, *, progress: bool = True
) -> dict[str, list[Run]]:
    """Each variant's runs, trained and evaluated where they are missing; shared ones once.

    Args:
        configs: by variant, one per seed.
        workers: runs side by side, see `runs.obtain`.
        progress: show progress bars.
    """
    flat = list(dict.fromkeys(config for several in configs.values() for config in several))
    runs = dict(zip(flat, obtain(flat, workers=workers, progress=progress), strict=True))
    return {name: [runs[config] for config in several] for name, several in configs.items()}


def entry(runs: Sequence[Run]) -> dict[str, Any]:
    """What a record says of a variant, see `tables.Entry`; its runs differ in the seed only."""
    config = runs[0].config
    return {
        "runs": [run.folder.name for run in runs],
        "steps": config.train.steps,
        "train": config.train.to_dict(),
        "loss": config.loss.to_dict(),
        "metrics": [run.metrics() for run in runs],
        "cost": [cost(run) for run in runs],
    }
