"""Training rows from WebDataset shards, parquet files or a hub's stream, through one Arrow file.

A stream can be read in its own order alone, once, and nobody knows how long it is. So it is read
once, a few rows in memory at a time, into Arrow files in the cache; a training then reads these as
any other data: all rows equally often, shared by processes, the same bits after a resume. It costs
the disk space of the pictures once more.

Files name their split as hubs do: `test-00000.tar`, `validation/00000.tar`. What names none, or
train, is trained on; what is measured on is read whole into memory, so many rows as are asked for.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from lzma import LZMAError
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
from datasets.arrow_writer import ArrowWriter

from bclip_core.captions import PhraseExtractor, decompose_dataset
from bclip_core.data.images import SUFFIXES
from bclip_core.data.real.folder import PictureRoot
from bclip_core.data.real.json_files import decoded, parse_json
from bclip_core.data.real.layouts import caption_builder
from bclip_core.data.real.pairs import CAPTION_COLUMNS, IMAGE_COLUMNS
from bclip_core.data.real.rows import (
    DataError,
    LayoutError,
    LeftOut,
    Row,
    RowError,
    refuse_mark_of_none,
    shortened,
)
from bclip_core.data.real.sets import CaptionedImage, CaptionSet
from bclip_core.data.real.shard_files import HUB, NAME, TARS, files_of
from bclip_core.data.real.tar_members import LARGE, TWICE, BehindEndError, NoEndError, members
from bclip_core.data.real.training import MANY, kept, text_row
from bclip_core.data.scenes.build import cache_folder
from bclip_core.records.files import remove_partial, resolved, write_atomically
from bclip_core.records.locks import lock
from bclip_core.records.machine import usable_cores

_TOGETHER = 64  # rows that are held in memory
_SHOWN = 5  # rows left out that are named
_BOTH = {".json", ".txt"}  # where a row has both, the caption is that of .txt
_TEXTS = datasets.Features(
    {"id": datasets.Value("string"), "caption": datasets.Value("string"),
     "short_captions": datasets.List(datasets.Value("string"))}
)  # fmt: skip
_PICTURES = datasets.Features({"image": datasets.Image(decode=False)})


def stream_rows(
    source: str,
    limit: int,
    bad_rows: str = "raise",
    extractor: PhraseExtractor | None = None,
    links: str = "inside",
) -> datasets.Dataset:
    """The columns of `batches.REQUIRED_COLUMNS` of the first rows of a stream, kept in the cache.

    Shards hold `name.jpg` (or another picture) followed by `name.txt` or `name.json` with the
    caption; a table has columns as those of `pairs`.

    Args:
        source: a folder with `*.tar` or `*.parquet`, or "hub:" and what `datasets` streams.
        limit: so many rows, as they come.
        bad_rows: a row without picture or caption, or a broken shard: "raise", or "skip" leaves it
            out; how many is printed, and which.
        extractor: finds the phrases; None takes `captions.default_extractor()`.
        links: of files and folders, see `shard_files.files_of`.

    Raises:
        LayoutError: no shard or table there.
        DataError: a row or a shard is not as it should be; it is named.
        OSError: the cache cannot be written.
    """
    files, left_out = files_of(source, "train", links, bad_rows)
    marks = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    identity = json.dumps([marks or source, limit, bad_rows])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = cache_folder() / "captions" / f"{NAME}-{digest}"
    with kept(), lock(folder):
        if not folder.is_dir():
            remove_partial(folder)
            write_atomically(folder, partial(_convert, source, files, limit, bad_rows, left_out))
        texts = datasets.Dataset.from_file(str(folder / "texts.arrow"))
        processes = usable_cores() if len(texts) >= MANY else None
        texts = decompose_dataset(texts, extractor=extractor, num_proc=processes)
    pictures = datasets.Dataset.from_file(str(folder / "pictures.arrow"))
    print(f"{NAME} train: {len(texts):,} rows of {source}")
    whole = datasets.concatenate_datasets([texts, pictures], axis=1)
    return whole.cast_column("image", datasets.Image())


def held_out(
    source: str, split: str, limit: int, bad_rows: str = "raise", links: str = "inside"
) -> CaptionSet:
    """The first captioned pictures of a split, to be measured on; the pictures are in memory.

    Args:
        source: as of `stream_rows`.
        split: "test" or "validation".
        limit: so many, as they come.
        bad_rows: as of `stream_rows`.
        links: as of `stream_rows`.

    Raises:
        LayoutError: no shard or table there, or none of this split.
        DataError: a row or a shard is not as it should be; it is named.
    """
    files, left_out = files_of(source, split, links, bad_rows)
    items, whole = list[CaptionedImage](), True
    for item in _items(source, files, split, bad_rows, left_out):
        if len(items) == limit:
            whole = False
            break
        items.append(item)
    if not items:
        raise LayoutError(f"{source}: no row can be used: {_reasons(left_out)}")
    _tell(left_out)
    parts = [text.partition(": ") for text in left_out]
    faults = tuple(LeftOut(place, reason) for place, _, reason in parts)
    folder = "" if source.startswith(HUB) else resolved(Path(source)).name
    return CaptionSet(NAME, split, tuple(items), faults, whole, folder=folder)


def _convert(
    source: str, files: list[Path], limit: int, bad_rows: str, left_out: list[str], folder: Path
) -> None:
    """Write `texts.arrow` and `pictures.arrow`; of the rows no more than a few are in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    used = 0
    texts, pictures = (
        ArrowWriter(features=kind, path=str(folder / f"{name}.arrow"), writer_batch_size=_TOGETHER)
        for name, kind in (("texts", _TEXTS), ("pictures", _PICTURES))
    )
    with texts, pictures:
        for item in _items(source, files, "train", bad_rows, left_out):
            texts.write(text_row(item))
            pictures.write({"image": {"bytes": item.image, "path": None}})
            used += 1
            if used == limit:
                break
        if not used:
            raise LayoutError(f"{source}: no row can be used: {_reasons(left_out)}")
        texts.finalize()
        pictures.finalize()
    _tell(left_out)


