"""What a run leaves: small JSON records with provenance, written atomically, read back by name.

`results/runs` (git-ignored) receives everything; `results/reference` holds the committed copies
that README and figures are made from.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bclip_core.records.files import REPOSITORY, read_json, write_json
from bclip_core.records.machine import machine

REFERENCE_FOLDER = REPOSITORY / "results" / "reference"
SCHEMA = 1
FACTS: dict[str, Callable[[], Any]] = {}
"""What else a record tells of how it was made, by name; a room that decides something adds to it
(captions: which phrase extractor is in use)."""
RECORDED_PACKAGES = ("torch", "torchvision", "open_clip_torch", "datasets", "accelerate", "numpy")


def runs_folder() -> Path:
    """Where runs and their results go: $BCLIP_RUNS, else results/runs of the repository."""
    return Path(os.environ.get("BCLIP_RUNS", REPOSITORY / "results" / "runs"))


@functools.cache
def code_version() -> dict[str, Any]:
    """Commit of the repository and whether the package differs from it; empty outside git.

    Asked once per process: call it before long work, so that it tells which code did the work.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git(
            "status", "--porcelain", "--", "bclip_core", ":!bclip_core/checkpoints/pretrained"
        )
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "", "modified": False}


def provenance() -> dict[str, Any]:
    """When, by which code, with which packages, on which machine, and what `FACTS` add."""
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).date().isoformat(),
        "code": code_version(),
        "packages": {name: version(name) for name in RECORDED_PACKAGES},
        "machine": machine(),
        **{name: tell() for name, tell in FACTS.items()},
    }


def save_result(name: str, profile: str, values: dict[str, Any]) -> Path:
    """Write `name` of `profile` into the runs folder; returns the file.

    Args:
        name: which result, for example "benchmark".
        profile: "smoke", "cpu" or "gpu"; part of the file's name, so profiles never mix.
        values: what was measured, ready for JSON.
    """
    path = runs_folder() / "tables" / f"{name}__{profile}.json"
    return write_json(path, {"name": name, "profile": profile, **provenance(), "values": values})


def load_result(name: str, profile: str, *, reference: bool = False) -> dict[str, Any]:
    """Read a result back, by default from the runs folder, else from the committed reference.

    Raises:
        FileNotFoundError: it was never made; the message says how to make it.
    """
    folder = REFERENCE_FOLDER if reference else runs_folder() / "tables"
    path = folder / f"{name}__{profile}.json"
    if not path.is_file():
        command = f"python -m bclip_core.reproduce --profile {profile}"
        raise FileNotFoundError(f"no result {path.name} in {folder}; make it with: {command}")
    record: dict[str, Any] = read_json(path)
    return record
