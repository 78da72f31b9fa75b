"""Rows of annotation files to items, so that whatever is wrong is named with file and row."""

from __future__ import annotations

import codecs
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, Protocol, TypeVar

import ijson  # type: ignore[import-untyped,unused-ignore]

from bclip_core.records.texts import is_blank

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


class Unused(Exception):
    """A file that belongs to no row: never an error, always counted and named."""


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
        several: rows of one picture are its captions; else the second one is malformed.
    """

    missing: str = "raise"
    on_error: str = "raise"
    known: Mapping[str, str] = field(default_factory=dict)
    example: str = ""
    several: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                expected = ", ".join(map(repr, allowed))
                raise ValueError(f"{name}={getattr(self, name)!r}: expected one of {expected}")


Drop = Callable[[str], None]  # leaves a part of a row out, or raises RowError: as `Options` say


def gather(
    source: Path, rows: Iterable[Row], build: Callable[[Any, Drop], Item], options: Options
) -> tuple[tuple[Item, ...], tuple[LeftOut, ...]]:
    """All rows as items, and those left out.

    Args:
        source: the file the rows come from, for messages.
        rows: as read.
        build: makes an item of a row's value; raises RowError, or MissingPicture. What it gives to
            its second argument is a part of the row that cannot be used, such as a blank caption.
        options: what happens then.

    Raises:
        DataError: a malformed row or a second one of the same id, unless `options` leaves it out.
        LayoutError: a picture is missing, unless `options` leaves its row out.
    """
    items, left_out, seen = list[Item](), list[LeftOut](), dict[str, tuple[str, int]]()
    for place, read in rows:
        where, parts = f"{source}, {place}", list[LeftOut]()

        def drop(reason: str, place: str = place, parts: list[LeftOut] = parts) -> None:
            if options.on_error == "raise":
                raise RowError(reason)
            parts.append(LeftOut(place, reason))

        try:
            try:
                item = build(read(), drop)
                _add(item, items, seen, place, options.several)
                left_out += parts
            except (OSError, RecursionError) as error:
                if isinstance(error, MissingPicture):
                    raise
                raise RowError(f"cannot be read: {error}") from error
        except Unused as reason:
            left_out.append(LeftOut(place, str(reason)))
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


def _add(
    item: Item, items: list[Item], seen: dict[str, tuple[str, int]], place: str, several: bool
) -> None:
    """Append an item, or give its captions to the item of the same picture."""
    if item.id not in seen:
        seen[item.id] = place, len(items)
        items.append(item)
        return
    taken, at = seen[item.id]
    first: Any = items[at]
    one: Any = item
    if not several or first.image != one.image:
        raise RowError(f"id {item.id!r} is taken by {taken}: expected each id once")
    new = tuple(text for text in one.captions if text not in first.captions)
    if not new:
        raise RowError(f"picture {item.id!r}: {taken} has the same caption")
    items[at] = dataclasses.replace(first, captions=first.captions + new)


def failing(fault: Exception) -> Callable[[], NoReturn]:
    """The value of a row that cannot be read."""

    def fail() -> NoReturn:
        raise fault

    return fail


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
    if "\0" in value:
        raise RowError(f"{name}={shortened(value)}: a zero character: expected a text in UTF-8")
    if is_blank(value):
        raise RowError(f"{name}={shortened(value)}: expected a text that is not empty")
    return " ".join(value.removeprefix("\ufeff").split())


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


_CHUNK = 1 << 16  # bytes of a large JSON file that are parsed together
_DEEPEST = 500  # brackets within brackets; ijson's memory grows with the square of it
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def decoded(content: bytes) -> str:
    """Text in UTF-8, or in UTF-16 where a byte-order mark says so; without its mark.

    Raises:
        RowError: another encoding; the position is named.
    """
    sixteen = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if sixteen else "utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{content[error.start]:02x} at position {error.start}"
        raise RowError(f"expected UTF-8, but {found}: save it as UTF-8") from error


def open_utf8(path: Path) -> BinaryIO:
    """A file of UTF-8 after its byte-order mark; one of UTF-16 is recoded.

    Raises:
        DataError: it cannot be read.
    """
    try:
        handle = path.open("rb")
        mark = handle.read(3)
        if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            with handle:
                return io.BytesIO(decoded(mark + handle.read()).encode())
        handle.seek(3 if mark == codecs.BOM_UTF8 else 0)
    except (OSError, RowError) as error:
        raise DataError(f"{path}: {error}") from error
    return handle


def json_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file, each parsed when asked for; blank lines are passed over."""
    with open_utf8(path) as handle:
        for number, line in enumerate(handle, start=1):
            if line.strip():
                yield Row(f"line {number}", lambda line=line: parse_json(line))  # type: ignore[misc]


