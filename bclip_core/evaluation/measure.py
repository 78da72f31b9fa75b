"""One checkpoint on one data set: `python -m bclip_core.evaluation --data-set urban1k ...`.

The result is a JSON in the runs folder: metrics with intervals, chance and counts, what exactly the
data were (counts and SHA-256), how it was measured, the checkpoint, and the usual provenance. Its
name ends in `full` when the data set is complete and in `mini` when pictures were left out; the two
never share a table.

`python -m bclip_core.reproduce.promote full` copies finished results into results/reference, from
which notebook 10 fills the papers' tables.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import own as checkpoints
from bclip_core.checkpoints.weights import read_weights
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig
from bclip_core.config.command_line import read_options
from bclip_core.data import real
from bclip_core.data.real.sets import AnySet
from bclip_core.evaluation.protocols.regions import measure_regions
from bclip_core.evaluation.protocols.retrieval import (
    Measured,
    measure_classes,
    measure_retrieval,
)
from bclip_core.model import BClip
from bclip_core.records.files import sha256
from bclip_core.records.machine import default_device
from bclip_core.records.results import code_version, save_result

LEVELS = ("hard", "medium", "easy", "trivial")
RANDOM = "random"


def open_model(source: str, architecture: str = "", quick_gelu: bool | None = None) -> BClip:
    """Any weights that the collection reads, told apart by what is in the file.

    Args:
        source: a file of `checkpoints.save`, a checkpoint of β-CLIP's authors, a folder or file of
            open_clip, a tag of open_clip, or "random" for fresh weights with a fresh pooler.
        architecture: where the source does not tell it: for tags and random weights.
        quick_gelu: where the source does not tell it, see `checkpoints.import_open_clip`.

    Raises:
        CheckpointError, ConfigError: it cannot be used; the message says why.
    """
    path, name = Path(source), architecture or None
    if source == RANDOM:
        torch.manual_seed(0)
        config = BackboneConfig(name or "ViT-B-16", quick_gelu=quick_gelu is not False)
        return checkpoints.build_model(config, PoolerConfig())
    if checkpoints.own_weights(source) is not None:
        return checkpoints.load(checkpoints.own_weights(source) or path)
    if (
        path.is_file()
        and path.suffix != ".safetensors"
        and "visual.cls_token" in read_weights(path)
    ):
        return checkpoints.import_released(path, name)
    return checkpoints.import_open_clip(source, name, quick_gelu=quick_gelu)


def measure(
    model: BClip,
    data_set: str,
    root: Path | None = None,
    *,
    images: Path | None = None,
    allow_missing: bool = False,
    split: str = "",
    conditioned: str = "all",
    progress: bool = False,
) -> tuple[Measured, list[dict[str, Any]], bool]:
    """A model on a data set by the protocol of its task.

    Args:
        model: in eval mode afterwards.
        data_set: a name of `real.BENCHMARKS`.
        root: its folder; None takes it below $BCLIP_DATA.
        images: folder of its pictures where they lie elsewhere.
        allow_missing: use the pictures that are there, instead of refusing an incomplete folder.
        split: which split; "" takes "test", and all levels for regions.
        conditioned: as `real_benchmark.measure_retrieval`.
        progress: show bars.

    Returns:
        What was measured, the manifest of every split that was read, and whether all are complete.

    Raises:
        ValueError: unknown data set or split.
        DataError, LayoutError: the data are not as they should be.
    """
    record = real.get(data_set)
    missing = "skip" if allow_missing else "raise"
    if record.task == "regions":
        levels = {
            level: real.load_regions(data_set, root, level, images=images, missing=missing)
            for level in ([split] if split else LEVELS)
        }
        return _result(measure_regions(model, levels, progress=progress), list(levels.values()))
    if record.task == "classes":
        labelled = real.load_labelled(data_set, root, split or "test")
        return _result(measure_classes(model, labelled, progress=progress), [labelled])
    captions = real.load_captions(data_set, root, split or "test", images=images, missing=missing)
    found = measure_retrieval(model, captions, conditioned=conditioned, progress=progress)
    return _result(found, [captions])


def _result(
    measured: Measured, sets: Sequence[AnySet]
) -> tuple[Measured, list[dict[str, Any]], bool]:
    return measured, [real.manifest(one) for one in sets], all(map(is_complete, sets))


def is_complete(found: AnySet) -> bool:
    """Whether a set has every item of its split but those that the official files spoil."""
    record = real.get(found.name)
    return len(found.items) + len(record.known) >= record.splits[found.split]


def describe_model(model: BClip, source: str) -> dict[str, Any]:
    """What a result says about its model: file name, SHA-256, architecture, pooler."""
    path = Path(source)
    return {
        "checkpoint": path.name,
        "sha256": sha256(path) if path.is_file() else None,
        "backbone": model.backbone.config.replace(pretrained="").to_dict(),
        "pooler": None if model.pooler is None else model.pooler.config.to_dict(),
    }


@dataclass(frozen=True, kw_only=True)
class Options:
    """One checkpoint on one data set."""

    data_set: str  # its name; `python -m bclip_core.data.real` lists them
    checkpoint: str  # file, folder, open_clip tag or random
    label: str  # name of the column, e.g. beta-clip-bce
    root: Path | None = None  # its folder; None: below $BCLIP_DATA
    images: Path | None = None  # folder of its pictures, where elsewhere
    split: str = ""  # "": test; all levels of FG-OVD
    architecture: str = ""  # for tags and random, e.g. ViT-B-16
    quick_gelu: bool | None = None  # where weights do not tell
    allow_missing: bool = False  # a subset; the result is `mini`
    conditioned: Literal["all", "two-stage", "none"] = "all"  # pooled retrieval
    device: str = ""  # "": cuda where there is one


def run(options: Options) -> Path:
    """Open, measure, save; returns the result's file."""
    code_version()  # before the work, so that it tells which code did it
    if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", options.label):
        raise ConfigError(f"label={options.label!r}: expected lower-case words joined by hyphens")
    model = open_model(options.checkpoint, options.architecture, options.quick_gelu)
    device = options.device or default_device()
    measured, data, complete = measure(
        model.to(device),
        options.data_set,
        options.root,
        images=options.images,
        allow_missing=options.allow_missing,
        split=options.split,
        conditioned=options.conditioned,
        progress=True,
    )
    values = {
        "data_set": options.data_set,
        "label": options.label,
        "model": describe_model(model, options.checkpoint),
        "data": data,
        "complete": complete,
        "device": device,
        **measured._asdict(),
    }
    size = "full" if complete else "mini"
    return save_result(f"{options.data_set}__{options.label}", size, values)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the result is written; 1 when something was refused, which is printed."""
    try:
        path = run(read_options(Options, arguments, "python -m bclip_core.evaluation"))
    except (CheckpointError, ConfigError, FileNotFoundError, ValueError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0
