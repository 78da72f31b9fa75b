"""Writing files so that a kill or a full disk leaves the previous one whole."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_DEEPEST = 100  # values within values of a record
REPOSITORY = Path(__file__).resolve().parents[2]
_WHAT_TO_DO = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        "free some space, or write to another disk ($BCLIP_RUNS for runs, $BCLIP_CACHE for caches)",
    ),
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST),
        "choose a folder that can be written ($BCLIP_RUNS for runs, $BCLIP_CACHE for caches)",
    ),
    # torch's writer of archives says no more than that a write failed
    errno.EIO: "see whether the disk is full or damaged, or write to another "
    "($BCLIP_RUNS for runs, $BCLIP_CACHE for caches)",
}


def folder_of(variable: str) -> Path | None:
    """The folder that an environment variable names; None where it is not set, or blank.

    A relative one is below the repository, whatever the working directory: kernels and workers have
    others than the shell that started them.

    Raises:
        FileNotFoundError: the home of a user that is not there; the variable is named.
        OSError: a name that is no UTF-8, which several libraries cannot write to.
    """
    given = os.environ.get(variable, "").strip()
    if given != given.encode(errors="ignore").decode():
        reason = f"${variable}={given!r}: expected a folder whose name is UTF-8"
        raise OSError(errno.EILSEQ, reason)
    try:
        return REPOSITORY / from_home(given) if given else None
    except FileNotFoundError as error:
        raise FileNotFoundError(f"${variable}: expected a folder: {error}") from error


def from_home(path: str | os.PathLike[str]) -> Path:
    """A path with `~` and `~USER` replaced.

    Raises:
        FileNotFoundError: nobody's home; the path is named.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"{path}: {str(error).rstrip('.')}") from error


def resolved(path: Path) -> Path:
    """A path without links.

    Raises:
        OSError: a link that leads to itself; it is named.
    """
    try:
        return path.resolve()
    except RuntimeError as error:  # what older Pythons raise
        raise OSError(errno.ELOOP, f"{path}: {os.strerror(errno.ELOOP)}") from error


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: `._x.jpg`, `.ipynb_checkpoints`, `__MACOSX`.

    Args:
        name: of the file, or its path below the folder that is listed.
    """
    return any(part.startswith(".") or part.lower() in _LEFT_BEHIND for part in Path(name).parts)


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
    except Exception as error:
        number = system_error(error)
        if number is None and not isinstance(error, OSError):
            raise  # not the system's
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OSError(number, f"{path} cannot be written: {reason}") from error
    finally:
        with suppress(OSError):  # it could not even be made, which has been told
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


def make_folder(path: Path) -> Path:
    """`path` as a folder, with those above it.

    Raises:
        OSError: it cannot be made; it is named.
    """
    with naming(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def require_writable(folder: Path, variable: str) -> Path:
    """`folder`, made where it is missing, before work whose results go there.

    Args:
        folder: what the variable names, or stands for it where it is not set.
        variable: of the environment.

    Raises:
        OSError: it cannot be written; the variable and its value are named.
    """
    given = os.environ.get(variable, "").strip()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        name = f"${variable}={given!r}" if given else str(folder)
        reason = f"{name}: expected a folder that can be written: {error.strerror}"
        raise OSError(error.errno, reason) from error
    return folder


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the system while `path` is written says which one it is.

    The system itself names no file when a write fails on a full disk.
    """
    try:
        yield
    except OSError as error:
        if error.filename or error.errno is None or str(path) in str(error):
            raise  # it names a file already
        raise OSError(error.errno, f"{path} cannot be written: {error.strerror}") from error


def system_error(error: BaseException) -> int | None:
    """The system's number (errno) behind an error, None where there is none.

    Libraries in Rust (safetensors, tokenizers) raise errors of their own and put the number into
    the text: "I/O error: No space left on device (os error 28)".
    """
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def what_to_do(error: BaseException) -> str:
    """What whoever reads a message can do about an error of the system; "" about any other."""
    advice = _WHAT_TO_DO.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    return f"; {advice}" if advice else ""


def write_json(path: Path, value: Any) -> Path:
    """`value` as indented, sorted JSON, atomically.

    Raises:
        ValueError: NaN, infinity or what is no JSON; the file, the place in it and the value are
            named, and an earlier file stays.
    """
    how: dict[str, Any] = {"indent": 1, "sort_keys": True, "ensure_ascii": False}
    try:
        text = json.dumps(value, allow_nan=False, **how) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        place, found = _no_json(value)
        what = f"{place}={found!r} is not JSON compliant" if place else str(error)
        raise ValueError(
            f"{path}: {what}: expected finite numbers, texts, lists and dictionaries"
        ) from error
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _no_json(value: Any, place: str = "", depth: int = 0) -> tuple[str, Any]:
    """Where the first value lies that JSON cannot hold, as `values.metrics[0].r`, and the value."""
    if depth > _DEEPEST or value is None or isinstance(value, str | bool | int):
        return "", None
    if isinstance(value, float):
        return ("", None) if math.isfinite(value) else (place, value)
    parts: Any = None
    if isinstance(value, dict):
        parts = ((f"{place}.{name}".lstrip("."), part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        parts = ((f"{place}[{number}]", part) for number, part in enumerate(value))
    if parts is None:
        return place, value
    found = (_no_json(part, name, depth + 1) for name, part in parts)
    return next(((name, part) for name, part in found if name), ("", None))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON: expected a finite number")


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):  # Python would keep the last one, and tell nobody
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice!r} twice: expected it once")
    return fields


def parse_json(text: str | bytes) -> Any:
    """Parsed JSON of this collection, or of a file that comes with weights.

    Raises:
        ValueError: broken JSON, NaN or infinity, or a field that is there twice.
    """
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_fields_once)


def read_json(path: Path) -> Any:
    """Parsed JSON.

    Raises:
        ValueError: broken JSON (file and position are named), NaN, a field twice, no UTF-8,
            nested beyond reason, or a pipe or device in the place of the file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe, a device without an end
        raise ValueError(f"{path}: expected a file")
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors write a mark
        return parse_json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: broken JSON at line {error.lineno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: JSON nested too deep") from error
    except ValueError as error:  # NaN, a field twice, or a number too long
        raise ValueError(f"{path}: {error}") from error


def read_record(path: Path, *fields: str) -> dict[str, Any]:
    """A JSON file that is a dictionary with certain fields, as records are.

    Raises:
        ValueError: as `read_json`, or another form; the file and what is missing are named.
    """
    found = read_json(path)
    missing = [name for name in fields if name not in found] if isinstance(found, dict) else fields
    if missing or not isinstance(found, dict):
        raise ValueError(
            f"{path}: a broken record: expected a dictionary with {', '.join(fields)}; "
            "make it again, or remove it"
        )
    return found


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
