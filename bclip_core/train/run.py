"""Runs by configuration: where a configuration's run lives, and what it has left there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from bclip_core.checkpoints import own as checkpoints
from bclip_core.config import RunConfig
from bclip_core.data.scenes import SCENES_VERSION
from bclip_core.data.sources import load_split
from bclip_core.model import BClip
from bclip_core.records.files import read_json, sha256, write_json
from bclip_core.records.machine import default_device
from bclip_core.records.results import runs_folder
from bclip_core.train.resume import read_history

Measure = Callable[[BClip, datasets.Dataset], Mapping[str, Any]]


EVALUATED = {"test": "metrics.json", "validation": "validation.json"}  # split to file


@dataclass(frozen=True)
class Run:
    """A trained run on disk."""

    config: RunConfig
    folder: Path

    def model(self) -> BClip:
        """The trained model, on the CPU."""
        return checkpoints.load(self.folder / "model.safetensors", self.config)

    def history(self) -> list[dict[str, Any]]:
        """One record per update; empty for a method that does not train."""
        return read_history(self.folder / "history.jsonl")

    def metrics(self) -> dict[str, Any]:
        """The scene benchmark of the run, see `scene_benchmark.evaluate`."""
        metrics: dict[str, Any] = read_json(self.folder / "metrics.json")
        return metrics

    def validation(self) -> dict[str, Any]:
        """The cheap part of it on the validation split, see `scene_benchmark.validate`."""
        metrics: dict[str, Any] = read_json(self.folder / EVALUATED["validation"])
        return metrics

    def measured(self, measure: Measure, split: str = "test") -> dict[str, Any]:
        """What `measure` says of the trained model on a split of its scenes; on a GPU if any."""
        model = self.model().to(default_device())
        return dict(measure(model, load_split(self.config.data, split)))

    def kept(self, name: str, measure: Measure, newest: str) -> dict[str, Any]:
        """`measured`, kept as `name`.json beside the metrics.

        Args:
            name: of the file.
            measure: of a model and its test scenes.
            newest: what `measure` gives today, unless it gives nothing at all; a kept measurement
                without it is made again.
        """
        path = self.folder / f"{name}.json"
        values: dict[str, Any] | None = read_json(path) if path.is_file() else None
        if values is None or (values and newest not in values):
            values = self.measured(measure)
            write_json(path, values)
        return values

    @property
    def finished(self) -> bool:
        """Whether the run is trained and evaluated."""
        return self.has("test")

    def has(self, split: str) -> bool:
        """Whether the run is trained and evaluated on that split, "test" or "validation"."""
        return (self.folder / EVALUATED[split]).is_file()


def find(config: RunConfig) -> Run:
    """The run of a configuration, whether it exists on disk yet or not."""
    source = config.backbone.pretrained
    weights = checkpoints.own_weights(source) or (Path(source) if Path(source).is_file() else None)
    inputs = {
        "method": config.method,
        "config": config.changes(),
        "scenes": SCENES_VERSION,
        "pretrained": sha256(weights) if weights else "",
    }
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:10]
    return Run(config, runs_folder() / f"{config.method}-s{config.train.seed}-{digest}")
