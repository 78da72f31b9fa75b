"""Processes that work for another end with it, and say what ended them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bclip_core.records.streams import usable_streams

PARENT_VARIABLE = "BCLIP_PARENT"  # a process started with it ends with the process of that number
_POLL = 0.3  # seconds
_GRACE = 5.0  # seconds between asking this process to end and ending it
TERMINATED = 128 + signal.SIGTERM  # exit code, as shells give it
_ASKS = {  # a scheduler, a reader who waits no longer, a terminal that was closed
    signal.SIGTERM: "terminated",
    signal.SIGINT: "interrupted",
    **({signal.SIGHUP: "hung up"} if hasattr(signal, "SIGHUP") else {}),
}


class TerminatedError(BaseException):
    """A signal asked this process to end; no `except Exception` holds that up."""


class _Request:
    """Which signal came, and whether it ends what is going on at once."""

    asked: signal.Signals | None = None
    postponed = False


@contextmanager
def ends_on_request() -> Iterator[None]:
    """Around a command's work: SIGTERM ends it as an error would, with one line and exit code 143.

    So do Ctrl-C (SIGINT, 130) and a terminal that is closed (SIGHUP, 129), unless this process was
    started to ignore them. `finally` runs: children are ended, locks and half-written files
    removed. Nor does it end because nobody reads what it prints (`usable_streams`). For the main
    thread.

    Raises:
        SystemExit: 128 and the number of the signal.
    """
    before = {kind: signal.getsignal(kind) for kind in _ASKS}
    heard = [kind for kind, had in before.items() if had is not signal.SIG_IGN]
    for kind in heard:
        signal.signal(kind, _end)
    try:
        with usable_streams():
            yield
    except TerminatedError as error:
        number = _Request.asked or signal.SIGTERM
        for kind in heard:
            signal.signal(kind, signal.SIG_IGN)  # asked once more, it ends no sooner
        with suppress(OSError):  # a terminal that was closed takes no line
            print(f"{_ASKS[number]} ({number.name}){error}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number) from None
    finally:
        _Request.asked = None
        for kind in heard:
            signal.signal(kind, before[kind])


def _end(number: int, frame: object) -> None:
    again = _Request.asked == signal.SIGINT == number  # who types Ctrl-C twice waits no longer
    _Request.asked = signal.Signals(number)
    if again or not _Request.postponed:
        raise TerminatedError


@contextmanager
def end_postponed() -> Iterator[None]:
    """Inside, a first signal interrupts nothing; `end_asked` tells of it."""
    _Request.postponed = True
    try:
        yield
    finally:
        _Request.postponed = False


@contextmanager
def nothing_stays() -> Iterator[None]:
    """Around work in a folder that goes with it: whoever is told of an end is not sent there."""
    try:
        yield
    except TerminatedError:
        raise TerminatedError from None


def end_asked() -> bool:
    """Whether a signal has asked this process to end, inside `ends_on_request`."""
    return _Request.asked is not None


def end_with(parent: int) -> None:
    """Watch from a thread whether `parent`, this process's, lives; when it is gone, end.

    A killed parent cannot tell its children. Called in the child, first thing.

    Args:
        parent: its process number, as the parent itself gave it: asked for here, it could be that
            of whoever adopted this process already.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="end with parent").start()


def end_with_caller() -> None:
    """`end_with` the process that $BCLIP_PARENT names, where it names one."""
    parent = os.environ.pop(PARENT_VARIABLE, "")  # it is not the parent of this one's own children
    if parent:
        end_with(int(parent))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def how_it_ended(returncode: int) -> str:
    """A process's return code in words: "exit code 1", or "killed by SIGKILL (out of memory?)"."""
    asked = {128 + kind: kind.name for kind in _ASKS}
    if returncode in asked:
        return f"ended by {asked[returncode]}"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
