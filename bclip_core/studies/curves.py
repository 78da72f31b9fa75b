"""Learning curves: every method at several lengths, each length a run of its own.

`python -m bclip_core.studies.curves --profile cpu --lengths 100 300 1000 --seeds 1` trains what
neither the committed record nor an earlier run here has, shortest first, and writes the record anew
after every finished run, so that it can be stopped at any time and goes on where it was; `--again`
repeats a point that is recorded. The schedule has the same shape at each length: its
cosine ends with the run; the warm-up keeps its number of updates.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from bclip_core.config import ConfigError, Profile, RunConfig, change
from bclip_core.config.command_line import AtLeast, read_options, run_command
from bclip_core.evaluation import grounding_metric, region_metric, retrieval_metric
from bclip_core.records.machine import machine
from bclip_core.records.results import code_version, load_result, save_result
from bclip_core.studies.command import StudyOptions, some_of
from bclip_core.studies.leak.measure import obtain_leaks
from bclip_core.studies.runs import obtain
from bclip_core.studies.tables import cell, summarise
from bclip_core.train import Run, find

LENGTHS = (100, 300, 1000)
ONE_HEAD = "pooler.heads=1"
NESTED = "loss.context=nested"
ATTEND = "backbone.patches=attention"
TWICE = ("train.lr=0.0014", "train.pooler_lr=0.004")
FOUR_TIMES = ("train.lr=0.0028", "train.pooler_lr=0.008")
"""Learning rates that a search of 300 updates chose where the profile's were not the best."""
FORMS = ("beta-clip-ce", "beta-clip-bce")
BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
PUBLISHED_BETA = 0.5
"""The forms' own; its curve has the form's plain name."""
SERIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "clip-ft": ("clip-ft", ()),
    "beta-clip-ce": ("beta-clip-ce", ()),
    "beta-clip-bce": ("beta-clip-bce", ()),
    "mulclip": ("mulclip", ()),
    "beta-clip-ce-cross": ("beta-clip-ce-cross", ()),
    "beta-clip-ce-cross, one head": ("beta-clip-ce-cross", (ONE_HEAD,)),
    "beta-clip-ce-cross, one head, β = 0.03": (
        "beta-clip-ce-cross", (ONE_HEAD, "loss.beta=0.03")
    ),
    "beta-clip-ce-cross, one head, β = 0": ("beta-clip-ce-cross", (ONE_HEAD, "loss.beta=0.0")),
    "beta-clip-ce, nested": ("beta-clip-ce", (NESTED,)),
    "beta-clip-ce-cross, one head, nested": ("beta-clip-ce-cross", (ONE_HEAD, NESTED)),
    "beta-clip-ce-cross, one head, centred": (
        "beta-clip-ce-cross", (ONE_HEAD, "loss.conditioning_centre=true")
    ),
    "beta-clip-ce-cross, one head, patches attend": ("beta-clip-ce-cross", (ONE_HEAD, ATTEND)),
    "beta-clip-ce-cross, one head, nested, patches attend": (
        "beta-clip-ce-cross", (ONE_HEAD, NESTED, ATTEND)
    ),
    "beta-clip-bce-balanced": ("beta-clip-bce-balanced", ()),
    "beta-clip-bce-cross": ("beta-clip-bce-cross", ()),
    "beta-clip-ce, one head": ("beta-clip-ce", (ONE_HEAD,)),
    "beta-clip-ce-captions, one head, nested": ("beta-clip-ce-captions", (ONE_HEAD, NESTED)),
    **{
        f"{form}, β = {beta:g}": (form, (f"loss.beta={beta}",))
        for form in FORMS
        for beta in BETAS
        if beta != PUBLISHED_BETA
    },
    "beta-clip-ce, patches attend": ("beta-clip-ce", (ATTEND,)),
    "beta-clip-ce, duplicates ignored": ("beta-clip-ce", ("loss.duplicates=ignore",)),
    "beta-clip-ce, no phrases": ("beta-clip-ce", ("texts.phrases=0",)),
    "beta-clip-ce, no sentences": ("beta-clip-ce", ("texts.sentence_texts=false",)),
    "beta-clip-ce, caption alone": (
        "beta-clip-ce", ("texts.sentence_texts=false", "texts.phrases=0")
    ),
    "clip-ft, rates × 2": ("clip-ft", TWICE),
    "beta-clip-ce, rates × 2": ("beta-clip-ce", TWICE),
    "beta-clip-bce, rates × 4": ("beta-clip-bce", FOUR_TIMES),
    "mulclip, rates × 4": ("mulclip", FOUR_TIMES),
    "beta-clip-ce-cross, one head, rates × 2": ("beta-clip-ce-cross", (ONE_HEAD, *TWICE)),
    "long-clip": ("long-clip", ()),
    "flair": ("flair", ()),
    "filip": ("filip", ()),
    **{
        f"{name}, {difficulty} scenes": (method, (*settings, f"data.difficulty={difficulty}"))
        for difficulty in ("patterned", "full")
        for name, method, settings in (
            ("clip-ft", "clip-ft", ()),
            ("beta-clip-ce", "beta-clip-ce", ()),
            ("beta-clip-ce-cross, one head", "beta-clip-ce-cross", (ONE_HEAD,)),
        )
    },
}  # fmt: skip
"""Name of a curve -> its method, and the settings that differ, as the command line spells them."""
MAIN = (
    "clip-ft", "beta-clip-ce", "beta-clip-bce", "mulclip", "beta-clip-ce-cross, one head"
)  # fmt: skip
"""The curves that are trained when none are named."""
IN_FRONT = (*MAIN, "beta-clip-ce-captions, one head, nested", "flair")
"""The curves of README's table: these, the method of the shipped model, and the relative that knows
most of details."""
AT_LENGTH = 1_000
"""Updates at which methods are compared: the longest with several seeds."""
KEPT = ("retrieval/", "regions/dense/", "grounding/")
"""What begins so is kept of a run's metrics."""
Values = dict[str, dict[str, dict[str, Any]]]
"""Series -> length -> seed -> its point."""


