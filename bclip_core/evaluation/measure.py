"""One checkpoint on one data set: `python -m bclip_core.evaluation --data-set urban1k ...`.

The result is a JSON in the runs folder: metrics with intervals, chance and counts, what exactly the
data were (split or levels, folder, counts and SHA-256), how it was measured, the checkpoint, and
the usual provenance. Its name tells the protocol where that is not ours (`protocols.named`), and
ends in `full` when the data set is complete and in `mini` when
pictures were left out; the two never share a table. Another split than the test split is part of
the name, and so is a digest of the data where another folder's other data have that name already.

`python -m bclip_core.reproduce.promote full` copies finished results into results/reference, from
which notebook 10 fills the papers' tables.
"""

from __future__ import annotations

import copy
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import open_model
from bclip_core.config import ConfigError
from bclip_core.config.command_line import read_options
from bclip_core.data import real
from bclip_core.data.real.identity import identity
from bclip_core.data.real.loading import folder_above
from bclip_core.data.real.sets import AnySet
from bclip_core.data.real.shard_files import NAME as SHARDS
from bclip_core.evaluation.encoding import require_vocabulary
from bclip_core.evaluation.protocols.named import OURS, Protocol, get_protocol
from bclip_core.evaluation.protocols.regions import measure_regions
from bclip_core.evaluation.protocols.retrieval import (
    Measured,
    measure_classes,
    measure_retrieval,
    tokenizer_of,
)
from bclip_core.evaluation.usable import BAD_ROWS, SomeSet, usable_items
from bclip_core.model import BClip
from bclip_core.records.files import read_record, sha256, what_to_do
from bclip_core.records.machine import require_device
from bclip_core.records.results import (
    code_version,
    require_runs_folder,
    runs_folder,
    save_result,
)

LEVELS = ("hard", "medium", "easy", "trivial")
_NAMED = 20  # items left out that a result names; it counts all


def measure(
    model: BClip,
    data_set: str,
    root: Path | None = None,
    *,
    images: Path | None = None,
    allow_missing: bool = False,
    bad_rows: str = "raise",
    links: str = "inside",
    split: str = "",
    conditioned: str = "all",
    protocol: Protocol = OURS,
    progress: bool = False,
) -> tuple[Measured, list[dict[str, Any]], bool]:
    """A model on a data set by the protocol of its task.

    Args:
        model: in eval mode afterwards.
        data_set: a name of `real.DATA_SETS`.
        root: its folder; None takes it below $BCLIP_DATA.
        images: folder of its pictures where they lie elsewhere.
        allow_missing: use what is there, instead of refusing an incomplete folder; it leaves out
            what `bad_rows="skip"` does.
        bad_rows: malformed rows, missing or broken pictures and blank captions: "raise", or "skip"
            leaves them out, counted and named; the result is never complete then.
        links: "inside", or "follow" links that lead out of the folder.
        split: which split; "" takes "test", and all levels for regions.
        conditioned: as `protocols.retrieval.measure_retrieval`.
        protocol: whose choices, see `protocols.named`; the data set is the named one, whatever
            `Protocol.reads` says.
        progress: show bars.

    Returns:
        What was measured, the identity of every split that was read (with what was left out), and
        whether all are complete.

    Raises:
        ValueError: unknown data set or split.
        DataError, LayoutError: the data are not as they should be.
        BrokenImageError: a picture cannot be decoded and `bad_rows` is "raise".
    """
    if bad_rows not in BAD_ROWS:
        raise ValueError(f"bad_rows={bad_rows!r}: expected one of {', '.join(BAD_ROWS)}")
    record = real.get(data_set)
    if protocol.precision == "bfloat16":
        model = copy.deepcopy(model).to(torch.bfloat16)
    bad_rows = "skip" if allow_missing else bad_rows
    given: Any = {"on_error": bad_rows, "links": links}
    pictured: Any = given | {"images": images, "missing": bad_rows}
    tokenizer, size = tokenizer_of(model), model.backbone.image_size[0]
    require_vocabulary(model, tokenizer)  # before a picture is read

    def usable(found: SomeSet) -> SomeSet:
        return usable_items(found, tokenizer, size, bad_rows)

    if record.task == "regions":
        levels = {
            level: usable(real.load_regions(data_set, root, level, **pictured))
            for level in ([split] if split else LEVELS)
        }
        found = measure_regions(model, levels, protocol=protocol, progress=progress)
        return _result(found, list(levels.values()))
    if record.task == "classes":
        labelled = usable(real.load_labelled(data_set, root, split or "test", **given))
        found = measure_classes(model, labelled, protocol=protocol, progress=progress)
        return _result(found, [labelled])
    pictured |= {"lines": protocol.lines}
    captions = usable(real.load_captions(data_set, root, split or "test", **pictured))
    found = measure_retrieval(
        model, captions, conditioned=conditioned, protocol=protocol, progress=progress
    )
    return _result(found, [captions])


def _result(
    measured: Measured, sets: Sequence[AnySet]
) -> tuple[Measured, list[dict[str, Any]], bool]:
    data = [identity(one) | _left_out(one) for one in sets]
    return measured, data, all(map(is_complete, sets))


