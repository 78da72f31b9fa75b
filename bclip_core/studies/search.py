"""The same small search for every method, and the comparison with what it found.

`python -m bclip_core.studies.search --profile cpu` searches, `... --compare` then trains every
method with its settings over the profile's seeds. Every run is kept under `results/runs`, so that a
killed search goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from bclip_core.config import ConfigError, Profile, RunConfig
from bclip_core.config.command_line import read_options, run_command
from bclip_core.model import METHODS, get_method
from bclip_core.records.results import load_result, require_plain_name, save_result
from bclip_core.studies.command import StudyOptions, some_of
from bclip_core.studies.leak.measure import obtain_leaks
from bclip_core.studies.relatives.late_retrieval import obtain_late
from bclip_core.studies.runs import obtain
from bclip_core.train import Run

SEARCHED = (
    "clip-ft", "multi-positive", "siglip", "long-clip", "filip", "sparc", "flair", "mulclip",
    "beta-clip-ce", "beta-clip-bce", "beta-clip-ce-cross", "beta-clip-bce-cross",
)  # fmt: skip
"""Methods that are compared; the others are their variants and take over their settings."""

RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # first: factors of both learning rates
WEIGHTS = (0.3, 3.0)  # then: factors of the weights of all terms but the plain ones
CLOSER_RATES = (0.7, 1.4)  # then, for a method without such weights: more learning rates
STEPS = {"smoke": 4, "cpu": 30, "long": 300, "gpu": 300}  # updates per trial
ROUNDS = {"smoke": 2, "cpu": 1, "long": 1, "gpu": 2}  # one: learning rates alone
Factors = tuple[float, float]  # of the learning rates and of the weights


def scaled(config: RunConfig, factors: Factors) -> RunConfig:
    """A configuration with its learning rates and its method's weights multiplied."""
    rate, weight = factors
    train = config.train.replace(lr=config.train.lr * rate, pooler_lr=config.train.pooler_lr * rate)
    loss = get_method(config.method).weighed(config.loss, weight)
    return config.replace(train=train, loss=loss)


def trial(profile: Profile, method: str, factors: Factors) -> RunConfig:
    """A short run of the search."""
    config = scaled(profile.run(method), factors)
    steps = STEPS.get(profile.name, config.train.steps)
    return config.replace(train=config.train.replace(steps=steps, checkpoint_every=0))


def second_round(method: str, rate: float) -> list[Factors]:
    """What is tried beside the best learning rate: as many trials for every method."""
    if get_method(method).weights:
        return [(rate, weight) for weight in WEIGHTS]
    return [(rate * closer, 1.0) for closer in CLOSER_RATES]


def search(profile: Profile, methods: Sequence[str], workers: int) -> dict[str, dict[str, Any]]:
    """The same trials for every method, scored on the validation split.

    First the learning rates of `RATES`, then, in profiles of two `ROUNDS`, `second_round`.

    Args:
        profile: sizes; its first seed is the seed of all trials.
        methods: names; each must train.
        workers: runs side by side.

    Returns:
        For each method its `trials`, each with `rate`, `weight` (factors of the profile's) and
        `score`, and the best trial as `chosen`; a tie goes to the earlier one.

    Raises:
        ConfigError: an unknown method or one that does not train.
    """
    for method in methods:
        if not get_method(method).terms:
            raise ConfigError(f"method={method!r}: expected one that trains")
    found: dict[str, dict[str, Any]] = {method: {"trials": []} for method in methods}

    def measure(tried: dict[str, list[Factors]]) -> None:
        pairs = [(method, factors) for method, several in tried.items() for factors in several]
        runs = obtain([trial(profile, *pair) for pair in pairs], workers=workers,
                      split="validation")  # fmt: skip
        for (method, (rate, weight)), run in zip(pairs, runs, strict=True):
            score = run.validation()["score"]["mean"]
            entry = {"rate": rate, "weight": weight, "score": score, "run": run.folder.name}
            found[method]["trials"].append(entry)
        for several in found.values():
            several["chosen"] = max(several["trials"], key=lambda entry: entry["score"])

    measure({method: [(rate, 1.0) for rate in RATES] for method in methods})
    if ROUNDS.get(profile.name) == 1:
        return found
    measure({method: second_round(method, found[method]["chosen"]["rate"]) for method in methods})
    return found


