"""Writing files so that a kill or a full disk leaves the previous one whole."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary neighbour (file or folder), then move it to `path` in one step.

    A folder that already stands at `path` is replaced. When `write` fails, `path` is untouched and
    the temporary is removed. Files get the permissions that the process's umask leaves.

    Raises:
        OSError: the disk is full, the folder cannot be written, ...; `path` is named.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = _usual_mode(temporary)
        write(temporary)
        _finish_files(temporary, mode)
        if temporary.is_dir() and path.exists():
            shutil.rmtree(path)  # os.replace cannot replace a folder that has content
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"{path} cannot be written: {reason}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
    return path


def _usual_mode(path: Path) -> int:
    """The permissions that a new file gets here, by the process's umask."""
    path.touch()  # asking for the umask itself means changing it, under the feet of other threads
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def _finish_files(path: Path, mode: int) -> None:
    """All of it on the disk, with usual permissions: some libraries write for the owner alone."""
    for part in path.rglob("*") if path.is_dir() else [path]:
        if part.is_file():
            part.chmod(mode)
            with part.open("rb") as handle:
                os.fsync(handle.fileno())


def remove_partial(path: Path) -> None:
    """Remove what killed writers of `path` left half-written; for whom is its only writer now."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


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


_LEFT_BY_SYSTEMS = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def is_hidden(path: Path | str) -> bool:
    """Whether a path below a folder of data is no data: what systems and editors leave behind.

    `._photo.jpg` of macOS, `.ipynb_checkpoints`, `__MACOSX`, `Thumbs.db` and everything else whose
    name, or whose folder's name, begins with a dot.
    """
    parts = Path(path).parts
    return any(part.startswith(".") or part in _LEFT_BY_SYSTEMS for part in parts)


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
