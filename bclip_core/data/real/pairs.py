"""Image–caption pairs of one's own: a folder, or a table (JSON lines, JSON, CSV, TSV, parquet)."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.images import SUFFIXES, UNREAD_SUFFIXES
from bclip_core.data.real.folder import LARGEST_CAPTION, read_text, require_file, visible, walk
from bclip_core.data.real.json_files import json_array, json_lines, parse_json
from bclip_core.data.real.record import DataSet, Place, Source
from bclip_core.data.real.rows import (
    DataError,
    LayoutError,
    Row,
    RowError,
    Unused,
    failing,
    field_of,
    refuse_mark_of_none,
    shortened,
    tell_unread,
)
from bclip_core.data.real.tables import csv_rows, parquet_rows

# Rows that somebody may have meant, in files that are not read beside pictures with texts.
_UNREAD = (".gz", ".zip", ".tar", ".tgz", ".xlsx", ".xls", ".ods", ".7z", ".zst", ".arrow")
IMAGE_COLUMNS = ("image", "file_name", "filename", "image_path", "img_path", "path", "filepath")
CAPTION_COLUMNS = ("caption", "captions", "text", "description", "title")
TABLES = ("metadata.jsonl", "metadata.json", "metadata.csv", "metadata.tsv", "metadata.parquet")
_COLUMNS = (*IMAGE_COLUMNS, *CAPTION_COLUMNS, "summary", "key")
_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".jsonlines": json_lines,
    ".json": json_array,
    ".csv": lambda path: csv_rows(path, _COLUMNS),
    ".tsv": lambda path: csv_rows(path, _COLUMNS),
    ".parquet": lambda path: parquet_rows(path, _COLUMNS),
}


def read(place: Place) -> Source:
    """A table, a folder with one of `TABLES`, or a folder where `x.txt` is the caption of `x.jpg`.

    Rows of one picture are its captions, so a table may have a row per caption. img2dataset's
    folders are read as folders; a table of its own (`00000.parquet`) names pictures by their key.
    """
    table = place.folder
    if not table.is_dir():
        return Source(table, _rows(table), table.parent)
    there = {name: path for path in visible(table) if (name := path.name.lower()) in TABLES}
    found = [there[name] for name in TABLES if name in there]
    if not found:
        return Source(table, _neighbours(place), table)
    tell_unread("pairs", [path.name for path in found])
    table = require_file(found[0], place.record.layout, place.folder, place.links)
    return Source(table, _rows(table, place), place.folder)


def _rows(table: Path, place: Place | None = None) -> Iterator[Row]:
    """The rows of a table, and of a folder's also the pictures that none of them names.

    Raises:
        DataError: a table of another kind.
    """
    if table.suffix.lower() not in _READERS:
        raise DataError(f"{table}: expected a table that ends in {', '.join(_READERS)}")
    return _with_unnamed(_READERS[table.suffix.lower()](table), table, place)


def _with_unnamed(rows: Iterator[Row], table: Path, place: Place | None) -> Iterator[Row]:
    named, failed = set[str](), 0

    def value(row: Row) -> dict[str, Any]:
        nonlocal failed
        failed += 1
        found = _renamed(row.value(), row.place, table)
        if isinstance(found["image"], str):
            named.add(_plain(found["image"].removeprefix(f"{table.parent}/")))
            failed -= 1
        return found

    for row in rows:
        yield Row(row.place, lambda row=row: value(row))  # type: ignore[misc]
    files = [path.relative_to(table.parent).as_posix() for path in _pictures(table, place)]
    unnamed = [name for name in files if _plain(name) not in named]
    if (
        named and len(unnamed) > failed
    ):  # else the rows that cannot be read are theirs, and are named
        for name in unnamed:
            yield Row(f"picture {name}", failing(Unused(f"no row of {table.name} names it")))


def _pictures(table: Path, place: Place | None) -> Iterator[Path]:
    endings = (*SUFFIXES, *UNREAD_SUFFIXES)
    for path, _ in walk(table.parent, place.links) if place else ():
        if path.suffix.lower() in endings:
            yield path


def _plain(name: str) -> str:
    """A picture's name without what `PictureRoot` reads as the same."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/"))


def _renamed(row: Any, place: str, table: Path) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise RowError(f"{shortened(row)}: expected a dictionary of fields")
    names = [str(name).strip().lower() for name in row]
    fields = dict(zip(names, row.values(), strict=True))
    twice = next((name for name in _COLUMNS if names.count(name) > 1), None)
    if twice:
        raise RowError(f"field {twice!r} twice, in small letters and in capitals: expected one")
    if "key" in fields and (table.parent / table.stem).is_dir():
        fields.setdefault("image", _of_key(str(fields["key"]), table))
    image, caption = _column(fields, IMAGE_COLUMNS), _column(fields, CAPTION_COLUMNS)
    renamed = {"caption": _captions(fields[caption]), "summary": fields.get("summary") or ""}
    stored = fields[image]
    if isinstance(stored, bytes):
        stored = {"bytes": stored}
    if isinstance(stored, dict):  # as `datasets` stores an embedded picture
        if stored.get("bytes") is not None or not isinstance(stored.get("path"), str):
            name = stored.get("path") or place
            return renamed | {"image": name, "bytes": field_of(stored, "bytes", bytes)}
        stored = stored["path"]
    if isinstance(stored, str):  # one picture has one name, so that its captions meet
        stored = re.sub(r"^(\./+)+", "", stored.strip())
    return renamed | {"image": stored}


