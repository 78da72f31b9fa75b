"""`python -m bclip_core.reproduce.lab`: the notebooks in JupyterLab, as copies that git ignores.

The committed notebooks are executed and clean; saving one in JupyterLab would change it. Copies lie
in `lab/`, beside `figures` and `results`, so that their links lead where the originals' do. A copy
that is there already is kept, with whatever its reader has done to it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bclip_core.records import REPOSITORY
from bclip_core.records.files import what_to_do, write_atomically
from bclip_core.reproduce.notebooks import NOTEBOOKS

LAB = REPOSITORY / "lab"
FIRST = "00_start_here.ipynb"


def copy_notebooks(folder: Path = LAB, notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Copy the notebooks and their pages; what is there already is kept.

    Args:
        folder: receives the copies; made where it is missing.
        notebooks: of the collection.

    Returns:
        The copies that are new.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = []
    for source in sorted([*notebooks.glob("[0-9]*.ipynb"), *notebooks.glob("*.md")]):
        copied = folder / source.name
        if not copied.exists():
            write_atomically(copied, lambda path, source=source: shutil.copyfile(source, path))  # type: ignore[misc]
            new.append(copied)
    return new


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy, then open JupyterLab; further arguments go to it. Its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        new = copy_notebooks()
    except OSError as error:
        print(f"lab: {error}{what_to_do(error)}", file=sys.stderr)
        return 1
    print(f"{LAB}: {len(new)} new copies; delete one to have it copied again", flush=True)
    command = [sys.executable, "-m", "jupyterlab", *given, str(LAB / FIRST)]
    return subprocess.run(command, cwd=LAB, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
