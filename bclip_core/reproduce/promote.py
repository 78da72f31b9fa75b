"""`python -m bclip_core.reproduce.promote cpu`: the last results become the committed ones."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from bclip_core.config.command_line import read_options
from bclip_core.records import results
from bclip_core.records.files import (
    REPOSITORY,
    is_hidden,
    make_folder,
    naming,
    read_record,
    what_to_do,
)
from bclip_core.records.results import runs_folder


def promote(profile: str) -> list[Path]:
    """Copy the results of a profile from the runs folder into results/reference, all or none.

    Raises:
        FileNotFoundError: that profile has left no result yet.
        ValueError: one of its results is broken; it is named.
        OSError: the disk is full or may not be written to; results/reference is as it was.
    """
    files = (runs_folder() / "tables").glob(f"*__{profile}.json")
    found = sorted(path for path in files if not is_hidden(path.name))
    if not found:
        raise FileNotFoundError(f"no results of profile {profile!r} in {runs_folder() / 'tables'}")
    for path in found:
        read_record(path, "name", "profile", "values")
    folder = results.REFERENCE_FOLDER
    make_folder(folder)
    with naming(folder), tempfile.TemporaryDirectory(prefix=".promote-", dir=folder.parent) as new:
        staged = [Path(shutil.copyfile(path, Path(new, path.name))) for path in found]
        return _replace_all(staged, folder, Path(new, "before"))


def _replace_all(staged: list[Path], folder: Path, before: Path) -> list[Path]:
    """Move files into a folder; when one cannot be moved, those moved already go back."""
    before.mkdir()
    targets = [folder / path.name for path in staged]
    for target in targets:
        if target.exists():
            shutil.copyfile(target, before / target.name)
    moved: list[Path] = []
    try:
        for path, target in zip(staged, targets, strict=True):
            os.replace(path, target)
            moved.append(target)
    except BaseException:
        for target in moved:
            with contextlib.suppress(OSError):
                kept = before / target.name
                os.replace(kept, target) if kept.exists() else target.unlink()
        raise
    return targets


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
    sys.exit(main())
