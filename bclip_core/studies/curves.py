"""Learning curves: every method at several lengths, each length a run of its own.

`python -m bclip_core.studies.curves --profile cpu --lengths 100 300 1000 --seeds 1` trains what is
missing, shortest first, and writes the record anew after every finished run, so that it can be
stopped at any time and goes on where it was. The schedule has the same shape at each length: its
cosine ends with the run; the warm-up keeps its number of updates.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bclip_core.config import ConfigError, PoolerConfig, Profile, RunConfig, get_profile
from bclip_core.evaluation import grounding_metric, region_metric, retrieval_metric
from bclip_core.records.results import save_result
from bclip_core.studies.leak.measure import obtain_leaks
from bclip_core.studies.runs import obtain
from bclip_core.train import Run, find

LENGTHS = (100, 300, 1000)
SERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "clip-ft": ("clip-ft", {}),
    "beta-clip-ce": ("beta-clip-ce", {}),
    "beta-clip-bce": ("beta-clip-bce", {}),
    "mulclip": ("mulclip", {}),
    "beta-clip-ce-cross, one head": ("beta-clip-ce-cross", {"heads": 1}),
}
"""Name of a curve -> its method, and the settings of the pooler that differ."""
KEPT = ("retrieval/", "regions/dense/", "grounding/")
"""What begins so is kept of a run's metrics."""


def configuration(profile: Profile, series: str, length: int, seed: int) -> RunConfig:
    """The run behind one point of a curve.

    Raises:
        ConfigError: unknown series, or a length below two updates.
    """
    if series not in SERIES:
        raise ConfigError(f"series={series!r}: expected one of {', '.join(SERIES)}")
    if length < 2:
        raise ConfigError(f"length={length}: expected at least 2 updates")
    method, pooler = SERIES[series]
    config = profile.run(method, seed=seed)
    train = config.train.replace(steps=length)
    return config.replace(train=train, pooler=PoolerConfig().replace(**pooler))


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


def _mean(found: Sequence[float | None]) -> str:
    known = [value for value in found if value is not None]
    return f"{100 * sum(known) / len(known):.1f}" if known else "–"


def point(run: Run) -> dict[str, Any]:
    """What the record keeps of a finished run."""
    metrics = {name: one for name, one in run.metrics().items() if name.startswith(KEPT)}
    return {"run": run.folder.name, "metrics": metrics, "leak": obtain_leaks([run])[0]}


def curves(
    profile: Profile, series: Sequence[str], lengths: Sequence[int], seeds: Sequence[int]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Of every run that is finished: series -> length -> seed -> its point."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in series:
        for length in lengths:
            for seed in seeds:
                run = find(configuration(profile, name, length, seed))
                if run.finished:
                    by_seed = found.setdefault(name, {}).setdefault(str(length), {})
                    by_seed[str(seed)] = point(run)
    return found


def study(
    profile: Profile,
    series: Sequence[str] = tuple(SERIES),
    lengths: Sequence[int] = LENGTHS,
    seeds: Sequence[int] = (0,),
    workers: int = 0,
) -> Path:
    """Train what is missing, one seed and one length after the other, and record what there is.

    Args:
        profile: sizes; its number of updates is replaced.
        series: of `SERIES`.
        lengths: numbers of updates.
        seeds: of the training.
        workers: runs side by side.

    Returns:
        The record `curves`.
    """
    wanted = [
        [configuration(profile, name, length, seed) for name in series]
        for seed in seeds
        for length in sorted(lengths)
    ]
    path = save_result("curves", profile.name, curves(profile, series, lengths, seeds))
    for configs in wanted:
        obtain(configs, workers=workers)
        path = save_result("curves", profile.name, curves(profile, series, lengths, seeds))
    return path


def main(arguments: list[str] | None = None) -> None:
    """Command line: train the runs of the learning curves and record them."""
    parser = argparse.ArgumentParser(
        prog="python -m bclip_core.studies.curves", description=main.__doc__
    )
    parser.add_argument("--profile", default="smoke", help="smoke, cpu or gpu (default: smoke)")
    parser.add_argument("--series", nargs="+", default=list(SERIES), metavar="NAME")
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), metavar="UPDATES")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED")
    parser.add_argument("--workers", type=int, help="runs side by side (default: the profile's)")
    given = parser.parse_args(arguments)
    profile = get_profile(given.profile)
    workers = profile.workers if given.workers is None else given.workers
    print(study(profile, given.series, given.lengths, given.seeds, workers))


if __name__ == "__main__":
    try:
        main()
    except ConfigError as problem:
        raise SystemExit(f"error: {problem}") from problem
