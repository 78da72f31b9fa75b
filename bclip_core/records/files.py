"""Writing files so that a kill or a full disk leaves the previous one whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
REPOSITORY = Path(__file__).resolve().parents[2]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: `._x.jpg`, `.ipynb_checkpoints`, `__MACOSX`.

    Args:
        name: of the file, or its path below the folder that is listed.
    """
    return any(part.startswith(".") or part.lower() in _LEFT_BEHIND for part in Path(name).parts)


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary neighbour (file or folder), then move it to `path` in one step.

    A folder that already stands at `path` is replaced. When `write` fails, `path` is untouched and
    the temporary is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(temporary)
        _flush_to_disk(temporary)
        if temporary.is_dir() and path.exists():
            shutil.rmtree(path)  # os.replace cannot replace a folder that has content
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
    return path


def _flush_to_disk(path: Path) -> None:
    for part in path.rglob("*") if path.is_dir() else [path]:
        if part.is_file():
            with part.open("rb") as handle:
                os.fsync(handle.fileno())


def write_json(path: Path, value: Any) -> Path:
    """`value` as indented, sorted JSON, atomically. NaN is refused: it is not JSON."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Parsed JSON.

    Raises:
        ValueError: broken JSON; file and position are named.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: broken JSON at line {error.lineno}: {error.msg}") from error


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