def configuration(profile: Profile, series: str, length: int, seed: int) -> RunConfig:
    """The run behind one point of a curve.

    Raises:
        ConfigError: unknown series, or a length below two updates.
    """
    if series not in SERIES:
        raise ConfigError(f"series={series!r}: expected one of {', '.join(SERIES)}")
    if length < 2:
        raise ConfigError(f"length={length}: expected at least 2 updates")
    method, settings = SERIES[series]
    config = profile.run(method, seed=seed)
    config = config.replace(train=config.train.replace(steps=length))
    return change(config, list(settings))


COLUMNS = {
    "long → image": retrieval_metric("global"),
    "short → image": retrieval_metric("global", "short"),
    "conditioned → image": retrieval_metric("conditioned"),
    "conditioned → text": retrieval_metric("conditioned", way="i2t"),
    "hard": region_metric("hard"),
    "medium": region_metric("medium"),
    "pointing, attention": grounding_metric("attention", "pointing"),
    "pointing, patches": grounding_metric("cosine", "pointing"),
}
"""Titles of the table of curves, and their metrics."""


def table_rows(values: Mapping[str, Any]) -> list[list[str]]:
    """A row per series and length, from the values of a record `curves`; the header first.

    Cells are means over seeds in percent; "–" where a method has no pooler.
    """
    rows = [["method", "updates", "seeds", *COLUMNS, "text's share"]]
    for series, lengths in values.items():
        for length, seeds in sorted(lengths.items(), key=lambda one: int(one[0])):
            points = list(seeds.values())
            cells = [_mean([p["metrics"].get(metric, {}).get("mean") for p in points])
                     for metric in COLUMNS.values()]  # fmt: skip
            share = _mean([p["leak"].get("share/text") for p in points])
            rows.append([series, f"{int(length):,}", str(len(points)), *cells, share])
    return rows


