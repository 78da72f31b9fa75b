"""The models that the repository ships, how they are made, and the records that describe them.

`python -m bclip_core.reproduce.shipping scenes-beta-clip` trains the fine-tuned model, or goes on
where it was stopped, and stores it in place of the shipped one, after its first stage and after its
last; `scenes` is the CLIP that it and every other run starts from, trained by notebook 08.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets
import torch
import tyro

from bclip_core import checkpoints
from bclip_core.config import ConfigError, RunConfig, change, get_profile
from bclip_core.config.command_line import read_options, run_command
from bclip_core.data.sources import load_split
from bclip_core.evaluation.protocols import scenes
from bclip_core.records.files import read_json, sha256, write_json
from bclip_core.records.results import provenance
from bclip_core.records.together import promotion_of, put_together, take_back
from bclip_core.studies.leak.measure import measure_leak
from bclip_core.studies.pointing import measure_pointing
from bclip_core.studies.runs import obtain
from bclip_core.train import Run

CLIP, BETA_CLIP = "scenes", "scenes-beta-clip"
CURVE_POINTS = 200
STAGE = (
    "code", "config", "date", "machine", "metrics", "packages", "pointing", "sha256",
    "training_curve",
)  # fmt: skip
"""What the record keeps of an earlier stage, beside its leak and what was before it."""
CHECKED_SCENES = 200
"""A test measures the shipped models again on so many of the test scenes."""
RECIPE = (
    "pooler.heads=1",
    "loss.context=nested",
    "loss.duplicates=ignore",
    "loss.cross_weight=4.0",
    "loss.extra.captions_weight=3.0",
    "backbone.name=scene-small@96",
    "data.image_size=96",
    "train.steps=2200",
)
"""What the first stage of the fine-tuned model changes in the `cpu` profile's β-CLIP-CE with other
images and captions: one head, a finer grid of patches, more weight on other images, and β among
texts that contain one another. Where "heart" and "green heart" are negatives of each other,
attention has to look elsewhere for one of them; where all texts of an image are positives, nothing
tells its objects apart."""
FINER = (
    "backbone.pretrained=scenes-beta-clip",
    "pooler.init=weights",
    "backbone.name=scene-small@128",
    "data.image_size=128",
    "train.lr=0.001",
    "train.steps=2400",
)
"""What its last stage changes in the first: it goes on from the first's shipped weights, pooler
included, on a finer grid of patches."""
KEY_BLUR = 0.6
"""What the keys of the finished fine-tuned model are averaged over, in patches; set after training.
Without, attention peaks on the edges of things; of training with it nothing was gained."""


def shipped_runs(name: str) -> tuple[RunConfig, ...]:
    """The configurations that a shipped model is trained by, one stage after the other.

    Raises:
        ConfigError: not a shipped model.
    """
    profile = get_profile("cpu")
    if name == CLIP:
        assert profile.pretraining is not None, "every profile on scenes has one"
        return (profile.pretraining,)
    if name == BETA_CLIP:
        first = change(profile.run("beta-clip-ce-captions"), list(RECIPE))
        return first, change(first, list(FINER))
    raise ConfigError(f"name={name!r}: expected one of {CLIP}, {BETA_CLIP}")


def record_of(name: str) -> Path:
    """The record beside a shipped model."""
    return checkpoints.SHIPPED[name].with_suffix(".json")


SHIPPED_RECORD = record_of(CLIP)


def shipped_data(name: str, count: int = CHECKED_SCENES) -> datasets.Dataset:
    """Held-out scenes as large as a shipped model reads them, the first ones of its test split."""
    return load_split(shipped_runs(name)[-1].data.replace(test=count), "test")


def ship_pretrained(run: Run, name: str = CLIP, key_blur: float = 0.0) -> Path:
    """Store a run's weights in half precision as a shipped model, with its record beside it.

    The record has configuration, seed, provenance, training curve, and the metrics of the stored
    half-precision weights, measured after reading them back: on all test scenes, and on the first
    `CHECKED_SCENES`. Where the model has a pooler, also what its text alone decides, and where it
    points in as many scenes that it was trained on. A run that goes on from the shipped model keeps
    what the record says of the stage before.

    Args:
        run: finished.
        name: which shipped model it becomes, of `checkpoints.SHIPPED`.
        key_blur: of its pooler from now on, see `PoolerConfig`; 0: as it was trained.

    Returns:
        The file of weights.

    Raises:
        ConfigError: not a shipped model.
    """
    if name not in checkpoints.SHIPPED:
        known = ", ".join(checkpoints.SHIPPED)
        raise ConfigError(f"name={name!r}: expected one of {known}")
    place = checkpoints.SHIPPED[name]
    test = load_split(run.config.data, "test")
    history = run.history()
    with tempfile.TemporaryDirectory(prefix="bclip-ship-") as folder:
        # Measured before it takes the old one's place, so that weights and record go together.
        trained = run.model()
        if key_blur and trained.pooler is not None:
            trained.pooler.config = trained.pooler.config.replace(key_blur=key_blur)
        stored = checkpoints.save(trained, Path(folder, place.name), dtype=torch.float16)
        model = checkpoints.load(stored).eval()
        record = {
            **provenance(),
            "config": run.config.to_dict(),
            "sha256": sha256(stored),
            "training_curve": history[:: max(1, len(history) // CURVE_POINTS)],
            "metrics": scenes.evaluate(model, test),
            "checked": scenes.evaluate(model, test.select(range(CHECKED_SCENES))),
        }
        if run.config.backbone.pretrained == name:
            record["before"] = _stage_before(name, run.config)
        if model.pooler is not None:
            record["key_blur"] = model.pooler.config.key_blur
            record["leak"] = measure_leak(model, test)
            record["pointing"] = measure_pointing(model, test)
            seen = load_split(run.config.data, "train")
            some = range(min(len(seen), len(test)))
            record["pointing_seen"] = measure_pointing(model, seen.select(some))
            if key_blur:
                trained_with = run.config.pooler.key_blur
                model.pooler.config = model.pooler.config.replace(key_blur=trained_with)
                record["pointing_as_trained"] = measure_pointing(model, test)
        described = write_json(Path(folder, record_of(name).name), record)
        put_together([stored, described], place.parent, promotion_of(place)[0])
    return place


def _stage_before(name: str, config: RunConfig) -> dict[str, Any]:
    """What the record of a shipped model says of the stage that a run went on from."""
    shipped = read_json(record_of(name))
    if shipped["config"] == config.to_dict():  # it was shipped before, and is again
        return dict[str, Any](shipped["before"])
    return {key: shipped[key] for key in (*STAGE, "leak", "before") if key in shipped}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train a shipped model, or find its run, and store it."""

    name: tyro.conf.Positional[Literal["scenes", "scenes-beta-clip"]]  # which model


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train a shipped model, or find its run, and store it."""
    name = read_options(Options, arguments, "python -m bclip_core.reproduce.shipping").name
    for place in checkpoints.SHIPPED.values():  # what a kill left half-done
        take_back(place.parent, promotion_of(place)[0])
    stages = shipped_runs(name)
    for stage in stages:
        last = name == BETA_CLIP and stage is stages[-1]
        print(ship_pretrained(obtain([stage])[0], name, KEY_BLUR if last else 0.0))


if __name__ == "__main__":
    run_command(main, ValueError)
