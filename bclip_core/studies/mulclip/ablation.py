"""MulCLIP's ablation: the full method, each local part left out, the word loss over the batch.

The weights and learning rates of all variants are those that the search has chosen for the full
method; nothing but the part in question differs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bclip_core.config import ConfigError, Profile, RunConfig
from bclip_core.evaluation import HEADLINES, Metrics, fitting, percent
from bclip_core.studies.search import Factors, chosen
from bclip_core.studies.tables import differences, summarise, verdict
from bclip_core.studies.variants import Variant, choose

APART = {"calibration_scale": 8.0}
"""A start that sets calibrated tokens apart: from 1, FineLIP's, the word loss doesn't move."""

VARIANTS = {
    "full": Variant("mulclip"),
    "global only": Variant("mulclip-global"),
    "without sub-captions": Variant("mulclip-no-subcaption"),
    "without words": Variant("mulclip-no-word"),
    "without calibration": Variant("mulclip-no-calibration"),
    "batch-wise words": Variant("mulclip", loss={"word_negatives": "batch"}),
    "tokens apart": Variant("mulclip", heads=APART),
    "tokens apart, batch-wise": Variant("mulclip", loss={"word_negatives": "batch"}, heads=APART),
}
"""Variants by name; "full" comes first, the last two are not the paper's."""

SMOKE_VARIANTS = ("full", "global only", "batch-wise words")  # a minute's look has no time for all

METRICS = {
    title: HEADLINES[title]
    for title in (
        "long caption → image, R@1",
        "image → long caption, R@1",
        "regions, medium",
        "pointing game, patch cosine",
    )
}
"""What variants are compared by; nothing of it needs a pooler, which MulCLIP has not."""

Gaps = dict[str, dict[str, dict[str, float]]]


def settled_factors(profile: str) -> Factors:
    """What the search has chosen for MulCLIP, here or in the committed result; else (1, 1)."""
    for reference in (False, True):
        with contextlib.suppress(FileNotFoundError):
            return chosen(profile, reference=reference)("mulclip")
    return 1.0, 1.0


def configurations(
    profile: Profile, variants: Sequence[str], seeds: int = 1
) -> dict[str, list[RunConfig]]:
    """Each variant's runs, one per seed; those of "full" are the runs of the method comparison.

    Args:
        profile: sizes and seeds.
        variants: names in `VARIANTS`, "full" among them.
        seeds: how many of the profile's seeds.

    Raises:
        ConfigError: an unknown variant, no "full", or a number of seeds that the profile lacks.
    """
    asked = {name: choose(VARIANTS, name) for name in variants}
    if "full" not in variants:
        raise ConfigError(f"variants={list(variants)}: expected 'full', which gaps are counted to")
    if not 1 <= seeds <= len(profile.seeds):
        raise ConfigError(f"seeds={seeds}: expected 1 to {len(profile.seeds)}")
    scenes = profile.base.data.name == "scenes"  # what the search was made on
    factors = settled_factors(profile.name) if scenes else (1.0, 1.0)
    return {name: variant.configs(profile, factors, seeds) for name, variant in asked.items()}


def gaps(measured: Mapping[str, Sequence[Metrics]]) -> Gaps:
    """How far each variant is ahead of the full method, with a 95 % interval.

    Over several seeds it is Student's interval of the differences seed by seed. Of one seed it is
    the bootstrap over scenes, the two runs' half-widths added as squares: as if each run had scenes
    of its own, which is too wide rather than too narrow, since they share them.

    Args:
        measured: for each variant, "full" among them, the metrics of its runs, seeds in order.

    Returns:
        For each other variant and each of `METRICS` that was measured, by title: mean, low, high
        (fractions).
    """
    full = measured["full"]
    several, metrics = len(full) > 1, fitting(METRICS, full[0])
    found: Gaps = {}
    for variant, runs in measured.items():
        if variant == "full":
            continue
        by_name = differences(runs, full, list(metrics.values())) if several else None
        found[variant] = {
            title: by_name[name] if by_name else _gap(runs[0][name], full[0][name])
            for title, name in metrics.items()
        }
    return found


def _gap(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    mean = first["mean"] - second["mean"]
    below = math.hypot(first["mean"] - first["low"], second["high"] - second["mean"])
    above = math.hypot(first["high"] - first["mean"], second["mean"] - second["low"])
    return {"mean": mean, "low": mean - below, "high": mean + above}


WORDS = ("worse", "not told", "better")
"""What `tables.verdict` says of a variant's gap to the full method."""


def gap_rows(values: Mapping[str, Any]) -> list[list[str]]:
    """Each variant against the full method, from the record's values; the header first."""
    rows = [["points against the full method", *METRICS]]
    for name, gaps in in_order(values)["gaps"].items():
        cells = [f"{percent(gaps[t], signed=True)} {verdict(gaps[t], WORDS)}" for t in METRICS]
        rows.append([name, *cells])
    return rows


def summary(
    configs: Mapping[str, Sequence[RunConfig]],
    measured: Mapping[str, Sequence[Metrics]],
    histories: Mapping[str, Sequence[Sequence[Mapping[str, float]]]],
) -> dict[str, Any]:
    """The record of an ablation, ready for `results.save_result`.

    Args:
        configs: for each variant its runs, see `configurations`.
        measured: their metrics, in the same order.
        histories: their updates, in the same order; kept is the word loss at start and end.
    """
    first = configs["full"][0]
    words = {
        name: [[history[0]["word"], history[-1]["word"]] for history in several]
        for name, several in histories.items()
        if all("word" in history[0] for history in several)
    }
    return {
        "steps": first.train.steps,
        "seeds": [config.train.seed for config in configs["full"]],
        "configs": {name: several[0].to_dict() for name, several in configs.items()},
        "variants": {name: summarise(runs) for name, runs in measured.items()},
        "gaps": gaps(measured),
        "word_loss": words,
    }


def in_order(record: Mapping[str, Any]) -> dict[str, Any]:
    """A `summary` that was read from a file, whose keys are sorted, in the order of `VARIANTS`."""
    parts = {
        part: {name: record[part][name] for name in VARIANTS if name in record[part]}
        for part in ("configs", "variants", "gaps", "word_loss")
    }
    gaps = {
        name: {t: by_title[t] for t in (*METRICS, *by_title) if t in by_title}
        for name, by_title in parts["gaps"].items()
    }
    return {**record, **parts, "gaps": gaps}
