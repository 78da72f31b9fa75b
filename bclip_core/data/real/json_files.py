"""Files of rows in JSON, read as users have them: with byte-order marks, streamed, faults named."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson  # type: ignore[import-untyped,unused-ignore]

from bclip_core.data.real.rows import DataError, Row, RowError, T, failing

LONGEST_LINE = 1 << 24  # bytes of a row in a file of lines
_CHUNK = 1 << 16  # bytes of a large JSON file that are parsed together
_DEEPEST = 500  # brackets within brackets; ijson's memory grows with the square of it
# Escapes in texts; group 1: half a character without its other half, of which ijson makes "?".
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.|$)",
    re.DOTALL,
)
_LONGEST_ESCAPE = 12  # bytes
_HALF = "\ufdd0"  # stands for half a character while ijson reads; Unicode keeps it out of texts
_TWICE = "field {!r} twice: expected it once"  # `json` would keep the last, and drop the others
_NO_NUMBER = re.compile(rb"-?\b(?:NaN|Infinity)\b")  # what `json.dump` writes for such floats
_MAYBE_CUT = re.compile(rb"[A-Za-z-]{1,9}$")  # the start of one, at the end of a piece
_QUOTED = re.compile(rb"\\.", re.DOTALL)
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


def lines_within(handle: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file with their numbers; None for one that is too long to be a row.

    A file without ends of lines, such as one that a full disk left as zeros, is never held whole.
    """
    number = 0
    while line := handle.readline(LONGEST_LINE):
        number += 1
        whole = len(line) < LONGEST_LINE or line.endswith(b"\n")
        yield number, line if whole else None
        while not whole:
            more = handle.readline(LONGEST_LINE)
            whole = len(more) < LONGEST_LINE or more.endswith(b"\n")


def too_long() -> RowError:
    """What is wrong with a line that `lines_within` does not give."""
    return RowError(f"more than {LONGEST_LINE:,} bytes: expected a row")


def json_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file, each parsed when asked for; blank lines are passed over."""
    with open_utf8(path) as handle:
        for number, line in lines_within(handle):
            if line is None:
                yield Row(f"line {number}", failing(too_long()))
            elif line.strip():
                yield Row(f"line {number}", lambda line=line: parse_json(line))  # type: ignore[misc]


def json_array(path: Path) -> Iterator[Row]:
    """The rows of a file that is one JSON array, read in pieces: a large file is never held whole.

    Where it is no array, breaks off or goes on after its end, the last row is one that cannot be
    read: its error names line and row, and that nothing after it is read.

    Raises:
        DataError: the file cannot be opened.
    """
    number = depth = 0
    rest, within = b"", False
    with open_utf8(path) as handle:
        found = ijson.sendable_list()
        parser = ijson.items_coro(found, "item", map_type=Marked)
        begun = False
        while True:
            chunk, fault = handle.read(_CHUNK), None
            if not begun and chunk.strip():
                begun = True
                if not chunk.lstrip().startswith(b"["):
                    start = chr(chunk.lstrip()[0])
                    yield _last("line 1", f"{start!r}: expected '[' of a JSON array")
                    return
            depth = _deeper(chunk, depth)
            if depth > _DEEPEST:
                yield _last(f"row {number}", "nested too deep: expected fields")
                return
            ready, rest = _halves_marked(rest + chunk, last=not chunk)
            if chunk and (cut := _MAYBE_CUT.search(ready)):
                ready, rest = ready[: cut.start()], cut.group() + rest
            ready, within = _numbers_only(ready, within)
            try:
                if ready:
                    parser.send(ready)
                if not chunk:
                    parser.close()
            except Exception as error:  # ijson's own, and ValueError of a number too long
                fault = error
            for value in found:
                yield Row(f"row {number}", lambda value=value: _restored(value))  # type: ignore[misc]
                number += 1
            depth = 0 if found else depth  # brackets in captions do not add up
            del found[:]
            if fault:
                yield _last(f"line {_line_of_fault(path)}", _told(fault, number))
                return
            if not chunk:
                return


def _last(place: str, fault: str) -> Row:
    return Row(place, failing(RowError(f"{fault}; nothing after it is read")))


def _deeper(chunk: bytes, depth: int) -> int:
    """The deepest nesting of a chunk that starts at a depth; brackets in texts count too."""
    deepest = depth
    for bracket in chunk.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest if deepest > _DEEPEST else max(depth, 0)


def _halves_marked(content: bytes, last: bool) -> tuple[bytes, bytes]:
    """JSON with each half of a character marked, and what has to wait for the next piece.

    `json.loads` keeps such a half, and whoever reads the text refuses it; ijson loses it.
    """
    if b"\\" not in content:
        return content, b""
    safe = len(content) if last else len(content) - _LONGEST_ESCAPE
    pieces, at = list[bytes](), 0
    for found in _ESCAPE.finditer(content):
        if found.start() > safe:
            return b"".join([*pieces, content[at : found.start()]]), content[found.start() :]
        if found.group(1):
            pieces += [content[at : found.start()], _HALF.encode()]
            at = found.end()
    return b"".join([*pieces, content[at:]]), b""


def _numbers_only(content: bytes, within: bool) -> tuple[bytes, bool]:
    """JSON with null for NaN and infinity, which `json.loads` reads and ijson does not.

    Args:
        content: a piece that cuts no escape and no such word.
        within: whether it starts within a text.

    Returns:
        The piece, and whether it ends within a text.
    """
    if b"NaN" in content or b"Infinity" in content:
        pieces, at, inside = list[bytes](), 0, within
        for found in re.finditer(rb'\\.|"|-?\b(?:NaN|Infinity)\b', content, re.DOTALL):
            if found.group() == b'"':
                inside = not inside
            elif not inside and not found.group().startswith(b"\\"):
                pieces += [content[at : found.start()], b"null"]
                at = found.end()
        return b"".join([*pieces, content[at:]]), inside
    quotes = (_QUOTED.sub(b"", content) if b"\\" in content else content).count(b'"')
    return content, within ^ bool(quotes % 2)


class Marked(dict[str, Any]):
    """An object's fields while ijson reads them, and the name of one that came twice."""

    twice = ""

    def __setitem__(self, name: str, value: Any) -> None:
        self.twice = name if name in self else self.twice
        super().__setitem__(name, value)


