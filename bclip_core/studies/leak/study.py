"""The cure of β-CAL's leak, measured: the same model trained in ways that differ in conditioning.

`python -m bclip_core.studies.leak.study --profile cpu` trains and measures `VARIANTS` over the
profile's seeds with the settings that the search has chosen. Variants measured before are kept in
the record, so that they can be done one at a time; runs that the comparison made are found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from bclip_core.config import PoolerConfig, Profile, RunConfig
from bclip_core.config.command_line import read_options, run_command
from bclip_core.data.sources import load_split
from bclip_core.records.results import save_result
from bclip_core.studies.command import StudyOptions, some_of
from bclip_core.studies.leak.measure import measure_leak, obtain_leaks
from bclip_core.studies.search import settled
from bclip_core.studies.step_time import step_times
from bclip_core.studies.tables import find_record, in_order
from bclip_core.studies.variants import Variant, choose, entry, obtain_variants
from bclip_core.train import create_model

CENTRED, ONE_HEAD = {"conditioning_centre": True}, {"heads": 1}
VARIANTS = {
    "own": Variant("beta-clip-ce", "the paper's: an image meets its own texts only"),
    "own, equal time": Variant(
        "beta-clip-ce", "the same for as long as own + cross takes", own_steps=True
    ),
    "own, rate of cross": Variant(
        "beta-clip-ce",
        "the paper's, at the learning rate of own + cross",
        like="beta-clip-ce-cross",
    ),
    "own + cross": Variant("beta-clip-ce-cross", "and other images pooled with each text"),
    "cross": Variant("beta-clip-ce-cross-only", "other images alone, without β-CAL"),
    "own, centred": Variant("beta-clip-ce", "β-CAL on what the image adds", CENTRED),
    "own + cross, centred": Variant("beta-clip-ce-cross", "both", CENTRED),
    "own + cross, 32 images": Variant(
        "beta-clip-ce-cross", "four times as many other images per text", {"cross_images": 32}
    ),
    "own, one head": Variant("beta-clip-ce", "the paper's, a text attends once", pooler=ONE_HEAD),
    "own + cross, one head": Variant(
        "beta-clip-ce-cross", "and other images pooled with each text", pooler=ONE_HEAD
    ),
    "own, one head, centred": Variant("beta-clip-ce", "both", CENTRED, ONE_HEAD),
    "own, sigmoid": Variant("beta-clip-bce", "the paper's sigmoid form"),
    "own + cross, sigmoid": Variant("beta-clip-bce-cross", "and other images, sigmoid"),
}
UNTRAINED = "untrained pooler"
UNTRAINED_HEADS = {f"untrained, {heads} head{'s' * (heads > 1)}": heads for heads in (1, 2, 4)}
ORDER = (UNTRAINED, *UNTRAINED_HEADS, *VARIANTS)
OWN, TIMED_AGAINST = "own", "own + cross"


def variant_configs(profile: Profile, name: str, seeds: int = 0, steps: int = 0) -> list[RunConfig]:
    """A variant's configurations, one per seed.

    Args:
        profile: sizes and seeds.
        name: of `VARIANTS`.
        seeds: the first so many; 0: all.
        steps: of a variant with equal time.

    Raises:
        ConfigError: an unknown variant, or no steps for one that needs them.
    """
    variant = choose(VARIANTS, name)
    factors = settled(profile)(variant.like or variant.method)
    return variant.configs(profile, factors, seeds, steps)


def equal_time_steps(steps: int, seconds: dict[str, float]) -> int:
    """Updates of the own form in the time of `steps` of own + cross, at least one.

    Args:
        steps: of own + cross.
        seconds: per update, by method.
    """
    own, other = (seconds[VARIANTS[name].method] for name in (OWN, TIMED_AGAINST))
    return max(1, round(steps * other / own))


def measured_seconds(profile: Profile) -> dict[str, float]:
    """Seconds per update of the two forms: from the record of `step_time`, else timed now."""
    methods = [VARIANTS[name].method for name in (OWN, TIMED_AGAINST)]
    scenes = profile.base.data.name == "scenes"
    record = find_record("step_times", profile.name) if scenes else None
    seconds: dict[str, float] = record["values"]["seconds"] if record else {}
    if set(methods) <= set(seconds):
        return {method: seconds[method] for method in methods}
    return step_times(profile, methods)


def untrained(profile: Profile, heads: int = PoolerConfig.heads) -> dict[str, Any]:
    """The leak of the pretrained model with a pooler that has not learnt anything.

    It is of the design alone: each head picks patches for a part of the text of its own, so that
    more heads spell out more of the text.
    """
    config = profile.run(VARIANTS[OWN].method)
    config = config.replace(pooler=config.pooler.replace(heads=heads))
    leak = measure_leak(create_model(config), load_split(config.data, "test"))
    return {"what": "the pretrained model, before any update", "metrics": [], "leak": [leak]}


def study(
    profile: Profile, variants: Sequence[str], workers: int, seeds: int = 0, steps: int = 0
) -> dict[str, Any]:
    """Train and measure variants.

    Args:
        profile: sizes and seeds.
        variants: names of `VARIANTS`.
        workers: runs side by side.
        seeds: the first so many; 0: all.
        steps: of a variant with equal time; 0: from the time of an update.

    Returns:
        By variant, and for untrained poolers: `what`, `runs`, `steps`, `train`, `loss`,
        `metrics`, `leak` and `cost`, each of the last three per seed.
    """
    if not steps and any(name in VARIANTS and VARIANTS[name].own_steps for name in variants):
        steps = equal_time_steps(profile.base.train.steps, measured_seconds(profile))
    runs = obtain_variants(
        {name: variant_configs(profile, name, seeds, steps) for name in variants}, workers
    )
    values = {UNTRAINED: untrained(profile)}
    values |= {name: untrained(profile, heads) for name, heads in UNTRAINED_HEADS.items()}
    for name, own in runs.items():
        values[name] = {"what": VARIANTS[name].what, **entry(own), "leak": obtain_leaks(own)}
    return values


def save_study(profile: str, values: dict[str, Any]) -> dict[str, Any]:
    """Write variants into the record `leak`, beside those measured earlier; returns all of them.

    Variants come in the order of `ORDER`.
    """
    record = find_record("leak", profile)
    earlier = record["values"] if record else {}
    ordered = in_order(earlier | values, ORDER)
    save_result("leak", profile, ordered)
    return ordered


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Train and measure variants of conditioning."""

    variants: Annotated[tuple[str, ...], some_of(VARIANTS)] = tuple(VARIANTS)
    seeds: int = 0  # the first so many; 0: all
    steps: int = 0  # of 'own, equal time'; 0: as many as fit


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train and measure variants of conditioning."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.leak.study")
    profile, workers = given.sizes()
    values = study(profile, given.variants, workers, given.seeds, given.steps)
    print("leak of", ", ".join(save_study(profile.name, values)))


if __name__ == "__main__":
    run_command(main, ValueError)
