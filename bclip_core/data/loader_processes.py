"""What becomes of a training whose loader's process dies."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from bclip_core.records.processes import TerminatedError, end_asked, how_it_ended


class LoaderProcessError(OSError):
    """A loader's process died; the message says of what."""


@contextmanager
def loader_deaths() -> Iterator[None]:
    """Around work that reads a loader: say which of its processes died, and of what.

    torch raises that wherever this process is at that moment, so not where the loader is read.

    Raises:
        LoaderProcessError: instead of torch's error.
        TerminatedError: they were asked to end, as this process was.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.match(r"DataLoader worker \(pid\D*(\d+).*?\)(?:.*signal: (.*?)\.)?", str(error))
        if not found:
            raise
        if end_asked():  # a scheduler tells every process at once
            reason = ": a loader process ended first, so without a checkpoint"
            raise TerminatedError(reason) from error
        number = next((s for s in signal.Signals if signal.strsignal(s) == found[2]), None)
        how = how_it_ended(-number) if number else "unexpectedly"
        raise LoaderProcessError(
            f"loader process {found[1]} ended: {how}; checkpoints are kept, and each process less "
            "(loader_workers) takes less memory"
        ) from error
