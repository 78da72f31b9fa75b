"""How much memory a process has held at most, alone or together with its children."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_EVERY = 1.0  # seconds between samples; a shorter peak may be missed


class PeakMemory:
    """A context that watches this process and all its descendants.

    Shared pages are counted once where the system tells them apart (Linux: the proportional set
    size); elsewhere the unique or resident size stands for it.

    Attributes:
        peak: the largest sum seen so far, in bytes.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self.sample()

    def sample(self) -> None:
        """Look once."""
        process = psutil.Process()
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.Error:  # one of them ended while it was asked
            family = [process]
        self.peak = max(self.peak, sum(map(_held, family)))

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY):
            self.sample()


def _held(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:  # it has ended, or is not ours to look into
        return 0
    return int(getattr(full, "pss", 0) or getattr(full, "uss", 0) or full.rss)
