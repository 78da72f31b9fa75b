"""`python -m bclip_core.reproduce.promote cpu`: the last results become the committed ones."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from bclip_core.config import PROFILES
from bclip_core.config.command_line import read_options
from bclip_core.records import results
from bclip_core.records.files import (
    REPOSITORY,
    is_hidden,
    make_folder,
    naming,
    read_json,
    read_record,
    what_to_do,
    write_json,
)
from bclip_core.records.locks import lock
from bclip_core.records.processes import ends_on_request
from bclip_core.records.results import runs_folder

SIZES = ("full", "mini")  # results on data sets have one in the place of a profile
_NEW = "new.json"


def promote(profile: str) -> list[Path]:
    """Copy the results of a profile from the runs folder into results/reference, all or none.

    What a kill has left half-done is taken back by the next call; until then `load_result` refuses
    to read from there.

    Raises:
        FileNotFoundError: that profile has left no result yet.
        ValueError: no such profile, or one of its results is broken; it is named.
        OSError: the disk is full or may not be written to; results/reference is as it was.
    """
    if profile not in (*PROFILES, *SIZES):
        expected = ", ".join((*PROFILES, *SIZES))
        raise ValueError(f"profile={profile!r}: expected one of {expected}")
    files = (runs_folder() / "tables").glob(f"*__{profile}.json")
    found = sorted(path for path in files if not is_hidden(path.name))
    if not found:
        raise FileNotFoundError(f"no results of profile {profile!r} in {runs_folder() / 'tables'}")
    for path in found:
        read_record(path, "name", "profile", "values")
    folder = results.REFERENCE_FOLDER
    make_folder(folder)
    work, before = results.promotion_of(folder)
    with naming(folder), lock(work):
        _take_back(folder)
        try:
            work.mkdir()
            staged = [Path(shutil.copyfile(path, work / path.name)) for path in found]
            _keep([folder / path.name for path in found], before)
            for path in staged:
                os.replace(path, folder / path.name)
            before.rename(work / "done")  # from here on it holds
        finally:
            _take_back(folder)
    return [folder / path.name for path in found]


def _keep(targets: list[Path], before: Path) -> None:
    """Copy what is going to be replaced, and note what is new, under `before` once it is whole."""
    part = before.with_name("part")
    part.mkdir()
    for target in targets:
        if target.exists():
            shutil.copyfile(target, part / target.name)
    new = [target.name for target in targets if not target.exists()]
    write_json(part / _NEW, new)
    part.rename(before)


def _take_back(folder: Path) -> None:
    """Put back what a promotion that did not come to its end has replaced, and clear up."""
    work, before = results.promotion_of(folder)
    if before.is_dir():
        for name in read_json(before / _NEW):
            (folder / name).unlink(missing_ok=True)
        for kept in before.iterdir():
            if kept.name != _NEW:
                shutil.copyfile(kept, work / kept.name)
                os.replace(work / kept.name, folder / kept.name)
    shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True)
class Options:
    """The last results of a profile become the committed ones, in results/reference."""

    profile: tyro.conf.Positional[str] = "cpu"  # smoke, cpu or gpu; full: of whole data sets


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when results were copied; 1 when something was refused, which is printed."""
    try:
        given = read_options(Options, arguments, "python -m bclip_core.reproduce.promote")
        copied = promote(given.profile)
    except (OSError, ValueError) as error:
        print(f"promote: {error}{what_to_do(error)}", file=sys.stderr)
        return 1
    for path in copied:
        print(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)
    return 0


if __name__ == "__main__":
    with ends_on_request():
        sys.exit(main())
