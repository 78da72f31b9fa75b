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

from bclip_core.records.files import resolved

_ASKED_AGAIN = 1.0  # seconds after which whoever waits looks who holds the lock now


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path`.lock, alone among processes and threads; the same thread may take it again.

    The system lets go of the lock when its holder ends, however it ends. Who holds it stands in
    `path`.lock.holder meanwhile; whoever has to wait prints that to the error stream first, and
    again when it is somebody else's turn.

    Raises:
        OSError: the folder cannot be written; it is named.
    """
    path = resolved(path)
    file = path.with_name(f"{path.name}.lock")
    held = FileLock(file, is_singleton=True)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        again = held.is_locked
        _acquire(held, path, file)
    except OSError as error:
        raise OSError(error.errno, f"{file} cannot be locked: {error.strerror}") from error
    try:
        if not again:
            _note_holder(path)
        yield
    finally:
        if not again:
            with contextlib.suppress(OSError):
                _holder(path).unlink(missing_ok=True)
        held.release()


def _acquire(held: FileLock, path: Path, file: Path) -> None:
    said = ""
    while True:
        if not held.is_locked:  # FileLock takes a file that cannot be made for one that is held
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        try:
            held.acquire(timeout=_ASKED_AGAIN if said else 0, poll_interval=0.2)
            return
        except Timeout:
            who = holder(path)
            if who != said:
                print(f"waiting for {path}: in use by {who}", file=sys.stderr, flush=True)
                said = who


def holder(path: Path) -> str:
    """Who holds the lock of `path`, in words."""
    try:
        known = json.loads(_holder(resolved(path)).read_text(encoding="utf-8"))
        who = f"process {known['pid']} on {known['host']} since {known['since']}"
        gone = known["host"] == socket.gethostname() and not _lives(int(known["pid"]))
        return who + (", which has ended: a process that it started has not" if gone else "")
    except (OSError, ValueError, KeyError, TypeError):  # it has just come or gone
        return "another process"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True


def _holder(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock.holder")


def _note_holder(path: Path) -> None:
    """Say who holds the lock; a full disk that keeps that from being told keeps nobody from work.

    What a killed holder left there is replaced.
    """
    since = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with contextlib.suppress(OSError):
        _holder(path).write_text(json.dumps(who), encoding="utf-8")
