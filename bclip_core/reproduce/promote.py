"""`python -m bclip_core.reproduce.promote cpu`: the last results become the committed ones."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bclip_core.records import results
from bclip_core.records.files import REPOSITORY
from bclip_core.records.results import runs_folder


def promote(profile: str) -> list[Path]:
    """Copy the results of a profile from the runs folder into results/reference.

    Raises:
        FileNotFoundError: that profile has left no result yet.
    """
    found = sorted((runs_folder() / "tables").glob(f"*__{profile}.json"))
    if not found:
        raise FileNotFoundError(f"no results of profile {profile!r} in {runs_folder() / 'tables'}")
    folder = results.REFERENCE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, folder / path.name)) for path in found]


if __name__ == "__main__":
    for copied in promote(sys.argv[1] if len(sys.argv) > 1 else "cpu"):
        print(copied.relative_to(REPOSITORY))
