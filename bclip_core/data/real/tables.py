"""CSV, TSV and parquet as rows; a row that cannot be read is one row, whatever follows it."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from bclip_core.data.real.json_files import decoded, lines_within, open_utf8, too_long
from bclip_core.data.real.rows import DataError, Row, RowError, failing, shortened

_ENDING = re.compile(r"\.[A-Za-z0-9]{2,5}$")  # of a picture's name


def csv_rows(path: Path, wanted: Collection[str]) -> Iterator[Row]:
    """The records of a CSV or TSV file, by the number of their first line.

    The header tells the separator: a tab where it has one (open_clip's tables end in .csv and are
    separated by tabs), else a comma, else a semicolon.

    A quote that is never closed would take every line up to the next quote for one caption. Such a
    record is refused by the line where it starts, and reading goes on with the next line.

    Args:
        path: of the file, whose first line is the header.
        wanted: names of columns, in lower case, that are read; a header has each at most once.

    Raises:
        DataError: the header cannot be read, or has a column of `wanted` twice.
    """
    with open_utf8(path) as handle:
        lines = lines_within(handle)
        records = _records(lines, "")
        try:
            place, header, separator = next(records, ("", [], ""))
        except RowError as error:
            raise DataError(f"{path}, header: {error}") from error
        if isinstance(header, RowError):
            raise DataError(f"{path}, {place}: {header}") from header
        columns = [name.strip() for name in header]
        _refuse_twice(path, columns, wanted)
        for place, cells, _ in _records(lines, separator, len(columns)):
            if isinstance(cells, RowError):
                yield Row(place, failing(cells))
            else:
                yield Row(place, lambda cells=cells: _fields(columns, cells))  # type: ignore[misc]


def _refuse_twice(path: Path, columns: Collection[str], wanted: Collection[str]) -> None:
    """Of two columns of a name a dictionary of fields would keep one, whatever the other holds."""
    names = [name.strip().lower() for name in columns]
    twice = sorted({name for name in names if name in wanted and names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {', '.join(map(repr, twice))} twice: expected it once")


def _records(
    lines: Iterator[tuple[int, bytes | None]], separator: str, columns: int = 0
) -> Iterator[tuple[str, list[str] | RowError, str]]:
    pending = deque[tuple[int, bytes | None]]()
    while True:
        taken: list[tuple[int, bytes]] = []
        if not pending:
            pending.extend([first] if (first := next(lines, None)) else [])
        if not pending:
            return
        place, head = f"line {pending[0][0]}", pending[0][1]
        found: list[str] | RowError
        try:
            if head is None:
                raise too_long()
            separator = separator or _separator(decoded(head))
            feed = _texts(pending, lines, taken)
            found = next(csv.reader(feed, delimiter=separator, strict=True), [])
            if columns and len(taken) > 1:
                _refuse_swallowed(found, taken, separator, columns)
        except csv.Error as error:
            found = RowError(f"{error} (a quote that is not closed or not doubled?)")
        except RowError as error:
            found = error
        if isinstance(found, RowError):
            separator = separator or ","
            rest: list[tuple[int, bytes | None]] = [*taken] or [pending.popleft()]
            pending.extendleft(reversed(rest[1:]))  # the lines after it are records of their own
        if found:
            yield place, found, separator


def _texts(
    pending: deque[tuple[int, bytes | None]],
    lines: Iterator[tuple[int, bytes | None]],
    taken: list[tuple[int, bytes]],
) -> Iterator[str]:
    while line := pending.popleft() if pending else next(lines, None):
        if line[1] is None:
            pending.appendleft(line)
            return
        taken.append((line[0], line[1]))
        yield decoded(line[1])


def _separator(header: str) -> str:
    return next((each for each in "\t,;" if each in header), ",")


def _refuse_swallowed(
    cells: list[str], taken: list[tuple[int, bytes]], separator: str, columns: int
) -> None:
    """Refuse a record whose further lines look like records: a stray quote that met another."""
    named = [n for n, cell in enumerate(cells) if _ENDING.search(cell) and "\n" not in cell]
    for number, line in taken[1:]:
        inner = decoded(line).rstrip("\r\n").split(separator)
        if len(inner) >= columns > 1 and any(
            _same_kind(inner[n].strip('"'), cells[n]) for n in named
        ):
            text = f"it holds line {number}, which looks like a row of its own"
            raise RowError(f"{text}: a quote that is not closed?")


def _same_kind(one: str, other: str) -> bool:
    mine, theirs = _ENDING.search(one), _ENDING.search(other)
    return bool(mine and theirs) and mine.group().lower() == theirs.group().lower()  # type: ignore[union-attr]


def _fields(columns: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) > len(columns):
        rest = shortened(cells[len(columns) :])
        raise RowError(f"more cells than columns: {rest} (a comma without quotes?)")
    return dict(zip(columns, [*cells, *[None] * (len(columns) - len(cells))], strict=True))


def parquet_rows(path: Path, wanted: Collection[str]) -> Iterator[Row]:
    """The rows of a parquet file, of the columns `wanted` alone.

    The rows of a damaged group are left to the caller as rows that cannot be read.

    Raises:
        DataError: no parquet file, or none of the columns.
    """
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
    except Exception as error:  # pyarrow raises several kinds
        raise DataError(f"{path}: expected a parquet file: {error}") from error
    columns = [name for name in names if name.strip().lower() in wanted]
    _refuse_twice(path, columns, wanted)
    if not columns:
        raise DataError(f"{path}: no column {' or '.join(wanted)}; it has {', '.join(names)}")
    start = 0
    for group in range(file.num_row_groups):
        number, end = start, start + file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(1024, row_groups=[group], columns=columns):
                for row in batch.to_pylist():
                    yield Row(f"row {number}", lambda row=row: row)  # type: ignore[misc]
                    number += 1
        except Exception as error:  # pyarrow raises several kinds
            fault = RowError(f"damaged parquet: {error}")
            for lost in range(number, end):  # each is counted
                yield Row(f"row {lost}", failing(fault))
        start = end


Reader = Callable[[Path], Iterator[Row]]
