"""What a run leaves: small JSON records with provenance, written atomically, read back by name.

`results/runs` (git-ignored) receives everything; `results/reference` holds the committed copies
that README and figures are made from.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bclip_core.captions import default_extractor
from bclip_core.files import REPOSITORY, read_json, write_json

REFERENCE_FOLDER = REPOSITORY / "results" / "reference"
SCHEMA = 1
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
        changed = git("status", "--porcelain", "--", "bclip_core", ":!bclip_core/pretrained")
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "", "modified": False}


def machine() -> dict[str, Any]:
    """What the numbers were made on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def provenance() -> dict[str, Any]:
    """When, by which code, with which packages, on which machine; the phrase extractor in use."""
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).date().isoformat(),
        "code": code_version(),
        "packages": {name: version(name) for name in RECORDED_PACKAGES},
        "machine": machine(),
        "phrase_extractor": default_extractor().name,
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


def promote(profile: str) -> list[Path]:
    """Copy the results of a profile from the runs folder into results/reference.

    Raises:
        FileNotFoundError: that profile has left no result yet.
    """
    found = sorted((runs_folder() / "tables").glob(f"*__{profile}.json"))
    if not found:
        raise FileNotFoundError(f"no results of profile {profile!r} in {runs_folder() / 'tables'}")
    REFERENCE_FOLDER.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, REFERENCE_FOLDER / path.name)) for path in found]


if __name__ == "__main__":
    for copied in promote(sys.argv[1] if len(sys.argv) > 1 else "cpu"):
        print(copied.relative_to(REPOSITORY))
