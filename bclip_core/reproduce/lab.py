"""`python -m bclip_core.reproduce.lab`: the notebooks in JupyterLab, as copies that git ignores.

The committed notebooks are executed and clean; saving one in JupyterLab would change it. Copies lie
in `lab/`, beside `figures` and `results`, so that their links lead where the originals' do. A copy
that is there already is kept, with whatever its reader has done to it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bclip_core.records import REPOSITORY
from bclip_core.records.files import what_to_do, write_atomically
from bclip_core.records.streams import usable_streams
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
    return _run([sys.executable, "-m", "jupyterlab", *given, str(LAB / FIRST)])


def _run(command: Sequence[str]) -> int:
    """JupyterLab until it ends; it alone answers Ctrl-C, and other signals are handed on to it."""
    with subprocess.Popen(command, cwd=LAB) as lab:
        heard = {signal.SIGINT: signal.SIG_IGN}  # the terminal asks JupyterLab, too
        for kind in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            heard[kind] = lambda number, _: lab.send_signal(number)  # type: ignore[assignment]
        before = {kind: signal.signal(kind, answer) for kind, answer in heard.items()}
        try:
            code = lab.wait()
        finally:
            for kind, answer in before.items():
                signal.signal(kind, answer)
    return 128 - code if code < 0 else code  # as shells give it


if __name__ == "__main__":
    with usable_streams():
        sys.exit(main())
