"""What a run leaves while it trains: checkpoints to resume from, and its history."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bclip_core.backbone import CheckpointError
from bclip_core.config import ConfigError, RunConfig
from bclip_core.records.files import (
    naming,
    parse_json,
    read_json,
    sha256,
    system_error,
    write_atomically,
    write_json,
)

CHECKPOINTS = "checkpoints"  # the folder of a run that holds them
KEPT_CHECKPOINTS = 2  # the latest, and the one before in case the latest is damaged
FREE = frozenset(  # what a resumed run may change: where things are, and what no weight depends on
    {"train.loader_workers", "train.checkpoint_every", "train.keep_epochs", "train.gradient_cache",
     "train.activation_checkpointing", "train.update_in_backward", "train.memory",
     "data.folder", "data.images"}
)  # fmt: skip


def require_same_run(folder: Path, config: RunConfig) -> None:
    """Refuse to mix two runs in one folder.

    Raises:
        ConfigError: `folder` holds a run with another configuration, not counting `FREE`; every
            difference is listed.
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
        elif have != want and prefix + name not in FREE:
            found.append(f"{prefix}{name} is {have!r} there, but {want!r} was asked for")
    return found


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoint folders of a run, oldest first."""
    found = (folder / CHECKPOINTS).glob("update-*")
    return sorted(path for path in found if re.fullmatch(r"update-\d{8}", path.name))


def save_checkpoint(folder: Path, update: int, accelerator: Accelerator) -> None:
    """Weights, optimizer and random states of all ranks, complete or not at all; keeps two.

    Raises:
        OSError: it cannot be written; what is half-written is removed, earlier ones are kept.
    """
    path = folder / CHECKPOINTS / f"update-{update:08d}"
    # Every rank writes its random state into the same partial folder, so its name is shared.
    partial = path.with_name(f".{path.name}.partial")
    try:
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            digests = {part.name: sha256(part) for part in partial.iterdir()}
            write_json(partial / "checkpoint.json", {"update": update, "sha256": digests})
            write_atomically(path, lambda temporary: partial.rename(temporary))
    except (OSError, RuntimeError, SafetensorError) as error:  # each library has its own for a disk
        shutil.rmtree(partial, ignore_errors=True)
        reason = f"checkpoint {path} cannot be saved: {_one_line(error)}; earlier ones are kept"
        raise OSError(system_error(error) or errno.EIO, reason) from error
    if accelerator.is_main_process:
        for old in list_checkpoints(folder)[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity; one question to the device for all."""
    names = [name for name, value in state.items() if value.is_floating_point()]
    if not names:
        return []
    finite = torch.stack([state[name].isfinite().all() for name in names]).tolist()
    return [name for name, good in zip(names, finite, strict=True) if not good]


def last_good_checkpoint(folder: Path) -> Path | None:
    """The latest that can be read and whose weights are finite."""
    for path in reversed(list_checkpoints(folder)):
        try:
            _require_undamaged(path, read_json(path / "checkpoint.json").get("sha256", {}))
            for part in path.glob("model*.safetensors"):
                _require_finite(load_file(part))
        except Exception:  # whatever a damaged file raises
            continue
        return path
    return None


def _require_finite(state: Mapping[str, Tensor]) -> None:
    broken = not_finite(state)
    if broken:
        raise CheckpointError(f"weights are not finite: {', '.join(broken[:3])}")


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
            for part in path.glob("model*.safetensors"):
                _require_finite(load_file(part))
            accelerator.load_state(str(path))
        except Exception as error:  # whatever a damaged file raises: the one before may be whole
            print(f"checkpoint {path} cannot be read ({error}): trying the one before it")
            continue
        if accelerator.is_main_process:
            _tell_of_other_processes(path, accelerator.num_processes)
        return int(record["update"])
    if found:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"folder {folder}: no checkpoint can be read ({names}); "
                              "remove the folder to train from the start")  # fmt: skip
    return 0


def _tell_of_other_processes(path: Path, now: int) -> None:
    """The batches are those of any number of processes; rounding, and each one's draws, are not."""
    before = len(list(path.glob("random_states_*.pkl")))
    if before != now:
        print(
            f"checkpoint {path} is of {before} process{'es' if before > 1 else ''}, {now} "
            f"go{'es' if now == 1 else ''} on: with the same batches, but not bit for bit"
        )


def _require_undamaged(path: Path, digests: dict[str, str]) -> None:
    # accelerate itself would ignore a damaged random state, and take flipped bits for weights.
    for name, digest in digests.items():
        if sha256(path / name) != digest:
            raise CheckpointError(f"{name} is damaged: its SHA-256 is not the recorded one")


def append_line(path: Path, record: dict[str, Any]) -> None:
    """One JSON line, flushed. NaN is refused: it is not JSON.

    Raises:
        OSError: it cannot be written; the file is named.
    """
    with naming(path), path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(record, allow_nan=False) + "\n")


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a history file; a last line cut by a kill is left out.

    Raises:
        ValueError: another line is damaged; file and line are named.
    """
    records = []
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            record = parse_json(line)
            if not isinstance(record, dict) or not isinstance(record["update"], int):
                raise ValueError("no update's record")
        except (ValueError, KeyError) as error:  # UnicodeDecodeError is a ValueError too
            if number == len(lines):
                break
            raise ValueError(
                f"{path}: line {number} is damaged: expected an update's record in JSON; "
                "mend or remove that line"
            ) from error
        records.append(record)
    return records


def truncate_history(path: Path, update: int) -> None:
    """Drop what came after `update`: the resumed run will write it again."""
    kept = [record for record in read_history(path) if record["update"] <= update]
    text = "".join(json.dumps(record) + "\n" for record in kept)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
