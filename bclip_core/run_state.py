"""What a run leaves while it trains: checkpoints to resume from, and its history."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from bclip_core.files import write_atomically, write_json

KEPT_CHECKPOINTS = 2  # the latest, and the one before in case the latest is damaged


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoint folders of a run, oldest first."""
    found = (folder / "checkpoints").glob("update-*")
    return sorted(path for path in found if re.fullmatch(r"update-\d{8}", path.name))


def save_checkpoint(folder: Path, update: int, accelerator: Accelerator) -> None:
    """Weights, optimizer and random states of all ranks, complete or not at all; keeps two."""
    path = folder / "checkpoints" / f"update-{update:08d}"
    # Every rank writes its random state into the same partial folder, so its name is shared.
    partial = path.with_name(f".{path.name}.partial")
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_json(partial / "checkpoint.json", {"update": update})
        write_atomically(path, lambda temporary: partial.rename(temporary))
        for old in list_checkpoints(folder)[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def resume(folder: Path, accelerator: Accelerator) -> int:
    """Load the latest checkpoint that can be read; the number of updates done.

    A damaged one is named and the one before it is taken; 0 when there is none at all.

    Raises:
        RuntimeError: there are checkpoints, but none can be read.
    """
    found = list_checkpoints(folder)
    for path in reversed(found):
        try:
            update = int(json.loads((path / "checkpoint.json").read_text())["update"])
            accelerator.load_state(str(path))
        except Exception as error:  # whatever a damaged file raises: the one before may be whole
            print(f"checkpoint {path} cannot be read ({error}): trying the one before it")
            continue
        return update
    if found:
        raise RuntimeError(f"none of the checkpoints of {folder} can be read; remove it to restart")
    return 0


def append_line(path: Path, record: dict[str, Any]) -> None:
    """One JSON line, flushed."""
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(record) + "\n")


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