def _restored(value: Any) -> Any:
    """A row as `parse_json` gives it, halves of characters included."""
    if isinstance(value, str):
        return value.replace(_HALF, "\ud800") if _HALF in value else value
    if isinstance(value, list):
        return [_restored(entry) for entry in value]
    if isinstance(value, dict):
        if isinstance(value, Marked) and value.twice:
            raise RowError(_TWICE.format(value.twice))
        return {_restored(name): _restored(entry) for name, entry in value.items()}
    return value


def _line_of_fault(path: Path) -> int:
    """Where a file stops being JSON, by a second pass: in pieces, then byte by byte."""

    def piece(size: int) -> bytes:  # with numbers of the same length for the words that are none
        return _NO_NUMBER.sub(lambda word: b"1" * len(word[0]), handle.read(size))

    last, line, parser = b"", 1, ijson.basic_parse_coro(ijson.sendable_list())
    with open_utf8(path) as handle:
        begin = handle.tell()
        while last := piece(_CHUNK):
            try:
                parser.send(last)
            except Exception:  # as in `json_array`
                break
            line += last.count(b"\n")
        start = handle.tell() - len(last)
        handle.seek(begin)
        parser = ijson.basic_parse_coro(ijson.sendable_list())
        while handle.tell() < start:
            parser.send(piece(min(_CHUNK, start - handle.tell())))
    for byte in last:
        try:
            parser.send(bytes([byte]))
        except Exception:  # as above
            break
        line += byte == ord("\n")
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
        return json.loads(decoded(content), object_pairs_hook=_fields)
    except json.JSONDecodeError as error:
        raise RowError(f"broken JSON at column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise error if isinstance(error, RowError) else RowError(str(error)) from error
    except RecursionError as error:
        raise RowError("nested too deep: expected fields with texts and numbers") from error


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of an object, each there once."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError(_TWICE.format(twice))
    return fields


def _fields_marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of an object; one that came twice is told when the row is read (`once`)."""
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    marked = Marked()
    for name, value in pairs:
        marked[name] = value
    return marked


def once(row: T) -> T:
    """A row of `whole_json`, each field of which is there once, also those of its parts.

    Raises:
        RowError: a field is there twice; `json` would keep the last one.
    """
    if isinstance(row, Marked) and row.twice:
        raise RowError(_TWICE.format(row.twice))
    for part in row.values() if isinstance(row, dict) else row if isinstance(row, list) else ():
        once(part)
    return row


def whole_json(path: Path, kind: type[T]) -> T:
    """A JSON file that is one list or dictionary; its rows go through `once`.

    Raises:
        DataError: broken JSON, another type at the top, or a field twice there.
    """
    try:
        stored = json.loads(decoded(path.read_bytes()), object_pairs_hook=_fields_marked)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}"
        raise DataError(f"{path}: broken JSON at {at}: {error.msg}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error
    if isinstance(stored, Marked) and stored.twice:
        raise DataError(f"{path}: {_TWICE.format(stored.twice)}")
    if not isinstance(stored, kind):
        found = type(stored).__name__
        raise DataError(f"{path}: expected a JSON {kind.__name__} at the top, found a {found}")
    return stored
