"""Data sets from their hub through `datasets`, for those who have internet; streamed if wanted."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import datasets

from bclip_core.data.real.folder import PictureRoot
from bclip_core.data.real.layouts import caption_builder
from bclip_core.data.real.loading import get
from bclip_core.data.real.record import choose
from bclip_core.data.real.rows import (
    DataError,
    Drop,
    Options,
    Row,
    RowError,
    gather,
    shortened,
    text_of,
)
from bclip_core.data.real.sets import (
    CaptionSet,
    LabelledImage,
    LabelledSet,
)
from bclip_core.data.real.sharegpt4v import HELD_OUT, answer_of
from bclip_core.records.texts import is_blank, lines_of


def load_hub(
    name: str,
    split: str = "test",
    *,
    source: str | os.PathLike[str] | None = None,
    streaming: bool = False,
    bad_rows: str = "raise",
) -> datasets.Dataset | datasets.IterableDataset:
    """A data set with our columns: `id` and `image` where the hub has them, `captions` or `label`.

    ShareGPT4V's hub has no pictures, but their names, in the column `picture`.

    Args:
        name: of a data set whose record names a hub.
        split: one of the record's hub.
        source: a folder with the same files, or another repository; None takes the record's.
        streaming: read rows as they are asked for and store nothing.
        bad_rows: a row whose captions cannot be read: "raise" when it is read, or "skip" leaves it
            out and names it.

    Raises:
        DataError: a malformed row, at once or, of a stream, when it is read.
        ValueError: unknown data set or split, or none on a hub (the message says how to get it).
        ConnectionError: the hub cannot be reached, or does not have it; what to do is said.
        FileNotFoundError: `source` is a folder without such files.
    """
    Options(on_error=bad_rows)  # refuses what is neither
    record = get(name)
    hub = record.hub
    if hub is None:
        raise ValueError(f"data set {name!r} is on no hub that we know of: see {record.source}")
    theirs: str = choose(dict(hub.splits), split, f"{name} on its hub: split")
    place = os.fspath(source) if source is not None else hub.source
    config = hub.config if source is None else ""
    found = _loaded(place, config, theirs, streaming, name)
    if name == "sharegpt4v":
        found = found.skip(HELD_OUT) if split == "train" else found.take(HELD_OUT)
    columns = {theirs: ours for ours, theirs in hub.columns.items()}
    there = found.column_names or list(next(iter(found), {}))  # a stream may not know before
    missing = [column for column in columns if column not in there]
    if missing:
        raise ValueError(f"{place}: no columns {missing}; it has {there}")
    found = found.select_columns(list(columns)).rename_columns(columns)
    if "captions" not in columns.values():
        return found
    features = found.features and found.features.copy()  # None: a stream that knows none yet
    if features:
        features["captions"] = datasets.List(datasets.Value("string"))
    if bad_rows == "skip":
        found = found.filter(_is_readable, with_indices=True, input_columns="captions")
    return found.map(_as_list, with_indices=True, input_columns="captions", features=features)


def _loaded(place: str, config: str, split: str, streaming: bool, name: str) -> Any:
    try:
        return datasets.load_dataset(place, config or None, split=split, streaming=streaming)
    except ValueError:  # a split or configuration that it does not have
        raise
    except Exception as error:  # each version of the hub's clients has other kinds
        if Path(place).exists() or Path(place).is_absolute():
            raise
        first = (str(error).splitlines() or [""])[0]
        raise ConnectionError(
            f"data set {name!r}: {place!r} cannot be read from its hub "
            f"({type(error).__name__}: {first}); give a folder with its files as `source`, or lay "
            f"it out as `python -m bclip_core.data.real {name}` shows"
        ) from error


def as_set(
    data: Any, name: str, split: str = "test", *, on_error: str = "raise"
) -> CaptionSet | LabelledSet:
    """What `load_hub` gave as a set for evaluation; its pictures are held in memory, encoded.

    Args:
        data: as `load_hub` gave it.
        name: of the data set.
        split: of the data set.
        on_error: a row without a picture or a caption: "raise", or "skip" leaves it out, named.

    Raises:
        ValueError: the hub has no pictures of this data set.
        DataError: a malformed row.
    """
    if "image" not in (data.features or ()):
        raise ValueError(f"data set {name!r}: its hub has no pictures")
    record, labelled = get(name), "label" in data.features
    options = Options("raise", on_error, record.known)
    stored = data.cast_column("image", datasets.Image(decode=False))
    rows = (
        Row(f"row {n}", lambda n=n, row=row: _row(n, row))  # type: ignore[misc]
        for n, row in enumerate(stored)
    )
    of_caption = caption_builder(PictureRoot("hub", look=False))

    def build(row: Any, drop: Drop) -> Any:
        if not labelled:
            return of_caption(row, drop)
        if row["label"] is None or row["label"] < 0:
            raise RowError(f"picture {row['image']!r}: label={row['label']}: expected a class")
        return LabelledImage(row["image"], row["bytes"], row["label"])

    items, left_out = gather(Path(f"{name} on its hub"), rows, build, options)
    if left_out:
        print(f"{name} {split}: left out {len(left_out):,} rows, such as {left_out[0]}")
    if not labelled:
        return CaptionSet(name, split, items, left_out)
    names = tuple(text.replace("_", " ") for text in getattr(data.features["label"], "names", ()))
    return LabelledSet(name, split, items, names, left_out)


def _row(number: int, row: dict[str, Any]) -> dict[str, Any]:
    identity = str(row.get("id", f"{number:05d}"))
    if row["image"] is None:
        raise RowError(f"picture {identity!r}: expected its content, found none")
    found = {"image": identity, "bytes": _content(row["image"])}
    return found | {"caption": row.get("captions"), "label": row.get("label")}


def _content(stored: Any) -> bytes:
    """A picture as it is stored; one that a stream has decoded already becomes a PNG."""
    if isinstance(stored, dict):
        return stored["bytes"] or Path(stored["path"]).read_bytes()
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _is_readable(captions: Any, row: int) -> bool:
    try:
        _captions_of(captions)
    except RowError as error:
        print(f"left out row {row} of the hub: {error}")
        return False
    return True


def _as_list(captions: Any, row: int) -> dict[str, list[str]]:
    try:
        return {"captions": _captions_of(captions)}
    except RowError as error:
        raise DataError(f"row {row}: {error}") from error


def _captions_of(captions: Any) -> list[str]:
    """Captions of one picture: lines of a text, or the answer of a conversation.

    Raises:
        RowError: there is none.
    """
    if not isinstance(captions, str):
        return [text_of(answer_of(captions), "captions")]
    lines = lines_of(captions.removeprefix("\ufeff"))
    found = [line.strip() for line in lines if not is_blank(line)]
    if not found:
        raise RowError(f"captions={shortened(captions)}: expected a text that is not empty")
    return found
