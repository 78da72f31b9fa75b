"""What a run leaves: small JSON records with provenance, written atomically, read back by name.

`results/runs` (git-ignored) receives everything; `results/reference` holds the committed copies
that README and figures are made from.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bclip_core.records.files import (
    REPOSITORY,
    folder_of,
    read_record,
    require_writable,
    write_json,
)
from bclip_core.records.machine import machine
from bclip_core.records.together import refuse_half

REFERENCE_FOLDER = REPOSITORY / "results" / "reference"
SCHEMA = 1
FACTS: dict[str, Callable[[], Any]] = {}
"""What else a record tells of how it was made, by name; a room that decides something adds to it
(captions: which phrase extractor is in use)."""
RECORDED_PACKAGES = ("torch", "torchvision", "open_clip_torch", "datasets", "accelerate", "numpy")


def runs_folder() -> Path:
    """Where runs and their results go: $BCLIP_RUNS, else results/runs of the repository.

    Relative or empty ones are as `folder_of` has them.
    """
    return folder_of("BCLIP_RUNS") or REPOSITORY / "results" / "runs"


def require_runs_folder() -> Path:
    """`runs_folder`, which can be written: asked before work whose results go there.

    Raises:
        OSError: it cannot; $BCLIP_RUNS and its value are named.
    """
    return require_writable(runs_folder(), "BCLIP_RUNS")


@functools.cache
def code_version() -> dict[str, Any]:
    """Commit of the repository and whether the package differs from it.

    Where the package is no part of a repository of its own (installed, copied, or inside another
    project's repository, whose commit says nothing about this code), the commit is empty and a
    `note` says why.

    Asked once per process: call it before long work, so that it tells which code did the work.
    """
    if note := _without_commit():
        return {"commit": "", "modified": False, "note": note}
    changed = _git(
        "status", "--porcelain", "--", "bclip_core", ":!bclip_core/checkpoints/pretrained"
    )
    return {"commit": _git("rev-parse", "HEAD"), "modified": bool(changed)}


def _without_commit() -> str:
    """Why no commit tells which code this is; "" where one does."""
    try:
        top = Path(_git("rev-parse", "--show-toplevel")).resolve()
        if top != REPOSITORY.resolve():
            return f"inside another repository ({top.name}), whose commit is not this code's"
        if not _git("ls-files", "--", "bclip_core/records/results.py"):
            return "the repository around this code does not track it"
        _git("rev-parse", "--verify", "HEAD")
    except FileNotFoundError:
        return "git is not installed"
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return f"not a git checkout: {(said.strip().splitlines() or [''])[0]}"
    return ""


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    # A hook of another repository points git at that one.
    kept = {name: value for name, value in os.environ.items()
            if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=kept)
    return done.stdout.strip()


def provenance() -> dict[str, Any]:
    """When, by which code, with which packages, on which machine, and what `FACTS` add."""
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).date().isoformat(),
        "code": code_version(),
        "packages": {name: _version(name) for name in RECORDED_PACKAGES},
        "machine": machine(),
        **{name: tell() for name, tell in FACTS.items()},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # vendored or built from source: it still works
        return "unknown"


def require_plain_name(what: str, name: str) -> None:
    """Refuse what cannot be part of a result's file name.

    Raises:
        ValueError: empty, hidden, or with anything but letters, digits, `-`, `_` and dots.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"{what}={name!r}: expected letters, digits, -, _ and dots")


def save_result(name: str, profile: str, values: dict[str, Any]) -> Path:
    """Write `name` of `profile` into the runs folder; returns the file.

    Args:
        name: which result, for example "method_comparison".
        profile: "smoke", "cpu" or "gpu"; part of the file's name, so profiles never mix.
        values: what was measured, ready for JSON.

    Raises:
        ValueError: a name that leads elsewhere, or what JSON cannot hold; nothing is written.
    """
    for part, text in (("name", name), ("profile", profile)):
        require_plain_name(part, text)
    path = runs_folder() / "tables" / f"{name}__{profile}.json"
    return write_json(path, {"name": name, "profile": profile, **provenance(), "values": values})


def load_result(name: str, profile: str, *, reference: bool = False) -> dict[str, Any]:
    """Read a result back, by default from the runs folder, else from the committed reference.

    Raises:
        FileNotFoundError: it was never made; the message says how to make it.
        ValueError: the file is broken, it is named; or the reference is half of one promotion.
    """
    folder = REFERENCE_FOLDER if reference else runs_folder() / "tables"
    if reference:
        refuse_half(folder, "python -m bclip_core.reproduce.promote")
    path = folder / f"{name}__{profile}.json"
    if not path.is_file():
        command = f"python -m bclip_core.reproduce --profile {profile}"
        raise FileNotFoundError(f"no result {path.name} in {folder}; make it with: {command}")
    found = read_record(path, "values")
    require_own_name(path, found)
    return found


def require_own_name(path: Path, record: Mapping[str, Any]) -> None:
    """Refuse a result that somebody has given another one's name: its numbers are of that.

    Raises:
        ValueError: the file and what it holds are named.
    """
    held = f"{record.get('name')}__{record.get('profile')}"
    if "name" in record and "profile" in record and held != path.stem:
        raise ValueError(f"{path}: holds the result {held!r}: expected {path.stem!r}")