def length_rows(
    values: Mapping[str, Any], names: Sequence[str] = MAIN, length: int = AT_LENGTH
) -> list[list[str]]:
    """A row per series at one length, means over seeds with intervals; header and chance first."""
    rows, chances = list[list[str]](), dict[str, float]()
    for series in names:
        points = list(values.get(series, {}).get(str(length), {}).values())
        if points:
            found = summarise([one["metrics"] for one in points])
            chances |= {name: one["chance"] for name, one in points[0]["metrics"].items()}
            cells = (cell(found, metric) for metric in COLUMNS.values())
            rows.append([series, str(len(points)), *cells])
    chance = [f"{100 * chances[m]:.1f}" if m in chances else "–" for m in COLUMNS.values()]
    return [["%", "seeds", *COLUMNS], ["chance", "", *chance], *rows]


def beta_rows(values: Mapping[str, Any], length: int = LENGTHS[0]) -> list[list[str]]:
    """A row per form and β that was run at a length, means over seeds with intervals; a header."""
    rows = [["form", "β", "seeds", *COLUMNS]]
    for form in FORMS:
        for beta in BETAS:
            name = form if beta == PUBLISHED_BETA else f"{form}, β = {beta:g}"
            points = list(values.get(name, {}).get(str(length), {}).values())
            if points:
                found = summarise([one["metrics"] for one in points])
                cells = [cell(found, metric) for metric in COLUMNS.values()]
                rows.append([form, f"{beta:g}", str(len(points)), *cells])
    return rows


def twice_rows(values: Values, elsewhere: Values) -> list[list[str]]:
    """How far a run moves with its machine, and with its seed; the header first.

    Mean absolute differences in points. The first row is over the runs that both records hold, the
    second over pairs of seeds of one series and length of those in `values`.

    Args:
        values: of the record `curves`.
        elsewhere: of the record `curves_elsewhere`: the same runs on other machines.
    """
    machines, seeds = list[tuple[Any, Any]](), list[tuple[Any, Any]]()
    for name, length, seed, one in flat(elsewhere):
        there = values[name][str(length)]
        machines.append((one, there[str(seed)]))
        others = [other for number, other in there.items() if number != str(seed)]
        seeds += [(there[str(seed)], other) for other in others]
    rows = [["what differs", "pairs of runs", *COLUMNS]]
    for title, pairs in (("machine", machines), ("seed", seeds)):
        cells = [_apart(pairs, metric) for metric in COLUMNS.values()]
        rows.append([title, str(len(pairs)), *cells])
    return rows


def _apart(pairs: Sequence[tuple[Any, Any]], metric: str) -> str:
    gaps = [abs(one["metrics"][metric]["mean"] - other["metrics"][metric]["mean"])
            for one, other in pairs if metric in one["metrics"]]  # fmt: skip
    return _mean(gaps)


def for_figure(
    values: Values, names: Sequence[str] = MAIN
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """Of `names`, those that are in a record: by length the metrics of each seed's run."""
    return {
        name: {
            int(length): [one["metrics"] for one in seeds.values()]
            for length, seeds in values[name].items()
        }
        for name in names
        if name in values
    }


def numbers_of(
    points: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]],
) -> dict[str, dict[int, dict[str, list[float]]]]:
    """What a figure of curves draws: by name, length and title of `COLUMNS` a number per seed."""
    return {
        name: {
            length: {
                title: [float(one[metric]["mean"]) for one in runs]
                for title, metric in COLUMNS.items()
                if all(metric in one for one in runs)
            }
            for length, runs in lengths.items()
        }
        for name, lengths in points.items()
    }


def _mean(found: Sequence[float | None]) -> str:
    known = [value for value in found if value is not None]
    return f"{100 * sum(known) / len(known):.1f}" if known else "–"


def point(run: Run) -> dict[str, Any]:
    """What the record keeps of a finished run, and where it was made."""
    metrics = {name: one for name, one in run.metrics().items() if name.startswith(KEPT)}
    leak = obtain_leaks([run])[0]
    here = machine()
    made = {"processor": here["gpu"] or here["processor"], "commit": code_version()["commit"]}
    return {"run": run.folder.name, "metrics": metrics, "leak": leak, **made}


