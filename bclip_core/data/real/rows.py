"""Rows of annotation files to items, so that whatever is wrong is named with file and row."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

from bclip_core.records.texts import clean_text, is_blank

_CHOICES = {"missing": ("raise", "skip", "ignore"), "on_error": ("raise", "skip")}
_KINDS: dict[Any, str] = {
    str: "a text",
    list: "a list",
    dict: "a dictionary",
    bytes: "bytes",
    int: "a whole number",
}
_MARKS_OF_NONE = frozenset(("nan", "none", "null", "<na>", "#n/a"))
_SPECIAL = re.compile(r"<(?:start|end)_of_text>", re.IGNORECASE)  # of open_clip's tokenizer
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


class UnusedFile(LeftOut):
    """A file that belongs to no row."""

    __slots__ = ()


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


def tell_unread(name: str, files: Sequence[str]) -> None:
    """Say which of several files that hold the same rows is read: the first."""
    if len(files) > 1:
        print(f"{name}: {files[0]} is read; not {', '.join(files[1:])} beside it")


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
            except (RowError, MissingPicture, Unused):
                raise
            except Exception as error:  # an odd value makes a reader raise anything
                raise RowError(f"cannot be read: {_told(error)}") from error
        except Unused as reason:
            left_out.append(UnusedFile(place, str(reason)))
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


def _told(error: Exception) -> str:
    """An error for a message, with its kind where its text does not say what is wrong."""
    if isinstance(error, OSError | RecursionError | DataError):
        return str(error)
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


def number_of(value: Any) -> Any:
    """A number that is written as a text, as a number; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def whole_number(row: Any, name: str) -> int:
    """A whole number of a row, also as a text or, as tables of numbers write it, with `.0`.

    Raises:
        RowError: as `field_of`.
    """
    value = row.get(name) if isinstance(row, dict) else None
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)  # of any length; a float would round it
    value = number_of(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return field_of(row, name, int)


def text_of(value: Any, name: str) -> str:
    """A caption on one line: white space is collapsed, as the tokenizer does.

    Raises:
        RowError: no text, a blank one, or one with a mark that the tokenizer takes for an end.
    """
    if not isinstance(value, str):
        raise RowError(f"{name}={shortened(value)}: expected a text that is not empty")
    require_unicode(value, name)
    if "\0" in value:
        raise RowError(f"{name}={shortened(value)}: a zero character: expected a text in UTF-8")
    if is_blank(value):
        raise RowError(f"{name}={shortened(value)}: expected a text that is not empty")
    if found := _SPECIAL.search(clean_text(value)):
        raise RowError(
            f"{name}={shortened(value)}: {found.group()} is CLIP's own mark, which would end or "
            "begin the text there: expected words alone"
        )
    return " ".join(value.removeprefix("\ufeff").split())


def refuse_mark_of_none(caption: Any) -> None:
    """Refuse what pandas, Excel and the like write where a table has no caption.

    Raises:
        RowError: it is such a word alone.
    """
    if isinstance(caption, str) and caption.strip().lower() in _MARKS_OF_NONE:
        raise RowError(f"caption={caption!r} is what programs write for none: expected a text")


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
