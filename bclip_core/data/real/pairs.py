"""Image–caption pairs of one's own: a folder, or a table (JSON lines, JSON, CSV, TSV, parquet)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bclip_core.data.real.rows import (
    DataError,
    LayoutError,
    Row,
    RowError,
    field_of,
    json_array,
    json_lines,
    shortened,
)

IMAGE_COLUMNS = ("image", "file_name", "filename", "image_path", "img_path", "path")
CAPTION_COLUMNS = ("caption", "captions", "text", "description")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
TABLES = ("metadata.jsonl", "metadata.json", "metadata.csv", "metadata.tsv", "metadata.parquet")


def source(place: Path, layout: str) -> tuple[Path, Iterator[Row], Path]:
    """The table (or folder), its rows with `image` and `caption`, and the pictures' folder.

    Args:
        place: a table, or a folder with one of `TABLES`, or a folder where `x.txt` is the caption
            of `x.jpg`.
        layout: for the error message.

    Raises:
        LayoutError: neither table nor pictures.
        DataError: no known table, or its columns are not known.
    """
    if place.is_dir():
        table = next((place / name for name in TABLES if (place / name).is_file()), None)
        if table is None:
            return place, _neighbours(place, layout), place
        place = table
    readers = {".jsonl": json_lines, ".jsonlines": json_lines, ".json": json_array}
    readers |= {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    if place.suffix.lower() not in readers:
        raise DataError(f"{place}: expected a table that ends in {', '.join(readers)}")
    rows = readers[place.suffix.lower()](place)
    return place, (_named(row) for row in rows), place.parent


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
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle, delimiter="\t" if path.suffix == ".tsv" else ",")
        while True:
            try:
                row = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as error:
                raise DataError(f"{path}, after line {reader.line_num}: {error}") from error
            if row is None:
                return
            place = f"line {reader.line_num}"
            yield Row(place, lambda row=row: _complete(row))  # type: ignore[misc]


def _complete(row: dict[Any, Any]) -> dict[Any, Any]:
    if None in row:
        raise RowError(f"more cells than columns: {shortened(row[None])} (a comma without quotes?)")
    return row


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    try:
        file = pq.ParquetFile(path)
    except Exception as error:  # pyarrow raises several kinds
        raise DataError(f"{path}: expected a parquet file: {error}") from error
    number = 0
    for batch in file.iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            yield Row(f"row {number}", lambda row=row: row)  # type: ignore[misc]
            number += 1


def _neighbours(folder: Path, layout: str) -> Iterator[Row]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_ENDINGS)
    if not files:
        tables = ", ".join(TABLES)
        raise LayoutError(f"{folder}: no pictures and none of {tables}; expected:\n{layout}")
    for path in files:
        name = path.relative_to(folder).as_posix()
        yield Row(f"picture {name}", _text_reader(name, path.with_suffix(".txt")))


def _text_reader(name: str, path: Path) -> Callable[[], dict[str, Any]]:
    def read() -> dict[str, Any]:
        if not path.is_file():
            raise RowError(f"picture {name!r}: no caption in {path.name} beside it")
        return {"image": name, "caption": path.read_text(encoding="utf-8")}

    return read
