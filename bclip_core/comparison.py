"""Metrics of several runs side by side: over seeds where there are several, else over scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bclip_core.evaluation import seed_interval

HEADLINES = {
    "long caption → image, R@1": "retrieval/global/long/t2i_R@1",
    "image → long caption, R@1": "retrieval/global/long/i2t_R@1",
    "conditioned on every candidate, text → image, R@1": "retrieval/conditioned/long/t2i_R@1",
    "conditioned on every candidate, image → text, R@1": "retrieval/conditioned/long/i2t_R@1",
    "regions, hard": "regions/dense/hard",
    "regions, medium": "regions/dense/medium",
    "regions, easy": "regions/dense/easy",
    "regions, trivial": "regions/dense/trivial",
    "pointing game, attention": "grounding/attention/pointing",
    "pointing game, patch cosine": "grounding/cosine/pointing",
    "average precision, attention": "grounding/attention/average_precision",
    "average precision, patch cosine": "grounding/cosine/average_precision",
}
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
