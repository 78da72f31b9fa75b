"""What a run leaves while it trains: checkpoints to resume from, and its history."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from bclip_core.backbone import CheckpointError
from bclip_core.config import ConfigError, RunConfig
from bclip_core.records.files import read_json, sha256, write_atomically, write_json

CHECKPOINTS = "checkpoints"  # the folder of a run that holds them
KEPT_CHECKPOINTS = 2  # the latest, and the one before in case the latest is damaged


def require_same_run(folder: Path, config: RunConfig) -> None:
    """Refuse to mix two runs in one folder.

    Raises:
        ConfigError: `folder` holds a run with another configuration; every difference is listed.
    """
    if not (folder / "config.json").is_file():
        return
    stored = RunConfig.from_dict(read_json(folder / "config.json"))
    differing = _differences(stored.to_dict(), config.to_dict())
    if differing:
        raise ConfigError(f"folder {folder}: holds another run: {'; '.join(differing)}")


def _differences(stored: dict[str, Any], asked: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name in dict.fromkeys((*asked, *stored)):  # a term's own settings are there where changed
        have, want = stored.get(name), asked.get(name)
        if isinstance(have, dict) and isinstance(want, dict):
            found += _differences(have, want, f"{prefix}{name}.")
        elif have != want:
            found.append(f"{prefix}{name} is {have!r} there, but {want!r} was asked for")
    return found


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoint folders of a run, oldest first."""
    found = (folder / CHECKPOINTS).glob("update-*")
    return sorted(path for path in found if re.fullmatch(r"update-\d{8}", path.name))


def save_checkpoint(folder: Path, update: int, accelerator: Accelerator) -> None:
    """Weights, optimizer and random states of all ranks, complete or not at all; keeps two."""
    path = folder / CHECKPOINTS / f"update-{update:08d}"
    # Every rank writes its random state into the same partial folder, so its name is shared.
    partial = path.with_name(f".{path.name}.partial")
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        digests = {part.name: sha256(part) for part in partial.iterdir()}
        write_json(partial / "checkpoint.json", {"update": update, "sha256": digests})
        write_atomically(path, lambda temporary: partial.rename(temporary))
        for old in list_checkpoints(folder)[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def resume(folder: Path, accelerator: Accelerator) -> int:
    """Load the latest checkpoint that can be read; the number of updates done.

    A damaged one is named and the one before it is taken; 0 when there is none at all. What a
    kill left of a half-written one is removed.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    if accelerator.is_main_process:
        for partial in (folder / CHECKPOINTS).glob(".update-*.partial"):
            shutil.rmtree(partial)
    found = list_checkpoints(folder)
    for path in reversed(found):
        try:
            record = read_json(path / "checkpoint.json")
            _require_undamaged(path, record.get("sha256", {}))
            accelerator.load_state(str(path))
        except Exception as error:  # whatever a damaged file raises: the one before may be whole
            print(f"checkpoint {path} cannot be read ({error}): trying the one before it")
            continue
        return int(record["update"])
    if found:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"folder {folder}: no checkpoint can be read ({names}); "
                              "remove the folder to train from the start")  # fmt: skip
    return 0


def _require_undamaged(path: Path, digests: dict[str, str]) -> None:
    # accelerate itself would ignore a damaged random state, and take flipped bits for weights.
    for name, digest in digests.items():
        if sha256(path / name) != digest:
            raise CheckpointError(f"{name} is damaged: its SHA-256 is not the recorded one")


def append_line(path: Path, record: dict[str, Any]) -> None:
    """One JSON line, flushed. NaN is refused: it is not JSON."""
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(record, allow_nan=False) + "\n")


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a history file; a line cut by a kill is left out."""
    records = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
    return records


def truncate_history(path: Path, update: int) -> None:
    """Drop what came after `update`: the resumed run will write it again."""
    kept = [record for record in read_history(path) if record["update"] <= update]
    text = "".join(json.dumps(record) + "\n" for record in kept)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
