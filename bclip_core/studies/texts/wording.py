"""Whether patches still point, and only the way that they are asked has fallen out of use.

`python -m bclip_core.studies.texts.wording --profile cpu --lengths 100 1000` trains MulCLIP and the
form of ours (or finds their runs) and lets each find the things of scenes, called by a bare phrase,
"green heart", and by the same phrase in a sentence. MulCLIP trains on captions, short captions and
sentences, never on a phrase; β-CLIP's texts are phrases, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import datasets
import torch

from bclip_core.config import Profile
from bclip_core.config.command_line import AtLeast, read_options, run_command
from bclip_core.data.images import decode_images
from bclip_core.evaluation.encoding import encode_images
from bclip_core.evaluation.protocols.scenes import phrase_scores
from bclip_core.model import BClip
from bclip_core.records.results import save_result
from bclip_core.studies.command import StudyOptions, some_of
from bclip_core.studies.curves import SERIES, configuration
from bclip_core.studies.pointing import kind_of
from bclip_core.studies.runs import obtain
from bclip_core.studies.tables import find_record

WORDINGS = ("{}", "a {}", "There is a {}.", "The picture shows a {}.")
"""The phrase stands for {}; places alone are left out, which name no thing."""
COMPARED = ("mulclip", "beta-clip-ce-cross, one head")
_COUNT, _CHANCE = "count", "chance"


def measure_wordings(model: BClip, dataset: datasets.Dataset) -> dict[str, float]:
    """The pointing game with every phrase in each of `WORDINGS`.

    Args:
        model: any.
        dataset: scenes.

    Returns:
        `count` and `chance` of the phrases that name a thing, and `KIND/WORDING` as shares, with
        the kinds of maps that `phrase_scores` gives.
    """
    model = model.eval()
    pixels, _ = decode_images(dataset, model.backbone.image_size[0])
    _, patches = encode_images(model, pixels)
    values: dict[str, float] = {}
    for wording in WORDINGS:
        found = phrase_scores(model, patches, dataset, wording)
        named = torch.tensor([kind_of(phrase) != "a place alone" for phrase in found.phrases])
        values[_COUNT] = int(named.sum())
        values[_CHANCE] = float(found.chance.pointing[named].mean())
        for maps, scores in found.scores.items():
            values[f"{maps}/{wording}"] = float(scores.pointing[named].mean())
    return values


def wording_rows(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[list[str]]:
    """A row per method, length and kind of map, means over seeds in percent; header first.

    Args:
        values: series -> length -> seed -> what `measure_wordings` gave.
    """
    rows = [["method", "updates", "seeds", "map", *(f"“{w}”" for w in WORDINGS), "chance"]]
    for name, lengths in values.items():
        for length, seeds in sorted(lengths.items(), key=lambda item: int(item[0])):
            points = list(seeds.values())
            for maps in ("attention", "cosine"):
                asked = [f"{maps}/{wording}" for wording in WORDINGS]
                if asked[0] not in points[0]:
                    continue
                means = [
                    f"{100 * sum(one[key] for one in points) / len(points):.1f}"
                    for key in (*asked, _CHANCE)
                ]
                rows.append([name, f"{int(length):,}", str(len(points)), maps, *means])
    return rows


def study(
    profile: Profile,
    series: Sequence[str],
    lengths: Sequence[int],
    seeds: Sequence[int],
    workers: int = 0,
) -> Path:
    """Train or find the runs, and record how they point when they are asked in each wording.

    Returns:
        The record `wordings`: by series, length and seed, what `measure_wordings` gives, beside
        what was recorded before.
    """
    kept = find_record("wordings", profile.name)
    keys = [(name, length, seed) for name in series for length in lengths for seed in seeds]
    configs = [configuration(profile, *key) for key in keys]
    values: dict[str, dict[str, dict[str, Any]]] = {} if kept is None else kept["values"]
    for (name, length, seed), run in zip(keys, obtain(configs, workers=workers), strict=True):
        of_length = values.setdefault(name, {}).setdefault(str(length), {})
        of_length[str(seed)] = run.kept("wordings", measure_wordings, f"cosine/{WORDINGS[-1]}")
    return save_result("wordings", profile.name, values)


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Let methods point by a bare phrase and by sentences: train what is missing and record."""

    series: Annotated[tuple[str, ...], some_of(SERIES)] = COMPARED
    lengths: Annotated[tuple[int, ...], AtLeast(1)] = (100,)  # numbers of updates
    seeds: tuple[int, ...] = (0,)  # of the training


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: how methods point by a bare phrase and by sentences."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.texts.wording")
    profile, workers = given.sizes(scenes=True)
    print(study(profile, given.series, given.lengths, given.seeds, workers))


if __name__ == "__main__":
    run_command(main, ValueError)
