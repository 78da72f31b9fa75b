"""What becomes of a training whose loader's process dies."""

from __future__ import annotations

import multiprocessing
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from bclip_core.records.processes import TerminatedError, end_asked, how_it_ended


class LoaderProcessError(OSError):
    """A loader's process died; the message says of what."""


_WHOLE = "_worker_pids_set"  # torch's mark of a loader whose end works
_GRACE = 2.0  # seconds in which the end of a process is told after the end of its connection
_watched: set[BaseProcess] = set()


@contextmanager
def watching_loader() -> Iterator[None]:
    """Around the start of a loader: the processes begun inside are those that `loader_deaths` asks.

    They are forgotten once they have ended. A loader that could not be made whole is ended.

    Raises:
        LoaderProcessError: the system starts no more of them.
    """
    before = set(multiprocessing.active_children())
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "start new thread" not in str(error):
            raise
        _end_half_made(error)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LoaderProcessError(
            f"no loader process can be started: {reason}; expected room for as many as "
            "loader_workers, and a /dev/shm to write to; fewer need less, and 0 none of it"
        ) from error
    living = set(multiprocessing.active_children())
    _watched.intersection_update(living)
    _watched.update(living - before)


@contextmanager
def loader_deaths() -> Iterator[None]:
    """Around work that reads a loader: say which of its processes died, and of what.

    torch raises that wherever this process is at that moment, so not where the loader is read, and
    says it in three ways; where a batch is just being handed over, Python's broken connection comes
    first. So whatever of these it is, the processes themselves are asked.

    Raises:
        LoaderProcessError: instead of such an error.
        TerminatedError: they were asked to end, as this process was.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        told = isinstance(error, RuntimeError)
        if told and not re.match(r"DataLoader worker \(pid", str(error)):
            raise
        dead = _dead_process()
        if dead is None and not told:
            raise
        if end_asked():  # a scheduler tells every process at once
            reason = ": a loader process ended first, so without a checkpoint"
            raise TerminatedError(reason) from error
        number, code = dead or (re.findall(r"\d+", str(error))[0], None)
        how = "unexpectedly" if code is None else how_it_ended(code)
        raise LoaderProcessError(
            f"loader process {number} ended: {how}; checkpoints are kept, and each process less "
            "(loader_workers) takes less memory"
        ) from error


def _end_half_made(error: BaseException) -> None:
    """End what torch has begun of a loader: its own end fails where the loader lacks something."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        half: Any = frame.f_locals.get("self")
        if type(half) is _MultiProcessingDataLoaderIter and not getattr(half, _WHOLE, False):
            half._shutdown = True  # so that torch does not try, wherever the garbage is collected
            for process in getattr(half, "_workers", ()):
                process.kill()
                process.join()


def _dead_process() -> tuple[int | None, int] | None:
    """Number and return code of a watched process that did not end well."""
    for process in _watched:
        with suppress(RuntimeError):  # torch's, if it was not raised yet: in its place or nowhere
            process.join(_GRACE / len(_watched))
        if process.exitcode:
            return process.pid, process.exitcode
    return None
