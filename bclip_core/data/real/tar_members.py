"""The files in a WebDataset shard, in order; where an archive is damaged, that is an error.

`tarfile` takes a damaged header for the end of the archive, needs no end mark, and does not look
beyond one: the rows behind would be left out silently.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from bclip_core.data.real.folder import LARGEST_CAPTION
from bclip_core.records.files import is_hidden

LARGE, TWICE = object(), object()  # in the place of a file's content
_LARGEST = 2**28  # bytes of a file in a shard
_PIECE = 1 << 20


class BehindEndError(tarfile.ReadError):
    """All rows up to the end mark are whole, but there is more behind it."""


class NoEndError(tarfile.ReadError):
    """All files so far are whole, but no end mark follows: the last row may lack files."""


class _Member(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """The next header.

        Raises:
            ReadError: it is damaged, or there is neither one nor an end mark; the byte is named.
        """
        at = tarfile.fileobj.tell() if tarfile.fileobj else 0
        try:
            return super().fromtarfile(tarfile)
        except _DAMAGED as error:
            raise _ReadError(f"damaged header at byte {at:,}: {error}") from error
        except _EmptyHeaderError as error:
            if not at:
                raise
            raise NoEndError(f"no end mark at byte {at:,}: cut off between two files?") from error


_ReadError = tarfile.ReadError
_EmptyHeaderError = tarfile.EmptyHeaderError  # type: ignore[attr-defined,unused-ignore]
_DAMAGED = (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError, tarfile.SubsequentHeaderError)  # type: ignore[attr-defined,unused-ignore]


def members(shard: Path) -> Iterator[tuple[str, str, Callable[[], bytes | object]]]:
    """The row's name, the ending in small letters, and what reads the content of every file.

    A file has to be read before the next one is asked for.

    The ending begins at the first point of a file's name, as WebDataset has it. Files that are
    nobody's data (`._0.jpg`, `__MACOSX`) are passed over.

    Raises:
        TarError, OSError, EOFError, zlib.error, LZMAError: the shard is damaged, has no end mark,
            or goes on behind it.
    """
    with tarfile.open(shard, "r|*", tarinfo=_Member) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            own = [part for part in path.parts if part not in ("..", "/")]
            if not member.isfile() or is_hidden("/".join(own)):
                continue
            stem, _, ending = path.name.partition(".")
            most = LARGEST_CAPTION if ending.lower() == "txt" else _LARGEST
            file = None if member.size > most else archive.extractfile(member)
            read = (lambda: LARGE) if file is None else file.read
            yield str(path.parent / stem), f".{ending.lower()}", read
        while archive.fileobj and (piece := archive.fileobj.read(_PIECE)):
            if piece.strip(b"\0"):
                raise BehindEndError("it goes on behind its end mark: two archives in one file?")
