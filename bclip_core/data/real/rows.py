"""Rows of annotation files to items, so that whatever is wrong is named with file and row."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, TextIO, TypeVar

from bclip_core.records.files import read_json

_CHOICES = {"missing": ("raise", "skip", "ignore"), "on_error": ("raise", "skip")}
_KINDS: dict[Any, str] = {
    str: "a text",
    list: "a list",
    dict: "a dictionary",
    bytes: "bytes",
    int: "a whole number",
}
T = TypeVar("T")


class Identified(Protocol):
    """What every item has: an id that no other item of its data set has."""

    @property
    def id(self) -> str:
        """The id."""


Item = TypeVar("Item", bound=Identified)


class DataError(ValueError):
    """A row of a data set is malformed; the message names file, row, value and what is right."""


class LayoutError(FileNotFoundError):
    """A file or folder of a data set is not where it is expected; the message says where."""


class MissingPicture(LayoutError):
    """A row's picture is not on disk.

    Attributes:
        name: of the picture in the annotations.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(str(path))
        self.name = name


class RowError(ValueError):
    """What is wrong with one row; `Rows` adds where it stands and an example of what is right."""


class LeftOut(NamedTuple):
    """A row that is not used: where it stands and why."""

    place: str
    reason: str


class Row(NamedTuple):
    """One row as read: where it stands, and how to get its value (parsing it may fail)."""

    place: str
    value: Callable[[], Any]


@dataclass(frozen=True)
class Options:
    """How rows are treated.

    Attributes:
        missing: a picture that is not on disk: "raise"; "skip" leaves its row out, counted and
            named; "ignore" does not look for pictures at all (annotations only).
        on_error: a malformed row: "raise", or "skip" leaves it out, counted and named.
        known: malformed rows of the official files, by picture: always left out, counted, named.
        example: a right row, for messages.
    """

    missing: str = "raise"
    on_error: str = "raise"
    known: Mapping[str, str] = field(default_factory=dict)
    example: str = ""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                expected = ", ".join(map(repr, allowed))
                raise ValueError(f"{name}={getattr(self, name)!r}: expected one of {expected}")


def gather(
    source: Path, rows: Iterable[Row], build: Callable[[Any], Item], options: Options
) -> tuple[tuple[Item, ...], tuple[LeftOut, ...]]:
    """All rows as items, and those left out.

    Args:
        source: the file the rows come from, for messages.
        rows: as read.
        build: makes an item of a row's value; raises RowError, or MissingPicture.
        options: what happens then.

    Raises:
        DataError: a malformed row or a second one of the same id, unless `options` leaves it out.
        LayoutError: a picture is missing, unless `options` leaves its row out.
    """
    items, left_out, seen = list[Item](), list[LeftOut](), dict[str, str]()
    for place, read in rows:
        where = f"{source}, {place}"
        try:
            item = build(read())
            if item.id in seen:
                raise RowError(f"id {item.id!r} is taken by {seen[item.id]}: expected each id once")
            seen[item.id] = place
            items.append(item)
        except RowError as error:
            known = _known(str(error), options)
            if options.on_error == "raise" and not known:
                right = f"; right is for example {options.example}" if options.example else ""
                raise DataError(f"{where}: {error}{right}") from error
            left_out.append(LeftOut(place, f"{error} ({known})" if known else str(error)))
        except MissingPicture as error:
            if options.missing != "skip":
                raise LayoutError(f"{where}: no picture {error}") from error
            left_out.append(LeftOut(place, f"no picture {error.name!r}"))
    return tuple(items), tuple(left_out)


def _known(problem: str, options: Options) -> str:
    """The note on a fault that the official file has; "" for any other."""
    notes = options.known.items()
    return next((note for name, note in notes if problem.startswith(f"picture {name!r}: ")), "")


def field_of(row: Any, name: str, kind: type[T]) -> T:
    """A field of a row, which has to be there and of its type.

    Raises:
        RowError: no dictionary, no such field, or another type.
    """
    if not isinstance(row, dict):
        raise RowError(f"{shortened(row)}: expected a dictionary of fields")
    if name not in row:
        raise RowError(f"no field {name!r}; it has {', '.join(map(str, row)) or 'none'}")
    value: Any = row[name]
    wanted: Any = (int, float) if kind is float else kind
    if not isinstance(value, wanted) or isinstance(value, bool):
        expected = _KINDS.get(kind, "a number")
        raise RowError(f"{name}={shortened(value)}: expected {expected}")
    found: T = value
    return found


def text_of(value: Any, name: str) -> str:
    """A caption on one line: white space is collapsed, as the tokenizer does.

    Raises:
        RowError: no text, or a blank one.
    """
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"{name}={shortened(value)}: expected a text that is not empty")
    require_unicode(value, name)
    return " ".join(value.split())


def require_unicode(text: str, name: str) -> None:
    """Refuse halves of characters, which JSON can hold and no file can.

    Raises:
        RowError: there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(f"{name}={shortened(text)}: half a character (surrogate)") from error


def shortened(value: Any) -> str:
    """A value for a message, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_CHUNK = 1 << 20  # characters of a large JSON file that are read together


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
