"""Which phrases attention misses: bare shapes, shapes with attributes, places.

`python -m bclip_core.studies.pointing --profile cpu` trains the three ways in which texts of one
image may stand to each other (or finds their runs), and records how often each kind of phrase is
hit. Why kinds differ: "heart", "green heart" and "small green heart" name one object. Where they
are negatives of each other (β = 0) a pooler without other means has to look elsewhere for two of
them; where all texts of an image are positives, nothing asks it to tell the objects apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import datasets
import torch
from torch import Tensor

from bclip_core.config import Profile
from bclip_core.config.command_line import AtLeast, read_options, run_command
from bclip_core.data.images import decode_images
from bclip_core.data.scenes.words import PLACES, RELATIONS
from bclip_core.evaluation.encoding import encode_images
from bclip_core.evaluation.protocols.scenes import phrase_scores
from bclip_core.model import BClip
from bclip_core.records.results import save_result
from bclip_core.studies.command import StudyOptions
from bclip_core.studies.curves import configuration
from bclip_core.studies.runs import obtain

KINDS = ("a bare shape", "with attributes", "with a place", "a place alone")
"""Of phrases: "heart"; "small green heart"; "green heart below the star"; "below the star"."""
SERIES = (
    "beta-clip-ce-cross, one head",
    "beta-clip-ce-cross, one head, β = 0",
    "beta-clip-ce-cross, one head, nested",
)
NEWEST = "hits/attention/a bare shape"  # a stored measurement without it is made again
_PLACES = tuple(
    f"{words} " for known in (PLACES, RELATIONS) for spelt in known.values() for words in spelt
)


def kind_of(phrase: str) -> str:
    """Which of `KINDS` a phrase about a scene is."""
    if f"{phrase} ".startswith(_PLACES):
        return "a place alone"
    if any(f" {words}" in f"{phrase} " for words in _PLACES):
        return "with a place"
    return "with attributes" if " " in phrase else "a bare shape"


def measure_pointing(model: BClip, dataset: datasets.Dataset) -> dict[str, float]:
    """The pointing game by kind of phrase; empty without a pooler.

    Args:
        model: any.
        dataset: scenes.

    Returns:
        For each kind of `KINDS` that occurs `count/KIND`, `chance/KIND` and, as shares,
        `hits/attention/KIND` and `hits/cosine/KIND`.
    """
    if model.pooler is None:
        return {}
    model = model.eval()
    pixels, _ = decode_images(dataset, model.backbone.image_size[0])
    _, patches = encode_images(model, pixels)
    found = phrase_scores(model, patches, dataset)
    kinds = [kind_of(phrase) for phrase in found.phrases]
    values: dict[str, float] = {}
    for kind in KINDS:
        among = torch.tensor([one == kind for one in kinds])
        if not among.any():
            continue
        values[f"count/{kind}"] = int(among.sum())
        values[f"chance/{kind}"] = _share(found.chance.pointing, among)
        for maps, scores in found.scores.items():
            values[f"hits/{maps}/{kind}"] = _share(scores.pointing, among)
    return values


def _share(items: Tensor, among: Tensor) -> float:
    return float(items[among].mean())


def table_rows(values: Mapping[str, Mapping[str, float]], maps: str) -> list[list[str]]:
    """A row per measured model, percent of hits per kind of phrase; header and chance first.

    Args:
        values: name -> what `measure_pointing` gave; of several seeds the mean.
        maps: "attention" or "cosine".
    """
    first = next(iter(values.values()))
    rows = [
        [f"hits of {maps}, %", *KINDS],
        ["phrases", *(f"{first[f'count/{kind}']:,.0f}" for kind in KINDS)],
        ["chance", *(f"{100 * first[f'chance/{kind}']:.1f}" for kind in KINDS)],
    ]
    for name, one in values.items():
        rows.append([name, *(f"{100 * one[f'hits/{maps}/{kind}']:.1f}" for kind in KINDS)])
    return rows


def overall_hits(values: Mapping[str, float], *, places: bool = True) -> tuple[float, float]:
    """Hits of attention and chance, in percent, over all phrases.

    Args:
        values: what `measure_pointing` gave.
        places: False leaves out places alone, which name no thing.
    """
    chosen = [kind for kind in KINDS if f"count/{kind}" in values]
    if not places:
        chosen = [kind for kind in chosen if kind != "a place alone"]
    count = sum(values[f"count/{kind}"] for kind in chosen)
    hits, chance = (
        100 * sum(values[f"count/{kind}"] * values[f"{part}/{kind}"] for kind in chosen) / count
        for part in ("hits/attention", "chance")
    )
    return hits, chance


def mean_over_seeds(seeds: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number."""
    points = list(seeds.values())
    return {name: sum(one[name] for one in points) / len(points) for name in points[0]}


def study(profile: Profile, length: int, seeds: Sequence[int], workers: int = 0) -> Path:
    """Train or find the runs of `SERIES`, and record what they point at.

    Args:
        profile: sizes; its number of updates is replaced.
        length: number of updates.
        seeds: of the training.
        workers: runs side by side.

    Returns:
        The record `pointing`: by series and seed, what `measure_pointing` gives.
    """
    keys = [(name, seed) for name in SERIES for seed in seeds]
    configs = [configuration(profile, name, length, seed) for name, seed in keys]
    values: dict[str, dict[str, Any]] = {name: {} for name in SERIES}
    for (name, seed), run in zip(keys, obtain(configs, workers=workers), strict=True):
        values[name][str(seed)] = run.kept("pointing", measure_pointing, NEWEST)
    return save_result("pointing", profile.name, {"length": length, "series": values})


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Which phrases attention misses: train what is missing and record."""

    length: Annotated[int, AtLeast(1)] = 100  # number of updates
    seeds: tuple[int, ...] = (0,)  # of the training


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: which phrases attention misses."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.pointing")
    profile, workers = given.sizes(scenes=True)
    print(study(profile, given.length, given.seeds, workers))


if __name__ == "__main__":
    run_command(main, ValueError)
