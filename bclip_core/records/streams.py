"""Standard streams that are closed, that nobody reads any more, or that cannot be written."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from bclip_core.records.files import what_to_do

_NAMES = ("standard input", "standard output", "standard error")


class _Output(io.FileIO):
    """What is written to a standard stream, as long as somebody gets it."""

    def write(self, content: object, /) -> int:
        """Write, or drop what nobody reads.

        Raises:
            OSError: it cannot be written (a full disk); what follows is dropped, so this is told
                once.
        """
        try:
            return super().write(content)  # type: ignore[arg-type]
        except OSError as error:
            hung_up = error.errno == errno.EIO and stat.S_ISCHR(os.fstat(self.fileno()).st_mode)
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())  # for what other languages and children write, too
            os.close(nothing)
            if hung_up or isinstance(error, ConnectionError):
                return memoryview(content).nbytes  # type: ignore[arg-type]
            reason = f"{_NAMES[self.fileno()]} cannot be written: {error.strerror}"
            raise OSError(error.errno, reason) from error


@contextmanager
def usable_streams() -> Iterator[None]:
    """Around a command's work: it goes on and ends as ever when nobody reads what it prints.

    A stream that is closed from the start is one to nowhere; else the next file that is opened
    would get its number, and what is printed by other languages or by children would be in it.

    Raises:
        SystemExit: 1, when the last output cannot be written; that is one line.
    """
    _open_closed()
    given = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_kept(stream, number) for number, stream in enumerate(given, 1))
    ending: BaseException | None = None
    try:
        yield
    except BaseException as error:
        ending = error
        raise
    finally:
        lost = _flush(sys.stdout)
        _flush(sys.stderr)
        sys.stdout, sys.stderr = given
        went_well = ending is None or (isinstance(ending, SystemExit) and not ending.code)
        if lost is not None and went_well:
            raise SystemExit(f"error: {lost}{what_to_do(lost)}") from lost


def _flush(stream: TextIO) -> OSError | None:
    try:
        stream.flush()
    except OSError as error:
        with suppress(OSError):  # what the stream still holds now goes nowhere
            stream.flush()
        return error
    return None


def _open_closed() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is given, which is this one
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r+" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


def _kept(stream: TextIO, number: int) -> TextIO:
    """The stream with `_Output` below it; one that is not the process's own stays as it is."""
    binary = getattr(stream, "buffer", None)
    raw = getattr(binary, "raw", binary)  # `python -u` has no buffer between
    if type(raw) is not io.FileIO or raw.fileno() != number:
        return stream
    stream.flush()
    own = _Output(number, "w", closefd=False)
    assert isinstance(stream, io.TextIOWrapper), "it has a binary stream"
    return io.TextIOWrapper(
        own if raw is binary else io.BufferedWriter(own),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
