"""The records of `search.compare` and `leak_study.study` as tables, fresh or committed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bclip_core.evaluation import seed_interval
from bclip_core.model import METHODS
from bclip_core.records.results import load_result, save_result

Entry = Mapping[str, Any]
"""Of one method: `metrics` and `leak` per seed, and, where it trained, `cost` and `table`."""

OWN_WAY = "retrieval/own_way/long"
"""Long captions scored by what a method adds to the class token: pooled embeddings, every picture
pooled with every candidate, or, for FILIP, late interaction."""

COMPARED = {
    "long caption → image": "retrieval/global/long/t2i_R@1",
    "image → long caption": "retrieval/global/long/i2t_R@1",
    "short caption → image": "retrieval/global/short/t2i_R@1",
    "image → short caption": "retrieval/global/short/i2t_R@1",
    "its own way → image": f"{OWN_WAY}/t2i_R@1",
    "its own way → text": f"{OWN_WAY}/i2t_R@1",
    "regions, hard": "regions/dense/hard",
    "regions, medium": "regions/dense/medium",
    "regions, easy": "regions/dense/easy",
    "regions, trivial": "regions/dense/trivial",
    "pointing, patch cosine": "grounding/cosine/pointing",
    "pointing, attention": "grounding/attention/pointing",
}
"""Titles of the comparison's columns, and their metrics."""


def find_record(name: str, profile: str = "cpu", *, reference: bool = False) -> Any:
    """A result's record from the runs folder or the committed reference; None where there is none.

    Args:
        name: of the result.
        profile: "smoke", "cpu" or "gpu".
        reference: as `results.load_result`.
    """
    with contextlib.suppress(FileNotFoundError):
        return load_result(name, profile, reference=reference)
    return None


def keep_settings(profile: str) -> None:
    """Where no search was made, record an empty one: all methods keep the profile's settings."""
    if find_record("search", profile) is None:
        save_result("search", profile, {"settings": {}, "methods": {}})


def in_order(values: Mapping[str, Any], names: Iterable[str] = METHODS) -> dict[str, Any]:
    """Entries in the order of `names`, by default the catalogue's, then the others: files sort."""
    return {name: values[name] for name in (*names, *values) if name in values}


def family(name: str) -> str:
    """Which kind a method is of, from what it is made of, see `plotting.methods.GROUPS`.

    A method that the catalogue doesn't know is "another".
    """
    if name not in METHODS:
        return "another"
    method = METHODS[name]
    if not method.terms:
        return "untouched"
    if method.pooler == "beta_clip":
        return "leak-free" if any(t.startswith("cross") for t in method.terms) else "β-CLIP"
    if name.startswith("mulclip"):
        return "MulCLIP"
    local = method.pooler or method.needs()
    return "local terms" if local else "global terms"