def json_array(path: Path) -> Iterator[Row]:
    """The rows of a file that is one JSON array, read in pieces: a large file is never held whole.

    Raises:
        DataError: not an array, broken JSON, or something after its end; line and row are named.
    """
    number = depth = 0
    with open_utf8(path) as handle:
        found = ijson.sendable_list()
        parser = ijson.items_coro(found, "item")
        begun = False
        while True:
            chunk, fault = handle.read(_CHUNK), None
            if not begun and chunk.strip():
                begun = True
                if not chunk.lstrip().startswith(b"["):
                    start = chr(chunk.lstrip()[0])
                    raise DataError(f"{path}, line 1: {start!r}: expected '[' of a JSON array")
            depth = _deeper(chunk, depth)
            if depth > _DEEPEST:
                raise DataError(f"{path}, row {number}: nested too deep: expected fields")
            try:
                parser.send(chunk) if chunk else parser.close()
            except Exception as error:  # ijson's own, and ValueError of a number too long
                fault = error
            for value in found:
                yield Row(f"row {number}", lambda value=value: value)  # type: ignore[misc]
                number += 1
            depth = 0 if found else depth  # brackets in captions do not add up
            del found[:]
            if fault:
                raise DataError(
                    f"{path}, line {_line_of_fault(path)}: {_told(fault, number)}"
                ) from fault
            if not chunk:
                return


def _deeper(chunk: bytes, depth: int) -> int:
    """The deepest nesting of a chunk that starts at a depth; brackets in texts count too."""
    deepest = depth
    for bracket in chunk.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest if deepest > _DEEPEST else max(depth, 0)


def _line_of_fault(path: Path) -> int:
    """Where a file stops being JSON, by a second pass: in pieces, then byte by byte."""
    last, line, parser = b"", 1, ijson.basic_parse_coro(ijson.sendable_list())
    with open_utf8(path) as handle:
        for size in (_CHUNK, 1):
            while last := handle.read(size):
                try:
                    parser.send(last)
                except Exception:  # as in `json_array`
                    break
                line += last.count(b"\n")
            if size == 1 or not last:
                break
            start = handle.tell() - len(last)
            handle.seek(0)
            parser = ijson.basic_parse_coro(ijson.sendable_list())
            while handle.tell() < start:
                parser.send(handle.read(min(_CHUNK, start - handle.tell())))
    return line


def _told(fault: Exception, row: int) -> str:
    text = str(fault.args[0] if fault.args else fault).removeprefix("b'").split("\\n")[0]
    text = text.splitlines()[0] if text else "unreadable"
    if "UTF8" in text:
        return f"row {row}: expected UTF-8: save the file as UTF-8"
    if "trailing" in text:
        return f"after the array's end, {row} rows: expected nothing after a JSON array"
    return f"broken JSON in row {row} ({text}): expected a JSON array"


def parse_json(content: bytes) -> Any:
    """Parsed JSON of one row.

    Raises:
        RowError: broken JSON (the column is named), no UTF-8, or nested beyond reason.
    """
    try:
        return json.loads(decoded(content))
    except json.JSONDecodeError as error:
        raise RowError(f"broken JSON at column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise error if isinstance(error, RowError) else RowError(str(error)) from error
    except RecursionError as error:
        raise RowError("nested too deep: expected fields with texts and numbers") from error


def whole_json(path: Path, kind: type[T]) -> T:
    """A JSON file that is one list or dictionary.

    Raises:
        DataError: broken JSON, or another type at the top.
    """
    try:
        stored = json.loads(decoded(path.read_bytes()))
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}"
        raise DataError(f"{path}: broken JSON at {at}: {error.msg}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error
    if not isinstance(stored, kind):
        found = type(stored).__name__
        raise DataError(f"{path}: expected a JSON {kind.__name__} at the top, found a {found}")
    return stored
