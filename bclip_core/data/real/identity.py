"""What data exactly: digests by which a changed data set is told from the one of before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import datasets

from bclip_core.data.real.sets import AnySet, Picture, RegionSet, manifest
from bclip_core.records.files import sha256

READ_WHOLE = 2_000_000_000  # bytes of pictures whose content is hashed, in seconds; else sizes
_TEXTS = ("id", "caption", "short_captions")
_ROWS = 1_000


class _Read(NamedTuple):
    """What is left of a picture's content once it was read: a table may hold gigabytes of them."""

    size: int
    sha256: str


def identity(found: AnySet) -> dict[str, Any]:
    """The manifest of a set, and `pictures_sha256` of what its pictures hold.

    As `manifest` it does not depend on where the pictures lie.
    """
    if isinstance(found, RegionSet):
        pictures: list[Picture | _Read] = list(found.photos())
    else:
        pictures = [item.image for item in found.items]
    return manifest(found) | {"pictures_sha256": pictures_digest(pictures)}


def rows_digest(rows: datasets.Dataset) -> str:
    """SHA-256 of what training reads: ids, captions and pictures, wherever these lie.

    Args:
        rows: with the columns of `training_rows`.
    """
    digest, pictures = hashlib.sha256(), list[Picture | _Read]()
    columns = [name for name in (*_TEXTS, "image") if name in rows.column_names]
    stored = rows.select_columns(columns).cast_column("image", datasets.Image(decode=False))
    for batch in stored.iter(_ROWS):
        for number in range(len(batch["image"])):
            texts = [batch[name][number] for name in columns if name != "image"]
            digest.update(repr(texts).encode() + b"\n")
            image = batch["image"][number]
            content = image["bytes"]
            pictures.append(_read(content) if content else Path(image["path"]))
    digest.update(pictures_digest(pictures).encode())
    return digest.hexdigest()


def pictures_digest(pictures: Iterable[Picture | _Read]) -> str:
    """SHA-256 over the content of pictures in order; a picture that is not there counts as none.

    Of more than `READ_WHOLE` bytes together, which would take minutes to read, the sizes alone.
    """
    listed = list(pictures)
    sizes = [_size(picture) for picture in listed]
    whole, digest = sum(sizes) <= READ_WHOLE, hashlib.sha256()
    for picture, size in zip(listed, sizes, strict=True):
        content = _content_digest(picture) if whole and size >= 0 else ""
        digest.update(f"{size} {content}\n".encode())
    return digest.hexdigest()


def _read(content: bytes) -> _Read:
    return _Read(len(content), hashlib.sha256(content).hexdigest())


def _size(picture: Picture | _Read) -> int:
    if isinstance(picture, _Read):
        return picture.size
    if isinstance(picture, bytes):
        return len(picture)
    try:
        return picture.stat().st_size
    except OSError:
        return -1


def _content_digest(picture: Picture | _Read) -> str:
    if isinstance(picture, _Read):
        return picture.sha256
    if isinstance(picture, bytes):
        return hashlib.sha256(picture).hexdigest()
    try:
        return sha256(picture)
    except OSError:
        return ""
