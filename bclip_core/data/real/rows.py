"""Rows of annotation files to items, so that whatever is wrong is named with file and row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import ijson

from bclip_core.captions import is_blank

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


class Partial(NamedTuple, Generic[Item]):
    """An item that is used without a part of its row; the notes say which and why."""

    item: Item
    notes: tuple[str, ...]


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
    """What is not used: where it stands and why; a whole row, or else a part of one."""

    place: str
    reason: str
    whole: bool = True


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
    source: Path,
    rows: Iterable[Row],
    build: Callable[[Any], Item | Partial[Item]],
    options: Options,
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
            built = build(read())
            item, notes = built if isinstance(built, Partial) else (built, ())
            if item.id in seen:
                raise RowError(f"id {item.id!r} is taken by {seen[item.id]}: expected each id once")
            seen[item.id] = place
            items.append(item)
            left_out += [LeftOut(place, note, whole=False) for note in notes]
        except MissingPicture as error:
            if options.missing != "skip":
                raise LayoutError(f"{where}: no picture {error}") from error
            left_out.append(LeftOut(place, f"no picture {error.name!r}"))
        except _MALFORMED as error:
            problem = str(error) if isinstance(error, RowError) else _plainly(error)
            known = _known(problem, options)
            if options.on_error == "raise" and not known:
                right = f"; right is for example {options.example}" if options.example else ""
                raise DataError(f"{where}: {problem}{right}") from error
            left_out.append(LeftOut(place, f"{problem} ({known})" if known else problem))
    return tuple(items), tuple(left_out)


# What reading one row may raise besides: files that cannot be opened, loops of links, odd values.
_MALFORMED = (RowError, OSError, ValueError, LookupError, TypeError, RuntimeError)


def _plainly(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


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
    if not isinstance(value, str):
        raise RowError(f"{name}={shortened(value)}: expected a text that is not empty")
    require_unicode(value, name)
    if is_blank(value):
        raise RowError(f"{name}={shortened(value)}: expected a text that is not empty")
    return " ".join(value.replace("\ufeff", "").split())


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
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested too deep"
    return text if len(text) <= 80 else f"{text[:77]}..."


_LOCATED = 1 << 28  # bytes of a broken JSON file up to which the line of the fault is looked for
_DEEPEST = 100  # a row of ours has four levels
UTF16 = (b"\xff\xfe", b"\xfe\xff")
"""The byte-order marks of UTF-16."""


def decoded(content: bytes, name: str) -> str:
    """Text of a file, whose byte-order mark goes.

    Raises:
        RowError: neither UTF-8 nor, by its mark, UTF-16; the first bad byte is named.
    """
    wide = content[:2] in UTF16
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "UTF-16" if wide else "UTF-8"
        reason = f"byte {error.start} is no {kind} ({error.reason}): save it as UTF-8"
        raise RowError(f"{name}: {reason}") from error


def json_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file, each parsed when asked for; blank lines are passed over.

    Raises:
        DataError: the file is UTF-16.
    """
    with path.open("rb") as handle:
        if handle.peek(2)[:2] in UTF16:
            raise DataError(f"{path}: UTF-16: save it as UTF-8")
        for number, line in enumerate(handle, start=1):
            if line.removeprefix(b"\xef\xbb\xbf").strip():
                yield Row(f"line {number}", lambda line=line: parse_json(line))  # type: ignore[misc]


def json_array(path: Path) -> Iterator[Row]:
    """The rows of a file that is one JSON array, streamed: a large file is never held whole.

    Raises:
        DataError: not an array, broken JSON, or something after the array; row and, where the file
            is not huge, line are named.
    """
    number = 0
    with path.open("rb") as handle:
        if handle.peek(3)[:3] == b"\xef\xbb\xbf":
            handle.read(3)
        try:
            for value in _elements(ijson.basic_parse(handle, use_float=True), path):
                yield Row(f"row {number}", lambda value=value: value)  # type: ignore[misc]
                number += 1
        except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}, {_fault(path, number, error)}") from error


def _elements(events: Iterator[tuple[str, Any]], path: Path) -> Iterator[Any]:
    """The values of one array; the parser's events go on to the end of the file.

    Raises:
        DataError: no array, or nested beyond reason, which would take memory without end.
    """
    try:
        first = next(events, ("", None))[0]
    except ijson.IncompleteJSONError:
        first = ""
    if first != "start_array":
        raise DataError(f"{path}: {_begins(path)}: expected '[' of a JSON array")
    builder, depth = ijson.ObjectBuilder(), 0
    for event, value in events:
        if event == "end_array" and not depth:
            continue
        builder.event(event, value)
        depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
        if depth > _DEEPEST:
            raise DataError(f"{path}: nested more than {_DEEPEST} deep: expected fields with texts")
        if not depth:
            yield builder.value
            builder = ijson.ObjectBuilder()


def _begins(path: Path) -> str:
    with path.open("rb") as handle:
        start = handle.read(40).removeprefix(b"\xef\xbb\xbf").lstrip()
    return repr(start[:1].decode(errors="replace")) if start else "the file is empty"


def _fault(path: Path, row: int, error: Exception) -> str:
    """Where a JSON array is broken: its line, when the file can be held, and its row."""
    if path.stat().st_size <= _LOCATED:
        try:
            json.loads(decoded(path.read_bytes(), "the file"))
        except json.JSONDecodeError as found:
            extra = " (nothing may follow the array)" if found.msg == "Extra data" else ""
            return f"line {found.lineno}, row {row}: broken JSON: {found.msg}{extra}"
        except RowError as found:
            return str(found)
        except RecursionError:
            return f"row {row}: nested too deep"
    return f"row {row}: broken JSON: {str(error).splitlines()[0]}"


def parse_json(content: bytes) -> Any:
    """Parsed JSON of one row.

    Raises:
        RowError: broken JSON (the column is named), no UTF-8, or nested beyond reason.
    """
    try:
        return json.loads(decoded(content, "the row"))
    except json.JSONDecodeError as error:
        raise RowError(f"broken JSON at column {error.colno}: {error.msg}") from error
    except RowError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise RowError(f"broken JSON: {error}") from error
    except RecursionError as error:
        raise RowError("nested too deep: expected fields with texts and numbers") from error


def whole_json(path: Path, kind: type[T]) -> T:
    """A JSON file that is one list or dictionary.

    Raises:
        DataError: broken JSON, or another type at the top.
    """
    try:
        stored = json.loads(decoded(path.read_bytes(), str(path)))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: broken JSON at line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise DataError(f"{path}: nested too deep: expected fields with texts") from error
    except ValueError as error:
        raise DataError(str(error)) from error
    if not isinstance(stored, kind):
        found = type(stored).__name__
        raise DataError(f"{path}: expected a JSON {kind.__name__} at the top, found a {found}")
    return stored
