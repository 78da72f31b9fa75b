"""`python -m bclip_core.reproduce.promote cpu`: the last results become the committed ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from bclip_core.config import PROFILES
from bclip_core.config.command_line import read_options
from bclip_core.records import results
from bclip_core.records.files import REPOSITORY, is_hidden, read_record, what_to_do
from bclip_core.records.processes import ends_on_request
from bclip_core.records.results import runs_folder
from bclip_core.records.together import promotion_of, put_together

SIZES = ("full", "mini")  # results on data sets have one in the place of a profile


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
        results.require_own_name(path, read_record(path, "name", "profile", "values"))
    folder = results.REFERENCE_FOLDER
    return put_together(found, folder, promotion_of(folder)[0])


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