def _reasons(left_out: list[str]) -> str:
    return "; ".join(left_out[:_SHOWN]) or "there is none"


def _tell(left_out: list[str]) -> None:
    if left_out:
        more = "; ..." if len(left_out) > _SHOWN else ""
        print(f"{NAME}: left out {len(left_out):,}: {'; '.join(left_out[:_SHOWN])}{more}")


def _items(
    source: str, files: list[Path], split: str, bad_rows: str, left_out: list[str]
) -> Iterator[CaptionedImage]:
    """Captioned pictures in order; `left_out` gets what is none, as "place: reason"."""
    build = caption_builder(PictureRoot("shards", look=False))
    tars = bool(files) and files[0].name.lower().endswith(TARS)
    for row in _tar_rows(files, bad_rows) if tars else _table_rows(source, files, split, bad_rows):
        try:
            yield build(row.value(), left_out.append)
        except RowError as error:
            if bad_rows == "raise":
                raise DataError(f"{row.place}: {error}") from error
            left_out.append(f"{row.place}: {error}")


def _tar_rows(shards: list[Path], bad_rows: str) -> Iterator[Row]:
    """The rows of shards in order; neighbours of one name are a row."""
    for shard in shards:
        name, parts, before = "", dict[str, Any](), set[str]()
        seen = set[str]()
        try:
            for key, ending, read in members(shard):
                if key != name and parts:
                    yield _row(shard, name, parts, seen)
                    parts, before = {}, set(parts)
                name = key
                parts[ending] = TWICE if ending in parts else read()
        except (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError) as error:
            problem = f"{shard}: cannot be read on after {name!r}: {error}"
            if bad_rows == "raise":
                raise DataError(problem) from error
            yield Row(str(shard), partial(_refuse, problem))
            if not isinstance(error, BehindEndError | NoEndError):
                continue  # the row that the cut went through is not whole
            if isinstance(error, NoEndError) and before >= _BOTH and not set(parts) >= _BOTH:
                reason = f"files {sorted(parts)}: the cut took .txt or .json away, as others have"
                yield Row(f"{shard.name}/{name}", partial(_refuse, reason))
                continue
        if parts:
            yield _row(shard, name, parts, seen)


def _refuse(problem: str) -> Any:
    raise RowError(problem)


def _row(shard: Path, name: str, parts: dict[str, Any], seen: set[str]) -> Row:
    place, twice = f"{shard.name}/{name}", name in seen
    seen.add(name)
    value = partial(_refuse, "this name is twice in the shard") if twice else None
    return Row(place, value or partial(_from_parts, place, parts))


