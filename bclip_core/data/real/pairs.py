"""Image–caption pairs of one's own: a folder, or a table (JSON lines, JSON, CSV, TSV, parquet)."""

from __future__ import annotations

import csv
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bclip_core.data.real.folder import read_text, require_inside
from bclip_core.data.real.rows import (
    UTF16,
    DataError,
    LayoutError,
    Row,
    RowError,
    decoded,
    field_of,
    json_array,
    json_lines,
    parse_json,
    shortened,
    text_of,
)
from bclip_core.records.files import is_hidden

IMAGE_COLUMNS = ("image", "file_name", "filename", "image_path", "img_path", "filepath", "path")
CAPTION_COLUMNS = ("caption", "captions", "text", "description", "title")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
TABLES = ("metadata.jsonl", "metadata.json", "metadata.csv", "metadata.tsv", "metadata.parquet")
LONGEST_FIELD = 1000  # lines; a quote that is still open then was not meant as one


def source(place: Path, layout: str, links: str = "inside") -> tuple[Path, Iterator[Row], Path]:
    """The table (or folder), its rows with `image` and `caption`, and the pictures' folder.

    Rows of a table that name the same picture are its several captions.

    Args:
        place: a table, or a folder with one of `TABLES`, or a folder where `x.txt` (or the field
            `caption` of `x.json`, as img2dataset writes it) is the caption of `x.jpg`.
        layout: for the error message.
        links: "inside" or "follow", see `folder`.

    Raises:
        LayoutError: neither table nor pictures.
        DataError: no known table, or its columns are not known.
    """
    if place.is_dir():
        there = {path.name.lower(): path for path in sorted(place.iterdir(), reverse=True)}
        table = next((there[name] for name in TABLES if name in there), None)
        if table is None or not table.is_file():
            return place, _neighbours(place, layout, links), place
        place = table
    readers = {".jsonl": json_lines, ".jsonlines": json_lines, ".json": json_array}
    readers |= {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    if place.suffix.lower() not in readers:
        raise DataError(f"{place}: expected a table that ends in {', '.join(readers)}")
    rows = readers[place.suffix.lower()](place)
    return place, _by_picture(_named(row) for row in rows), place.parent


def _by_picture(rows: Iterable[Row]) -> Iterator[Row]:
    """One row per picture; a row that cannot be read stays where it is."""
    found = dict[str, tuple[str, dict[str, Any]]]()
    ordered = list[Row]()
    for row in rows:
        try:
            value = row.value()
            name = field_of(value, "image", str)
            for text in _as_list(value["caption"]):
                text_of(text, "caption")
        except Exception:  # read again where it is counted and named
            ordered.append(row)
            continue
        if name not in found:
            found[name] = (row.place, value)
            ordered.append(Row(row.place, lambda value=value: value))  # type: ignore[misc]
            continue
        place, first = found[name]
        same = all(value.get(key) == first.get(key) for key in ("summary", "bytes"))
        if not same:
            ordered.append(Row(row.place, lambda n=name, p=place: _refuse_second(n, p)))  # type: ignore[misc]
            continue
        first["caption"] = [*_as_list(first["caption"]), *_as_list(value["caption"])]
    yield from ordered


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _refuse_second(name: str, place: str) -> None:
    raise RowError(f"picture {name!r}: stands at {place} with another summary or content")


def _named(row: Row) -> Row:
    return Row(row.place, lambda: _renamed(row.value(), row.place))


def _renamed(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise RowError(f"{shortened(row)}: expected a dictionary of fields")
    image, caption = _column(row, IMAGE_COLUMNS), _column(row, CAPTION_COLUMNS)
    renamed = {"caption": row[caption], "summary": row.get("summary") or ""}
    if isinstance(row[image], dict):  # as `datasets` stores an embedded picture
        name = row[image].get("path") or place
        return renamed | {"image": name, "bytes": field_of(row[image], "bytes", bytes)}
    return renamed | {"image": row[image]}


def _column(row: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in row:
            return name
    raise RowError(f"no field {' or '.join(map(repr, names))}; it has {', '.join(map(str, row))}")


def _csv(path: Path) -> Iterator[Row]:
    """Rows of a table with commas, or tabs (`.tsv`, and open_clip's `.csv`)."""
    lines = _lines(path)
    head = lines[0] if lines and isinstance(lines[0], str) else ""
    tabs = path.suffix.lower() == ".tsv" or ("\t" in head and "," not in head)
    records = _records(lines, "\t" if tabs else ",")
    _, header = next(records, ("", []))
    if isinstance(header, RowError):
        raise DataError(f"{path}, line 1: {header}")
    for place, cells in records:
        yield Row(place, lambda cells=cells: _complete(header, cells))  # type: ignore[misc]


def _lines(path: Path) -> list[str | RowError]:
    """The lines of a text file; one that is no UTF-8 is its error, and the others are read."""
    content = path.read_bytes()
    if content[:2] in UTF16:
        try:
            return [*decoded(content, str(path)).splitlines(keepends=True)]
        except RowError as error:
            raise DataError(str(error)) from error
    lines = list[str | RowError]()
    for line in content.splitlines(keepends=True):
        try:
            lines.append(decoded(line, "the line"))
        except RowError as error:
            lines.append(error)
    return lines


def _records(
    lines: list[str | RowError], delimiter: str
) -> Iterator[tuple[str, list[str] | RowError]]:
    """Records of a table with the place of each, or what is wrong with the line that begins one.

    A quote that is never closed would swallow every later row up to the next quote: then the line
    that opened it is the bad row, and reading goes on after that line.
    """
    waiting = deque(enumerate(lines, start=1))
    while waiting:
        number, line = waiting.popleft()
        if isinstance(line, RowError):
            yield f"line {number}", line
            continue
        if not line.strip():
            continue
        taken, cells = [line], _cells([line], delimiter)
        ahead = itertools.islice(waiting, LONGEST_FIELD)
        while cells is None and isinstance(more := next(ahead, (0, None))[1], str):
            taken.append(more)
            if '"' in more:
                cells = _cells(taken, delimiter)
        place = f"line {number}"
        if cells is None:
            yield place, RowError(f"{shortened(line)}: a quote that is never closed")
        elif isinstance(cells, list) and _swallows_rows(taken, delimiter):
            last = number + len(taken) - 1
            problem = f"a quote that is open until line {last}, over what looks like other rows"
            yield place, RowError(f"{shortened(line)}: {problem}")
        elif isinstance(cells, RowError):
            yield place, cells
        else:
            for _ in taken[1:]:
                waiting.popleft()
            yield place, cells


def _cells(lines: list[str], delimiter: str) -> list[str] | RowError | None:
    """The cells of one record; None while a quote is open, an error where quotes are wrong."""
    try:
        return next(csv.reader(lines, delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return None
        return RowError(f"{shortened(lines[0])}: {error}")


def _swallows_rows(lines: list[str], delimiter: str) -> bool:
    """Whether a record over several lines holds one that begins as a row does, with a picture."""
    return any(
        line.split(delimiter)[0].strip().strip('"').lower().endswith(PICTURE_ENDINGS)
        for line in lines[1:]
    )


def _complete(header: list[str], cells: list[str] | RowError) -> dict[str, str]:
    if isinstance(cells, RowError):
        raise cells
    if len(cells) > len(header):
        extra = shortened(cells[len(header) :])
        raise RowError(f"more cells than columns: {extra} (a comma without quotes?)")
    if len(cells) < len(header):
        raise RowError(f"{len(cells)} cells, expected {len(header)}: {', '.join(header)}")
    return dict(zip(header, cells, strict=True))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    try:
        file = pq.ParquetFile(path)
    except Exception as error:  # pyarrow raises several kinds
        raise DataError(f"{path}: expected a parquet file: {error}") from error
    # Other columns may hold what Python has no value for (dates beyond year 9999).
    read = {*IMAGE_COLUMNS, *CAPTION_COLUMNS, "summary"}
    columns = [name for name in file.schema_arrow.names if name in read]
    if not columns:
        there = ", ".join(file.schema_arrow.names)
        raise DataError(f"{path}: no column of an image; it has {there}")
    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            for row in batch.to_pylist():
                yield Row(f"row {number}", lambda row=row: row)  # type: ignore[misc]
                number += 1
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise DataError(f"{path}, after row {number}: damaged: {error}") from error


def _neighbours(folder: Path, layout: str, links: str) -> Iterator[Row]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_ENDINGS and not is_hidden(path.relative_to(folder))
    )
    if not files:
        tables = ", ".join(TABLES)
        raise LayoutError(f"{folder}: no pictures and none of {tables}; expected:\n{layout}")
    for path in files:
        name = path.relative_to(folder).as_posix()
        yield Row(f"picture {name}", _caption_beside(name, path, folder, links))


def _caption_beside(name: str, path: Path, folder: Path, links: str) -> Callable[[], Any]:
    def read() -> dict[str, Any]:
        text, notes = path.with_suffix(".txt"), path.with_suffix(".json")
        try:
            if text.is_symlink() or text.is_file():
                return {"image": name, "caption": read_text(text, folder, links)}
            if notes.is_symlink() or notes.is_file():
                stored = parse_json(require_inside(notes, folder, links).read_bytes())
                return {"image": name, "caption": field_of(stored, "caption", str)}
        except RowError as error:
            raise RowError(f"picture {name!r}: {error}") from error
        raise RowError(f"picture {name!r}: no caption in {text.name} beside it")

    return read
