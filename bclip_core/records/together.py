"""Several files take the places of others together: all or none, after a kill too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bclip_core.records.files import make_folder, naming, read_json, write_json
from bclip_core.records.locks import lock

_NEW = "new.json"


def promotion_of(place: Path) -> tuple[Path, Path]:
    """Where files that go into `place` are prepared, and what is there as long as it is half-done.

    Args:
        place: a folder, or the file that the others lie beside.
    """
    work = place.with_name(f".{place.name}.promote")
    return work, work / "before"


def refuse_half(place: Path, command: str) -> None:
    """For who reads files that belong together.

    Raises:
        ValueError: some of them are new and some are not; the command that mends that is named.
    """
    if promotion_of(place)[1].is_dir():
        raise ValueError(
            f"{place}: a promotion is under way or was broken off: run {command} again"
        )


def put_together(files: Sequence[Path], folder: Path, work: Path) -> list[Path]:
    """Copy files into a folder, all or none; returns their places there.

    What a kill leaves half-done is taken back by the next call, or by `take_back`.

    Args:
        files: with different names; they stay.
        folder: where to; files of the same names are replaced.
        work: as `promotion_of` has it, on the folder's disk.

    Raises:
        OSError: the disk is full or may not be written to; the folder is as it was.
    """
    make_folder(folder)
    with naming(folder), lock(work):
        _take_back(folder, work)
        try:
            work.mkdir()
            staged = [Path(shutil.copyfile(path, work / path.name)) for path in files]
            places = [folder / path.name for path in files]
            _keep(places, work / "before")
            for path, place in zip(staged, places, strict=True):
                os.replace(path, place)
            (work / "before").rename(work / "done")  # from here on it holds
        finally:
            _take_back(folder, work)
    return places


def take_back(folder: Path, work: Path) -> None:
    """Put back what a call that was killed has replaced, and clear up; a running one is waited for.

    Raises:
        OSError: the disk is full or may not be written to.
    """
    if work.is_dir():
        with naming(folder), lock(work):
            _take_back(folder, work)


def _keep(places: list[Path], before: Path) -> None:
    """Copy what is going to be replaced, and note what is new, under `before` once it is whole."""
    part = before.with_name("part")
    part.mkdir()
    for place in places:
        if place.exists():
            shutil.copyfile(place, part / place.name)
    write_json(part / _NEW, [place.name for place in places if not place.exists()])
    part.rename(before)


def _take_back(folder: Path, work: Path) -> None:
    before = work / "before"
    if before.is_dir():
        for name in read_json(before / _NEW):
            (folder / name).unlink(missing_ok=True)
        for kept in before.iterdir():
            if kept.name != _NEW:
                shutil.copyfile(kept, work / kept.name)
                os.replace(work / kept.name, folder / kept.name)
        before.rename(work / "back")  # whoever clears up may be killed, too
    shutil.rmtree(work, ignore_errors=True)
