"""Runs by configuration: where a configuration's run lives, and what it has left there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from bclip_core import checkpoints
from bclip_core.checkpoints.opening import WEIGHT_SUFFIXES
from bclip_core.checkpoints.own import WEIGHTS
from bclip_core.config import ConfigError, RunConfig
from bclip_core.data.real.identity import rows_digest
from bclip_core.data.scenes import SCENES_VERSION
from bclip_core.data.sources import load_split
from bclip_core.model import METHODS, BClip
from bclip_core.records.files import is_hidden, read_json, read_record, sha256, write_json
from bclip_core.records.machine import default_device
from bclip_core.records.results import runs_folder
from bclip_core.train.resume import read_history

Measure = Callable[[BClip, datasets.Dataset], Mapping[str, Any]]

DATA = "data.json"  # what the run was trained on, in its folder
BEGUN_FROM = "begun_from.json"  # the weights that it started from
EVALUATED = {"test": "metrics.json", "validation": "validation.json"}  # split to file
MEASURED_ON = "measured_on.json"  # which held-out data of a data set of photographs


@dataclass(frozen=True)
class Run:
    """A trained run on disk."""

    config: RunConfig
    folder: Path

    def model(self) -> BClip:
        """The trained model, on the CPU."""
        return checkpoints.load(self.folder / WEIGHTS, self.config)

    def history(self) -> list[dict[str, Any]]:
        """One record per update; empty for a method that does not train."""
        return read_history(self.folder / "history.jsonl")

    def metrics(self) -> dict[str, Any]:
        """All metrics of the run: `protocols.scenes.evaluate`; of photographs `HeldOut.measure`."""
        metrics: dict[str, Any] = read_json(self.folder / "metrics.json")
        return metrics

    def validation(self) -> dict[str, Any]:
        """The cheap part of it on the validation split, see `protocols.scenes.validate`."""
        metrics: dict[str, Any] = read_json(self.folder / EVALUATED["validation"])
        return metrics

    def measured_on(self) -> dict[str, Any]:
        """What `metrics` are of: data set, split, levels, folder, SHA-256; what is absent and why.

        Empty for scenes, which are made from the configuration.
        """
        path = self.folder / MEASURED_ON
        return dict(read_record(path, "data", "absent")) if path.is_file() else {}

    def require_same_data(self, read: Callable[[], datasets.Dataset] | None = None) -> None:
        """Refuse to go on with, or to reuse, a run whose training data have changed since.

        Scenes are made from the configuration. Of other data, a run that is trained already is
        used where they cannot be read any more, which is said.

        Args:
            read: gives the training rows; None reads them here.

        Raises:
            ConfigError: both digests are named.
        """
        if self.config.data.name == "scenes" or not (self.folder / DATA).is_file():
            return
        try:
            rows = read() if read else load_split(self.config.data, "train")
        except ConfigError as error:
            if not (self.folder / WEIGHTS).is_file():
                raise
            print(f"run {self.folder.name}: whether its data have changed is not known: {error}")
            return
        require_same_data(self.folder, self.config, rows)

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
        """Whether the run is trained and evaluated on that split, "test" or "validation".

        Raises:
            ConfigError: another split.
        """
        if split not in EVALUATED:
            raise ConfigError(f"split={split!r}: expected one of {', '.join(EVALUATED)}")
        return (self.folder / EVALUATED[split]).is_file()


def require_same_data(folder: Path, config: RunConfig, rows: datasets.Dataset) -> None:
    """Refuse rows that are not those a run was begun with.

    The key of a run is made of its configuration, which names a folder and not what is in it.

    Args:
        folder: of the run.
        config: of the run; scenes are made from it and need no digest.
        rows: what is to be trained on.

    Raises:
        ConfigError: the data have changed; both digests are named.
        ValueError: the kept digest cannot be read; its file is named.
    """
    path = folder / DATA
    if config.data.name == "scenes" or not path.is_file():
        return
    kept, found = read_record(path, "sha256", "rows"), rows_digest(rows)
    if kept["sha256"] != found:
        raise ConfigError(
            f"folder {folder}: its run was begun with other data: {config.data.name!r} had "
            f"{kept['rows']} rows with SHA-256 {kept['sha256']}, now {len(rows)} with {found}; "
            "restore the data, or train in another folder"
        )


def keep_data(folder: Path, config: RunConfig, rows: datasets.Dataset) -> None:
    """Keep beside a new run what it is trained on, for `require_same_data`."""
    if config.data.name != "scenes" and not (folder / DATA).is_file():
        digest = rows_digest(rows)
        write_json(folder / DATA, {"name": config.data.name, "rows": len(rows), "sha256": digest})


def _files_digest(folder: Path) -> str:
    """What the weight files of a folder hold; "" for what is no folder, such as a tag."""
    if not folder.name or not folder.is_dir():
        return ""
    there = (path for path in folder.iterdir() if path.is_file())
    files = (path for path in there if path.suffix.lower() in WEIGHT_SUFFIXES)
    held = [f"{path.name} {sha256(path)}" for path in sorted(files) if not is_hidden(path.name)]
    return hashlib.sha256("\n".join(held).encode()).hexdigest()


def weights_digest(source: str) -> str:
    """What a backbone's `pretrained` holds now; "" for what is not kept in files, such as a tag."""
    file = checkpoints.SHIPPED.get(source, Path(source))
    return sha256(file) if file.is_file() else _files_digest(file)


def require_same_start(folder: Path, config: RunConfig) -> None:
    """Refuse a run whose first weights have changed since it was begun.

    Its configuration names a file and not what is in it. Where that is gone, nothing is refused.

    Args:
        folder: of the run.
        config: of the run.

    Raises:
        ConfigError: both digests are named.
        ValueError: the kept digest cannot be read; its file is named.
    """
    path, source = folder / BEGUN_FROM, config.backbone.pretrained
    if not path.is_file():
        return
    kept, found = read_record(path, "sha256")["sha256"], weights_digest(source)
    if found and found != kept:
        raise ConfigError(
            f"folder {folder}: its run was begun from other weights: {source!r} had SHA-256 "
            f"{kept}, now {found}; restore them, or train in another folder"
        )


def keep_start(folder: Path, config: RunConfig) -> None:
    """Keep beside a new run what it starts from, for `require_same_start`.

    The shipped weights are part of the code, whose commit is in a result's provenance.
    """
    source = config.backbone.pretrained
    digest = "" if source in checkpoints.SHIPPED else weights_digest(source)
    if digest:
        write_json(folder / BEGUN_FROM, {"sha256": digest})


def find(config: RunConfig) -> Run:
    """The run of a configuration, whether it exists on disk yet or not."""
    inputs = {
        "method": config.method,
        "config": config.changes(),
        "scenes": SCENES_VERSION,
        "pretrained": weights_digest(config.backbone.pretrained),
    }
    method = METHODS.get(config.method)  # a reader's own one may be gone
    if method is not None and method.patches not in ("", config.backbone.patches):
        inputs["patches"] = method.patches
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:10]
    return Run(config, runs_folder() / f"{config.method}-s{config.train.seed}-{digest}")