def summaries(values: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
    """Each method's metrics over its seeds, and those of its leak as `leak/...`.

    Args:
        values: by method.

    Returns:
        For each method and metric mean, low, high and, where there is one, chance; `OWN_WAY/...`
        repeats the conditioned or the late retrieval. Intervals as
        `comparison.summarise`; the leak of a single run has none, low and high are its mean.
    """
    found = {}
    for name, entry in values.items():
        metrics = dict(summarise(entry["metrics"])) if entry["metrics"] else {}
        for kind in ("conditioned", "late"):
            start = f"retrieval/{kind}/long/"
            metrics |= {
                f"{OWN_WAY}/{key.removeprefix(start)}": value
                for key, value in metrics.items()
                if key.startswith(start)
            }
        found[name] = metrics | _leak(entry["leak"])
    return found


def _leak(measured: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in measured[0] if measured else ():
        means = [one[name] for one in measured]
        if len(means) > 1:
            estimate: dict[str, Any] = seed_interval(means)._asdict()
        else:
            estimate = dict.fromkeys(("mean", "low", "high"), means[0])
        if "R@1" in name:
            estimate["chance"] = measured[0]["identical/chance"]
        found[f"leak/{name}"] = estimate | {"seeds": len(means)}
    return found


def comparison_rows(
    summary: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str] = COMPARED
) -> list[list[str]]:
    """A row per method, `mean ±half of its 95 % interval` in percent; the header and chance first.

    Args:
        summary: of `summaries`.
        columns: metrics by title; those that no method has are left out.
    """
    used = {t: n for t, n in columns.items() if any(n in values for values in summary.values())}
    chances = []
    for name in used.values():
        first = next(values[name] for values in summary.values() if name in values)
        chances.append(f"{100 * first['chance']:.1f}" if "chance" in first else "")
    rows = [["%", *used], ["chance", *chances]]
    for method, values in summary.items():
        rows.append([method, *(plus_minus(values.get(name)) for name in used.values())])
    return rows


def plus_minus(estimate: Mapping[str, Any] | None) -> str:
    """Mean and half of the interval in percent; a dash for None."""
    if estimate is None:
        return "–"
    half = (estimate["high"] - estimate["low"]) / 2
    return f"{100 * estimate['mean']:.1f}" + (f" ±{100 * half:.1f}" if half else "")


def gains(
    values: Mapping[str, Entry], against: str, names: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """How far each method is ahead of one of them, seed by seed; empty where seeds are too few.

    Args:
        values: by method.
        against: the method that the others are compared with.
        names: metrics, as in `summaries`; one that a method lacks is left out.

    Raises:
        ValueError: `against` is not among the methods.
    """
    if against not in values:
        raise ValueError(f"against={against!r}: expected one of {', '.join(values)}")
    base = _with_leak(values[against])
    found = {}
    for name, entry in values.items():
        runs = _with_leak(entry)
        if name == against or len(runs) < 2 or len(runs) != len(base):
            continue
        shared = [metric for metric in names if metric in runs[0] and metric in base[0]]
        found[name] = differences(runs, base, shared)
    return found


def _with_leak(entry: Entry) -> list[dict[str, Any]]:
    """The metrics of each run with those of its leak, named as in `summaries`; if it trained."""
    if not entry["metrics"]:
        return []
    return [
        metrics | {f"leak/{name}": {"mean": value} for name, value in leak.items()}
        for metrics, leak in zip(entry["metrics"], entry["leak"], strict=True)
    ]


def verdict(gap: Mapping[str, float]) -> str:
    """Whether a difference is "ahead" or "behind", its interval without zero, or "level"."""
    if gap["low"] > 0:
        return "ahead"
    return "behind" if gap["high"] < 0 else "level"


def gain_rows(
    values: Mapping[str, Entry], against: str, columns: Mapping[str, str] = COMPARED
) -> list[list[str]]:
    """A table of differences in points, `*` where the interval leaves zero out; header first.

    Args:
        values: by method.
        against: the method that the others are compared with.
        columns: metrics by title; those that no difference has are left out.

    Raises:
        ValueError: `against` is not among the methods.
    """
    found = gains(values, against, list(columns.values()))
    used = {t: m for t, m in columns.items() if any(m in gaps for gaps in found.values())}
    rows = [[f"points against {against}", *used]]
    for name, gaps in found.items():
        cells = [_points(gaps[metric]) if metric in gaps else "–" for metric in used.values()]
        rows.append([name, *cells])
    return rows


def _points(gap: Mapping[str, float]) -> str:
    mark = "" if verdict(gap) == "level" else "*"
    return f"{100 * gap['mean']:+.1f}{mark}"


def trial_rows(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A search's trials: a row per method, the chosen factors, and every trial's score.

    Args:
        found: by method, as `search.search` returns.
    """
    most = max((len(entry["trials"]) for entry in found.values()), default=0)
    rows = [["method", "chosen rate × weights", *(f"trial {n + 1}" for n in range(most))]]
    for name, entry in found.items():
        best, trials = entry["chosen"], entry["trials"]
        cells = [f"×{t['rate']:g}, ×{t['weight']:g}: {100 * t['score']:.1f}" for t in trials]
        cells += [""] * (most - len(cells))
        rows.append([name, f"×{best['rate']:g}, ×{best['weight']:g}", *cells])
    return rows


Metrics = Mapping[str, Mapping[str, Any]]


def summarise(runs: Sequence[Metrics]) -> dict[str, dict[str, Any]]:
    """One method's metrics over its runs, which differ in the seed only.

    Args:
        runs: `scene_benchmark.evaluate` of each run.

    Returns:
        For each metric mean, low, high, chance, count and seeds. The interval is Student's over
        seeds where there are several, else the bootstrap over scenes of the single run.

    Raises:
        ValueError: no run.
    """
    if not runs:
        raise ValueError("runs=[]: expected the metrics of at least one run")
    summary = {}
    for name, first in runs[0].items():
        values = [metrics[name]["mean"] for metrics in runs]
        interval = seed_interval(values)._asdict() if len(values) > 1 else {}
        summary[name] = {**first, **interval, "seeds": len(values)}
    return summary


def differences(
    first: Sequence[Metrics], second: Sequence[Metrics], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """How much `first` is ahead of `second`, seed by seed, with Student's 95 % interval.

    Args:
        first: metrics of the runs of one method, seeds in order.
        second: of the other method, the same seeds.
        names: which metrics.

    Raises:
        ValueError: different numbers of seeds, or fewer than two.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} runs: expected the same seeds of both")
    gaps = {
        name: [a[name]["mean"] - b[name]["mean"] for a, b in zip(first, second, strict=True)]
        for name in names
    }
    return {name: seed_interval(values)._asdict() for name, values in gaps.items()}