def known(profile: Profile) -> Values:
    """The points that are recorded already: the committed ones, then those made here.

    A point counts as long as its configuration still gives the run it was made by.
    """
    found: Values = {}
    for reference in (True, False):
        with contextlib.suppress(FileNotFoundError):
            record = load_result("curves", profile.name, reference=reference)
            for name, length, seed, one in _points(record, profile.name):
                if name in SERIES and _is_of(one, configuration(profile, name, length, seed)):
                    found.setdefault(name, {}).setdefault(str(length), {})[str(seed)] = one
    return in_order(found)


def _points(record: Mapping[str, Any], profile: str) -> list[tuple[str, int, int, dict[str, Any]]]:
    """What `flat` gives of a record.

    Raises:
        ValueError: somebody has damaged it.
    """
    try:
        points = list(flat(record["values"]))
        for *_, one in points:
            if not isinstance(one["run"], str) or not isinstance(one["metrics"], dict):
                raise TypeError("a point's run and metrics")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"record curves__{profile}.json is damaged ({error!r}): expected series, length and "
            "seed over points with run and metrics; take back what was changed, or remove it"
        ) from error
    return points


def flat(values: Values) -> Iterator[tuple[str, int, int, dict[str, Any]]]:
    """Series, length, seed and point of everything in a record's values."""
    for name, lengths in values.items():
        for length, seeds in lengths.items():
            for seed, one in seeds.items():
                yield name, int(length), int(seed), one


def _is_of(one: Mapping[str, Any], config: RunConfig) -> bool:
    return bool(one["run"] == find(config).folder.name)


def in_order(values: Values) -> Values:
    """The same, with series in the order of `SERIES`, lengths and seeds by size."""
    return {
        name: {
            length: dict(sorted(seeds.items(), key=lambda one: int(one[0])))
            for length, seeds in sorted(values[name].items(), key=lambda one: int(one[0]))
        }
        for name in SERIES
        if name in values
    }


def study(
    profile: Profile,
    series: Sequence[str] = MAIN,
    lengths: Sequence[int] = LENGTHS,
    seeds: Sequence[int] = (0,),
    workers: int = 0,
    again: bool = False,
) -> Path:
    """Train what is missing, one seed and one length after the other, and record what there is.

    Args:
        profile: sizes; its number of updates is replaced.
        series: of `SERIES`.
        lengths: numbers of updates.
        seeds: of the training.
        workers: runs side by side.
        again: also train what is recorded, the committed record's points among them.

    Returns:
        The record `curves`: what was recorded before, and what was made now.
    """
    values = known(profile)
    asked = [(name, length, seed) for seed in seeds for length in sorted(lengths)
             for name in series]  # fmt: skip
    for name, length, seed in asked:
        configuration(profile, name, length, seed)  # a wrong one is refused before work starts
    had = {key[:3] for key in flat(values)}
    missing = [key for key in asked if again or key not in had]
    path = save_result("curves", profile.name, in_order(values))
    configs = {key: configuration(profile, *key) for key in missing}
    keys = {find(config).folder: key for key, config in configs.items()}

    def record(run: Run) -> None:
        name, length, seed = keys[run.folder]
        values.setdefault(name, {}).setdefault(str(length), {})[str(seed)] = point(run)
        save_result("curves", profile.name, in_order(values))

    obtain(list(configs.values()), workers=workers, finished=record)
    return path


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Train the runs of the learning curves and record them."""

    series: Annotated[tuple[str, ...], some_of(SERIES)] = MAIN
    lengths: Annotated[tuple[int, ...], AtLeast(1)] = LENGTHS  # numbers of updates
    seeds: tuple[int, ...] = (0,)  # of the training
    again: bool = False  # train also what is recorded already


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train the runs of the learning curves and record them."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.curves")
    profile, workers = given.sizes()
    print(study(profile, given.series, given.lengths, given.seeds, workers, given.again))


if __name__ == "__main__":
    run_command(main, ValueError)