def _from_parts(place: str, parts: dict[str, Any]) -> dict[str, Any]:
    for mark, why in ((TWICE, "twice"), (LARGE, "larger than what is read")):
        if named := sorted(ending for ending, part in parts.items() if part is mark):
            raise RowError(f"files {named}: {why}")
    pictures = [part for ending, part in parts.items() if ending in SUFFIXES]
    if len(pictures) != 1:
        wanted = "one picture" if pictures else "a picture"
        raise RowError(f"files {sorted(parts)}: expected {wanted} ({', '.join(SUFFIXES)})")
    told: dict[str, Any] = {}
    try:
        if parts.get(".json") is not None:
            told = parse_json(parts[".json"])
        if not isinstance(told, dict):
            raise RowError(f"{place}.json: {shortened(told)}: expected a dictionary of fields")
        text = decoded(parts[".txt"]) if parts.get(".txt") else None
    except ValueError as error:
        raise RowError(f"its text cannot be read: {error}") from error
    column = next((name for name in CAPTION_COLUMNS if told.get(name)), None)
    caption = text if text is not None else told[column] if column else None
    if caption is None:
        raise RowError(
            f"files {sorted(parts)}: expected a caption: .txt, or .json with one of "
            f"{', '.join(CAPTION_COLUMNS)}"
        )
    refuse_mark_of_none(caption)
    return {
        "image": place,
        "bytes": pictures[0],
        "caption": caption,
        "summary": told.get("summary"),
    }


def _table_rows(source: str, files: list[Path], split: str, bad_rows: str) -> Iterator[Row]:
    """The rows of tables one after the other, or of a hub's stream."""
    numbers = count()
    if source.startswith(HUB):
        yield from _stream_rows(source, partial(_hub_stream, source, split), numbers, bad_rows)
    for file in files:
        yield from _stream_rows(str(file), partial(_parquet_stream, file), numbers, bad_rows)


def _stream_rows(
    place: str,
    begin: Callable[[], datasets.IterableDataset | None],
    numbers: Iterator[int],
    bad_rows: str,
) -> Iterator[Row]:
    try:
        stream = begin()
        if stream is None:
            return
        columns = stream.column_names or list(next(iter(stream), {}))
        image, caption = (
            next((name for wanted in known for name in columns if name.lower() == wanted), "")
            for known in (IMAGE_COLUMNS, CAPTION_COLUMNS)
        )
        if not image or not caption:
            raise DataError(
                f"{place}: columns {columns}: expected one of {', '.join(IMAGE_COLUMNS)} and one "
                f"of {', '.join(CAPTION_COLUMNS)}"
            )
        for row in stream.cast_column(image, datasets.Image(decode=False)):
            number = next(numbers)
            yield Row(f"row {number}", partial(_from_table, number, row, image, caption))
    except (DataError, LayoutError):
        raise
    except Exception as error:  # pyarrow, datasets and the system raise many kinds
        problem = f"cannot be read on: {' '.join(str(error).split())}"
        if bad_rows == "raise":
            raise DataError(f"{place}: {problem}") from error
        yield Row(place, partial(_refuse, problem))


def _parquet_stream(file: Path) -> datasets.IterableDataset | None:
    """A table's rows; None where it has none, which `datasets` takes for an error."""
    if not pq.read_metadata(file).num_rows:
        return None
    return datasets.load_dataset("parquet", data_files=[str(file)], split="train", streaming=True)


def _hub_stream(source: str, split: str) -> datasets.IterableDataset:
    try:
        return datasets.load_dataset(source.removeprefix(HUB), split=split, streaming=True)
    except ValueError as error:  # what `datasets` says of a split that is not there
        raise LayoutError(f"{source}, split {split!r}: {error}") from error


def _from_table(number: int, row: dict[str, Any], image: str, caption: str) -> dict[str, Any]:
    stored = row[image] or {}
    if not stored.get("bytes"):
        raise RowError(f"{image}={shortened(stored)}: expected the content of a picture")
    name = row.get("id") or row.get("__key__") or f"{number:08d}"
    refuse_mark_of_none(row[caption])
    found = {"image": str(name), "bytes": stored["bytes"], "caption": row[caption]}
    return found | {"summary": row.get("summary")}
