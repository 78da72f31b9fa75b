"""JSON files row by row: large ones are never held whole, broken ones are named with their line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from bclip_core.data.benchmarks.reading import DataError, Row, RowError
from bclip_core.files import read_json

_CHUNK = 1 << 20  # characters of a large JSON file that are read together
T = TypeVar("T")


def json_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file, each parsed when asked for; blank lines are passed over."""
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if line.strip():
                yield Row(f"line {number}", lambda line=line: parse_json(line))  # type: ignore[misc]


def json_array(path: Path) -> Iterator[Row]:
    """The rows of a file that is one JSON array, read in pieces: a large file is never held whole.

    Raises:
        DataError: not an array, or broken JSON; line and row are named.
    """
    with path.open(encoding="utf-8") as handle:
        window = _Window(path, handle)
        window.take("[")
        if window.peek() == "]":
            return
        for number in itertools.count():
            value = window.value(number)
            yield Row(f"row {number}", lambda value=value: value)  # type: ignore[misc]
            if window.take(",]") == "]":
                return


class _Window:
    """The part of a JSON file that is being parsed; it grows when a value does not end in it."""

    def __init__(self, path: Path, handle: TextIO) -> None:
        self.path, self.handle = path, handle
        self.text, self.position, self.lines = "", 0, 1

    def grow(self, size: int = _CHUNK) -> bool:
        """Drop what is parsed and read on; whether there was more."""
        try:
            more = self.handle.read(size)
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}, after line {self.lines}: expected UTF-8") from error
        self.lines += self.text.count("\n", 0, self.position)
        self.text, self.position = self.text[self.position :] + more, 0
        return bool(more)

    def peek(self) -> str:
        """The next character that is not white space; "" at the end of the file."""
        while True:
            while self.position < len(self.text) and self.text[self.position].isspace():
                self.position += 1
            if self.position < len(self.text) or not self.grow():
                return self.text[self.position : self.position + 1]

    def take(self, expected: str) -> str:
        """The next character, which has to be one of `expected`."""
        found = self.peek()
        if not found or found not in expected:
            wanted = " or ".join(map(repr, expected))
            self.fail(f"{found!r}" if found else "the end of the file", self.position, wanted)
        self.position += 1
        return found

    def value(self, row: int) -> Any:
        """The next JSON value."""
        self.peek()
        size = _CHUNK
        while True:
            try:
                value, self.position = json.JSONDecoder().raw_decode(self.text, self.position)
                return value
            except json.JSONDecodeError as error:
                if not self.grow(size):  # now the window holds the rest of the file
                    self.fail(f"broken JSON in row {row} ({error.msg})", None, "a JSON value")
                size *= 2

    def fail(self, found: str, position: int | None, expected: str) -> NoReturn:
        """Say where in the file it is."""
        if position is None:
            try:
                json.JSONDecoder().raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:
                position = error.pos
        line = self.lines + self.text.count("\n", 0, position)
        raise DataError(f"{self.path}, line {line}: {found}: expected {expected} of a JSON array")


def parse_json(content: bytes) -> Any:
    """Parsed JSON of one row.

    Raises:
        RowError: broken JSON (the column is named), no UTF-8, or nested beyond reason.
    """
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise RowError(f"expected UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise RowError(f"broken JSON at column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise RowError("nested too deep: expected fields with texts and numbers") from error


def whole_json(path: Path, kind: type[T]) -> T:
    """A JSON file that is one list or dictionary.

    Raises:
        DataError: broken JSON, or another type at the top.
    """
    try:
        stored = read_json(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8: {error}") from error
    except ValueError as error:
        raise DataError(str(error)) from error
    if not isinstance(stored, kind):
        found = type(stored).__name__
        raise DataError(f"{path}: expected a JSON {kind.__name__} at the top, found a {found}")
    return stored
