"""One checkpoint on one data set: `python -m bclip_core.evaluation --data-set urban1k ...`.

The result is a JSON in the runs folder: metrics with intervals, chance and counts, what exactly the
data were (counts and SHA-256), how it was measured, the checkpoint, and the usual provenance. Its
name ends in `full` when the data set is complete and in `mini` when pictures were left out; the two
never share a table.

`python -m bclip_core.reproduce.promote full` copies finished results into results/reference, from
which notebook 10 fills the papers' tables.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import open_model
from bclip_core.config import ConfigError
from bclip_core.data import real
from bclip_core.data.real.sets import AnySet
from bclip_core.evaluation.protocols.regions import measure_regions
from bclip_core.evaluation.protocols.retrieval import (
    CONDITIONED,
    Measured,
    measure_classes,
    measure_retrieval,
)
from bclip_core.model import BClip
from bclip_core.records.files import sha256
from bclip_core.records.machine import default_device
from bclip_core.records.results import code_version, save_result

LEVELS = ("hard", "medium", "easy", "trivial")


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


def run(options: argparse.Namespace) -> Path:
    """Open, measure, save; returns the result's file."""
    code_version()  # before the work, so that it tells which code did it
    if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", options.label):
        raise ConfigError(f"label={options.label!r}: expected lower-case words joined by hyphens")
    model = open_model(
        options.checkpoint, architecture=options.architecture, quick_gelu=options.quick_gelu
    )
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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m bclip_core.evaluation", description="One checkpoint on one data set."
    )
    made.add_argument("--data-set", required=True, help="one of " + ", ".join(real.BENCHMARKS))
    made.add_argument("--root", type=Path, help="its folder (default: below $BCLIP_DATA)")
    made.add_argument("--images", type=Path, help="folder of its pictures, where elsewhere")
    made.add_argument("--split", default="", help="default: test; all levels of FG-OVD")
    made.add_argument("--checkpoint", required=True, help="whatever `checkpoints.open_model` opens")
    made.add_argument("--architecture", default="", help="for tags and random, e.g. ViT-B-16")
    made.add_argument(
        "--quick-gelu", action=argparse.BooleanOptionalAction, help="where weights do not tell"
    )
    made.add_argument("--label", required=True, help="name of the column, e.g. beta-clip-bce")
    made.add_argument("--allow-missing", action="store_true", help="a subset; the result is `mini`")
    made.add_argument(
        "--conditioned", default="all", choices=CONDITIONED,
        help="pooled retrieval (default: %(default)s)",
    )  # fmt: skip
    made.add_argument("--device", default="", help="default: cuda where there is one")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the result is written; 1 when something was refused, which is printed."""
    options = parser().parse_args(arguments)
    try:
        path = run(options)
    except (CheckpointError, ConfigError, FileNotFoundError, ValueError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0
