"""One writer at a time, and whoever waits says for whom."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path`.lock, alone among processes and threads; the same thread may take it again.

    The system lets go of the lock when its holder ends, however it ends. Who holds it stands in
    `path`.lock.holder meanwhile; whoever has to wait prints that to the error stream first.

    Raises:
        OSError: the folder cannot be written; it is named.
    """
    path = path.resolve()
    file = path.with_name(f"{path.name}.lock")
    held = FileLock(file, is_singleton=True)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        again = held.is_locked
        _acquire(held, path)
    except OSError as error:
        raise OSError(error.errno, f"{file} cannot be locked: {error.strerror}") from error
    try:
        if not again:
            _holder(path).write_text(json.dumps(_this_process()), encoding="utf-8")
        yield
    finally:
        if not again:
            _holder(path).unlink(missing_ok=True)
        held.release()


def _acquire(held: FileLock, path: Path) -> None:
    try:
        held.acquire(timeout=0)
    except Timeout:
        message = f"waiting for {path}: in use by {holder(path)}"
        print(message, file=sys.stderr, flush=True)
        held.acquire(poll_interval=0.2)


def holder(path: Path) -> str:
    """Who holds the lock of `path`, in words."""
    try:
        known = json.loads(_holder(path.resolve()).read_text(encoding="utf-8"))
        return f"process {known['pid']} on {known['host']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just come or gone
        return "another process"


def _holder(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock.holder")


def _this_process() -> dict[str, object]:
    since = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