def is_complete(found: AnySet) -> bool:
    """Whether a set is its whole split: every item, but for those that the official files spoil.

    A known fault counts where it occurred alone; anything else that was left out makes a subset. A
    split of unknown total is whole when it was read to its end and nothing was left out. A file
    that belongs to no row takes nothing away from an official split whose rows are all there.
    """
    if found.name == SHARDS:
        return found.whole and not found.left_out
    record = real.get(found.name)
    total = record.splits[found.split]
    known = {
        name
        for name, note in record.known.items()
        for _, reason in found.left_out
        if reason.startswith(f"picture {name!r}: ") and reason.endswith(f"({note})")
    }
    rows = [one for one in found.left_out if not (total and isinstance(one, real.UnusedFile))]
    if not found.whole or len(rows) > len(known):
        return False
    return len(found.items) + len(known) == total if total else bool(found.items)


def _left_out(found: AnySet) -> dict[str, Any]:
    """The first items that a set leaves out, by place and reason."""
    return {"left_out_items": [list(one) for one in found.left_out[:_NAMED]]}


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
    bad_rows: Literal["raise", "skip"] = "raise"  # skip: left out and named; the result is `mini`
    links: Literal["inside", "follow"] = "inside"  # follow: also links that lead out of the folder
    conditioned: Literal["all", "two-stage", "none"] = "all"  # pooled retrieval
    protocol: str = "ours"  # whose choices: beta-clip, long-clip, flair, fg-clip, goal, mulclip
    device: str = ""  # "": cuda where there is one


def run(options: Options) -> Path:
    """Open, measure, save; returns the result's file."""
    code_version()  # before the work, so that it tells which code did it
    require_runs_folder()
    if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", options.label):
        raise ConfigError(f"label={options.label!r}: expected lower-case words joined by hyphens")
    protocol = get_protocol(options.protocol)
    data_set, split = protocol.data_set(options.data_set)
    split = options.split or split
    _refuse_unread(options, real.get(data_set), split)
    device = require_device(options.device)
    model = open_model(
        options.checkpoint, architecture=options.architecture, quick_gelu=options.quick_gelu
    )
    if options.conditioned == "two-stage" and model.pooler is None:
        raise ConfigError("--conditioned=two-stage: expected a model with a pooler")
    root = options.root or _default_root(data_set)
    measured, data, complete = measure(
        model.to(device),
        data_set,
        root,
        images=options.images,
        allow_missing=options.allow_missing,
        bad_rows=options.bad_rows,
        links=options.links,
        split=split,
        conditioned=options.conditioned,
        protocol=protocol,
        progress=True,
    )
    values = {
        "data_set": data_set,
        "label": options.label,
        "splits": [one["split"] for one in data],
        "folder": str(Path(root).absolute()) if root else "",
        "images": str(Path(options.images).absolute()) if options.images else "",
        "model": describe_model(model, options.checkpoint),
        "data": data,
        "complete": complete,
        "device": device,
        **measured._asdict(),
    }
    size = "full" if complete else "mini"
    return save_result(_result_name(values, split, size), size, values)


def _refuse_unread(options: Options, record: real.DataSet, split: str) -> None:
    """Refuse options that a data set's task does not read, and splits that it has not."""
    if split and split not in record.splits:
        raise ConfigError(f"--split={split!r}: expected one of {', '.join(record.splits)}")
    unread = {
        "--images": record.task == "classes" and options.images is not None,
        "--conditioned": record.task != "captions" and options.conditioned != "all",
    }
    for flag in (flag for flag, given in unread.items() if given):
        raise ConfigError(f"{flag}: not read for {record.name}, whose task is {record.task}")


def _default_root(data_set: str) -> Path | None:
    above, record = folder_above(), real.get(data_set)
    return above / record.folder if above and record.supply is None else None


def _result_name(values: Mapping[str, Any], split: str, size: str) -> str:
    """Data set and label, protocol and split where not the usual ones, a digest where it is taken.

    A result is replaced by one of the same data, or of the same folder; never by another folder's
    other data.
    """
    usual = split in ("", "test")
    protocol = values["protocol"]["name"]
    name = f"{values['data_set']}__{values['label']}" + ("" if usual else f"__{split}")
    name += "" if protocol == OURS.name else f"__{protocol}"
    path = runs_folder() / "tables" / f"{name}__{size}.json"
    if not path.is_file():
        return name
    try:
        there = read_record(path, "values")["values"]
    except (OSError, ValueError):  # what was measured is kept beside it, whatever lies there
        there = None
    if isinstance(there, dict) and (
        there.get("folder", None) == values["folder"] or _digests(there) == _digests(values)
    ):
        return name
    digest = hashlib.sha256("".join(_digests(values)).encode()).hexdigest()
    return f"{name}__{digest[:8]}"


def _digests(values: Mapping[str, Any]) -> list[str]:
    data = values.get("data")  # not in the oldest results
    splits = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    return [str(one.get(kind, "")) for one in splits for kind in ("sha256", "pictures_sha256")]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the result is written; 1 when something was refused, which is printed."""
    try:
        path = run(read_options(Options, arguments, "python -m bclip_core.evaluation"))
    except (CheckpointError, ConfigError, OSError, ValueError) as error:
        print(f"measure: {error}{what_to_do(error)}", file=sys.stderr)
        return 1
    print(path)
    return 0
