"""Which files of a folder are shards or tables of a split, by the one rule of links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from bclip_core.data.real.folder import refuse_link, visible, walk
from bclip_core.data.real.rows import DataError, LayoutError, RowError

NAME = "shards"
HUB = "hub:"  # before the name of a repository, or a folder as `datasets` reads it
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_SPLITS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation",
    "val": "validation", "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""Words with which a file or its folder begins, and the split that they name."""


def files_of(
    source: str, split: str = "train", links: str = "inside", bad_rows: str = "raise"
) -> tuple[list[Path], list[str]]:
    """The files of a split, of a hub none; and what is left out, as "place: reason".

    Args:
        source: a folder, or `HUB` and a name.
        split: "train", "validation" or "test".
        links: "inside" reads no file behind a link that leads out of the folder, "follow" does;
            folders that are links are entered only then, and never in a circle.
        bad_rows: a file that is refused: "raise", or "skip" leaves it out.

    Raises:
        LayoutError: no shard or table there, or none of this split.
        DataError: a file is refused; it is named.
    """
    if source.startswith(HUB):
        return [], []
    folder, left_out = Path(source), list[str]()
    there = folder if source and folder.is_dir() else None
    found = sorted(_tars(there, links, left_out)) if there else []
    found = found or (sorted(_tables(there, links, left_out)) if there else [])
    if not found:
        also = f" (not read: {'; '.join(left_out)})" if left_out else ""
        raise LayoutError(
            f"{NAME}: data.folder={source!r}: expected a folder with *.tar or *.parquet, or "
            f"{HUB}owner/name{also}"
        )
    own = [file for file in found if split_of(file.relative_to(folder)) == split]
    if not own:
        ending = found[0].suffix
        raise LayoutError(
            f"{NAME}: data.folder={source!r}, split {split!r}: none of its {len(found)} files "
            f"names it: expected {split}-*{ending}, or {split}/*{ending}"
        )
    return list(_allowed(own, folder, links, bad_rows, left_out)), left_out


def _tars(folder: Path, links: str, left_out: list[str]) -> Iterator[Path]:
    """Shards of the folder and of those in it that name a split; no deeper: there are pictures."""
    for path in visible(folder):
        if not path.is_dir():
            inside = [path]
        elif not _named(path.name):
            continue
        elif path.is_symlink() and (fault := _not_entered(path, links)):
            left_out.append(f"folder {path.name}: {fault}")
            continue
        else:
            inside = visible(path)
        yield from (file for file in inside if file.name.lower().endswith(TARS))


def _not_entered(folder: Path, links: str) -> str:
    """Why a folder that is a link is not looked into; "" where it is."""
    if links != "follow":
        return 'a folder that is a link is not entered; links="follow" follows it'
    real = folder.resolve()
    return f"a folder that is a link in a circle, to {real}" if _holds(real, folder) else ""


def _holds(above: Path, folder: Path) -> bool:
    return folder.parent.resolve().is_relative_to(above)


def _tables(folder: Path, links: str, left_out: list[str]) -> Iterator[Path]:
    for path, fault in walk(folder, links):
        if fault:
            left_out.append(f"folder {path.relative_to(folder)}: {fault}")
        elif path.suffix.lower() == ".parquet":
            yield path


def _allowed(
    files: list[Path], folder: Path, links: str, bad_rows: str, left_out: list[str]
) -> Iterator[Path]:
    for file in files:  # a folder of the name of a shard is none
        name = str(file.relative_to(folder))
        try:
            refuse_link(file, folder, links, name)
            if not file.is_file():
                raise RowError(f"{name}: a link to a file that is not there")
        except RowError as error:
            if bad_rows == "raise":
                raise DataError(f"{folder}: {error}") from error
            left_out.append(str(error))
        else:
            yield file


def _named(name: str) -> str:
    word = re.match("[a-z]*", name.lower())
    return _SPLITS.get(word[0], "") if word else ""


def split_of(file: PurePath) -> str:
    """The split that a file's name or a folder's above it names; "train" where none does."""
    return next((split for part in file.parts if (split := _named(part))), "train")
