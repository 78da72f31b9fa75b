"""The records of studies as tables, fresh or committed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bclip_core.evaluation import (
    REGION_LEVELS,
    Estimate,
    Metrics,
    fitting,
    grounding_metric,
    plus_minus,
    region_metric,
    retrieval_metric,
    seed_interval,
)
from bclip_core.model import METHODS
from bclip_core.records.results import load_result, save_result

Entry = Mapping[str, Any]
"""Of one method or variant: `metrics` per seed; where measured `leak`, `cost` and `table`."""

OWN_WAY = "own_way"
"""The kind of long captions' retrieval by what a method adds to the class token: pooled embeddings,
every picture pooled with every candidate, or, for FILIP, late interaction."""

COMPARED = {
    "long caption → image": retrieval_metric("global", "long", "t2i"),
    "image → long caption": retrieval_metric("global", "long", "i2t"),
    "short caption → image": retrieval_metric("global", "short", "t2i"),
    "image → short caption": retrieval_metric("global", "short", "i2t"),
    "its own way → image": retrieval_metric(OWN_WAY, "long", "t2i"),
    "its own way → text": retrieval_metric(OWN_WAY, "long", "i2t"),
    **{f"regions, {level}": region_metric(level) for level in REGION_LEVELS},
    "pointing, patch cosine": grounding_metric("cosine", "pointing"),
    "pointing, attention": grounding_metric("attention", "pointing"),
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
    """Which kind a method is of, from what it is made of, see `plotting.dots.GROUPS`.

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


def summaries(values: Mapping[str, Entry]) -> dict[str, Metrics]:
    """Each method's metrics over its seeds, and those of its leak as `leak/...`.

    Args:
        values: by method.

    Returns:
        For each method and metric mean, low, high and, where there is one, chance; `OWN_WAY`
        repeats the conditioned or the late retrieval. Intervals as `summarise`; the leak of a
        single run has none, low and high are its mean.
    """
    found = {}
    for name, entry in values.items():
        metrics = dict(summarise(entry["metrics"])) if entry["metrics"] else {}
        for kind in ("conditioned", "late"):
            for texts in ("long", "captions"):
                start, own = (f"retrieval/{k}/{texts}/" for k in (kind, OWN_WAY))
                metrics |= {
                    own + key.removeprefix(start): value
                    for key, value in metrics.items()
                    if key.startswith(start)
                }
        found[name] = metrics | _leak(entry.get("leak", ()))
    return found


def _leak(measured: Sequence[Mapping[str, float]]) -> Metrics:
    found = {}
    for name in measured[0] if measured else ():
        means = [one[name] for one in measured]
        if len(means) > 1:
            estimate: Estimate = seed_interval(means)._asdict()
        else:
            estimate = dict.fromkeys(("mean", "low", "high"), means[0])
        if "R@1" in name:
            estimate["chance"] = measured[0]["identical/chance"]
        found[f"leak/{name}"] = estimate | {"seeds": len(means)}
    return found


def comparison_rows(
    summary: Mapping[str, Metrics], columns: Mapping[str, str] = COMPARED
) -> list[list[str]]:
    """A row per method, `mean ±half of its 95 % interval` in percent; the header and chance first.

    Args:
        summary: of `summaries`.
        columns: metrics by title; those that no method has are left out.
    """
    used = fitting(columns, {name for values in summary.values() for name in values})
    chances = []
    for name in used.values():
        first = next(values[name] for values in summary.values() if name in values)
        chances.append(f"{100 * first['chance']:.1f}" if "chance" in first else "")
    rows = [["%", *used], ["chance", *chances]]
    for method, values in summary.items():
        rows.append([method, *(cell(values, name) for name in used.values())])
    return rows


def cell(values: Mapping[str, Estimate], name: str) -> str:
    """One metric as `plus_minus` writes it; a dash where it was not measured."""
    return plus_minus(values[name]) if name in values else "–"


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
    leaks = entry.get("leak") or [{}] * len(entry["metrics"])
    return [
        metrics | {f"leak/{name}": {"mean": value} for name, value in leak.items()}
        for metrics, leak in zip(entry["metrics"], leaks, strict=True)
    ]


def verdict(
    gap: Mapping[str, float], words: tuple[str, str, str] = ("behind", "level", "ahead")
) -> str:
    """What a difference says: the first word where its interval lies below zero, the last above."""
    if gap["high"] < 0:
        return words[0]
    return words[2] if gap["low"] > 0 else words[1]


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
    measured = {name for entry in values.values() for one in _with_leak(entry) for name in one}
    columns = fitting(columns, measured)
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


def summarise(runs: Sequence[Metrics]) -> Metrics:
    """One method's metrics over its runs, which differ in the seed only.

    Args:
        runs: metrics of each run, as `protocols.scenes.evaluate` gives them.

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