def chosen(profile: str, *, reference: bool = False) -> Callable[[str], Factors]:
    """The factors that the search of a profile has chosen, as a function of the method.

    A method that was not searched takes over those of its family: the longest searched name that
    its own begins with, else no change.
    """
    found = load_result("search", profile, reference=reference)["values"]["methods"]

    def factors(method: str) -> Factors:
        family = [name for name in found if method == name or method.startswith(f"{name}-")]
        if not family:
            return 1.0, 1.0
        best = found[max(family, key=len)]["chosen"]
        return best["rate"], best["weight"]

    return factors


def settled(profile: Profile) -> Callable[[str], Factors]:
    """`chosen`; no change where nothing was searched on such data, as on photographs."""
    if profile.base.data.name == "scenes":
        with contextlib.suppress(FileNotFoundError):
            return chosen(profile.name)
    return lambda method: (1.0, 1.0)


def comparison_configs(profile: Profile, methods: Sequence[str]) -> dict[str, list[RunConfig]]:
    """Each method with its chosen settings, one configuration per seed of the profile."""
    factors = settled(profile) if profile.base.data.name != "scenes" else chosen(profile.name)
    return {
        method: [scaled(profile.run(method, seed=seed), factors(method)) for seed in profile.seeds]
        for method in methods
    }


def cost(run: Run) -> dict[str, float]:
    """Median seconds of an update and the most memory in MiB of the process that trained."""
    history = run.history()
    return {
        "seconds_per_step": statistics.median(record["seconds"] for record in history),
        "peak_memory": max(record.get("peak_memory", 0.0) for record in history),
    }


def describe(run: Run) -> dict[str, Any]:
    """A row of the method table: what a method reads and learns, in numbers."""
    method, model = get_method(run.config.method), run.model()
    parts = {"pooler": model.pooler, "heads": model.heads}
    return {
        "summary": method.summary,
        "terms": list(method.terms),
        "texts": list(dict.fromkeys(method.texts(run.config.texts).kinds)),
        "texts_per_image": method.texts(run.config.texts).texts_per_image,
        "parameters": sum(p.numel() for p in model.parameters()),
        "added_parameters": {
            name: sum(p.numel() for p in part.parameters()) if part is not None else 0
            for name, part in parts.items()
        },
    }


def compare(profile: Profile, methods: Sequence[str], workers: int) -> dict[str, Any]:
    """Train and evaluate every method over the seeds; metrics, leak and cost of each run.

    Args:
        profile: sizes and seeds.
        methods: names.
        workers: runs side by side.
    """
    configs = comparison_configs(profile, methods)
    flat = [config for several in configs.values() for config in several]
    runs = dict(zip(flat, obtain(flat, workers=workers), strict=True))
    values = {}
    for method, several in configs.items():
        own = [runs[config] for config in several]
        values[method] = {
            "runs": [run.folder.name for run in own],
            "train": several[0].train.to_dict(),
            "loss": several[0].loss.to_dict(),
            "metrics": [a.metrics() | b for a, b in zip(own, obtain_late(own), strict=True)],
            "leak": obtain_leaks(own),
        }
        if get_method(method).terms:
            values[method] |= {"cost": [cost(run) for run in own], "table": describe(own[0])}
    return values


def _earlier(profile: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What an earlier search of other methods has found with the same settings."""
    with contextlib.suppress(FileNotFoundError):
        values = load_result("search", profile)["values"]
        if values["settings"] == settings:
            methods: dict[str, Any] = values["methods"]
            return methods
    return {}


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Search settings for methods, or compare methods with what was found."""

    methods: Annotated[tuple[str, ...], some_of(METHODS)] = SEARCHED
    compare: bool = False  # train over the seeds, with what was found
    name: str = "methods"  # of the comparison's result
    seeds: int = 0  # the first so many; 0: all


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: search settings for methods, or compare methods with what was found."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.search")
    profile, workers = given.sizes(scenes=not given.compare)
    if given.compare:
        require_plain_name("--name", given.name)
    profile = dataclasses.replace(profile, seeds=profile.seeds[: given.seeds or None])
    if given.compare:
        values = compare(profile, given.methods, workers)
        print(save_result(given.name, profile.name, values))
        return
    settings = {"rates": list(RATES), "weights": list(WEIGHTS), "steps": STEPS[profile.name]}
    settings["rounds"] = ROUNDS[profile.name]
    found = search(profile, given.methods, workers)
    print(save_result("search", profile.name, {
        "settings": settings, "methods": _earlier(profile.name, settings) | found
    }))  # fmt: skip
    for method, entry in found.items():
        best = entry["chosen"]
        print(f"{method}: rate x{best['rate']}, weights x{best['weight']}: {best['score']:.3f}")


if __name__ == "__main__":
    run_command(main, ValueError)
