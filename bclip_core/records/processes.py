"""Processes that work for another end with it, and say what ended them."""

from __future__ import annotations

import os
import signal
import threading
import time

PARENT_VARIABLE = "BCLIP_PARENT"  # a process started with it ends with the process of that number
_POLL = 0.3  # seconds
_GRACE = 5.0  # seconds between asking this process to end and ending it


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
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