def _captions(value: Any) -> Any:
    """A caption; a list of them that a table holds as a text, as pandas writes one, as a list.

    Raises:
        RowError: what tables of programs have where there is none.
    """
    text = value.strip() if isinstance(value, str) else ""
    refuse_mark_of_none(text)
    if not (text.startswith(("['", '["')) and text.endswith(("']", '"]'))):
        return value
    for read in (json.loads, ast.literal_eval):  # which reads constants and runs nothing
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return found
    return value


def _of_key(key: str, table: Path) -> str:
    """The picture that img2dataset saved under a key, in the folder named as its table."""
    named = (f"{table.stem}/{key}{ending}" for ending in SUFFIXES)
    return next((n for n in named if (table.parent / n).is_file()), f"{table.stem}/{key}.jpg")


def _column(row: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in row:
            return name
    raise RowError(f"no field {' or '.join(map(repr, names))}; it has {', '.join(map(str, row))}")


def _neighbours(place: Place) -> Iterator[Row]:
    """Pictures with the text beside each; a text without a picture is named."""
    folder, pictures, texts, unread = place.folder, list[Path](), list[Path](), list[Path]()
    for path, fault in walk(folder, place.links):
        if fault:
            name = path.relative_to(folder).as_posix()
            yield Row(f"folder {name}", failing(Unused(fault)))
        elif path.suffix.lower() in SUFFIXES:
            pictures.append(path)
        elif path.suffix.lower() in (".txt", ".json"):
            texts.append(path)
        elif path.suffix.lower() in (*UNREAD_SUFFIXES, *_UNREAD, *_READERS):
            unread.append(path)
    if not pictures:
        tables = ", ".join(TABLES)
        expected = place.record.layout
        others = f" (not read: {', '.join(path.name for path in unread[:3])})" if unread else ""
        raise LayoutError(
            f"{folder}: no pictures and none of {tables}{others}; expected:\n{expected}"
        )
    beside = dict[tuple[Path, str], Path]()
    for path in texts:  # of several the last: `x.txt`, which comes after `x.TXT`
        beside[path.with_suffix(""), path.suffix.lower()] = path
    doubles = [path for path in texts if path not in beside.values()]
    for path in sorted(pictures):
        name, stem = path.relative_to(folder).as_posix(), path.with_suffix("")
        text, told = beside.get((stem, ".txt")), beside.get((stem, ".json"))
        yield Row(f"picture {name}", _text_reader(name, text, told, place))
    for path in doubles:
        taken = beside[path.with_suffix(""), path.suffix.lower()].name
        name = path.relative_to(folder).as_posix()
        yield Row(f"text {name}", failing(RowError(f"{taken} beside it is the caption: two texts")))
    for path in unread:
        name = path.relative_to(folder).as_posix()
        yield Row(f"file {name}", failing(Unused(f"{path.suffix} is not read here")))
    stems = {path.with_suffix("") for path in pictures}
    by_json = any((stem, ".json") in beside and (stem, ".txt") not in beside for stem in stems)
    for path in texts:
        named = path.suffix.lower() == ".txt" or (by_json and not path.stem.endswith("_stats"))
        if named and path.with_suffix("") not in stems:
            name = path.relative_to(folder).as_posix()
            yield Row(f"text {name}", failing(Unused("no picture beside it")))


def _text_reader(
    name: str, text: Path | None, told: Path | None, place: Place
) -> Callable[[], dict[str, Any]]:
    """Reads a picture's text, or else what img2dataset tells of it in JSON."""

    def read() -> dict[str, Any]:
        try:
            if text is not None and (text.is_file() or text.is_symlink()):
                return {
                    "image": name,
                    "caption": read_text(text, place.folder, place.links, LARGEST_CAPTION),
                }
            if told is not None and told.is_file():
                row = parse_json(read_text(told, place.folder, place.links).encode())
                return {"image": name, "caption": field_of(row, "caption", str)}
        except RowError as error:
            raise RowError(f"picture {name!r}: {error}") from error
        raise RowError(f"picture {name!r}: no caption in {Path(name).stem}.txt beside it")

    return read


PAIRS = DataSet(
    name="pairs",
    task="captions",
    title="pairs of your own",
    source="yours",
    licence="yours",
    size="any",
    splits=Fixed({"train": 0, "test": 0}),
    folder="pairs",
    read=read,
    layout="TABLE.jsonl, .json, .csv, .tsv or .parquet with the columns image and caption, or\n"
    "a folder with metadata.jsonl (.json, .csv, .tsv, .parquet), or\n"
    "a folder of pictures, where x.txt is the caption of x.jpg",
    example='{"image": "photos/dog.jpg", "caption": "A dog on a sofa."}',
    rows_share_pictures=True,
    note="Pictures are named relative to the table's folder; several rows of one are its captions.",
)
