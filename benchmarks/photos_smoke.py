"""The photos-smoke profile, method by method: `python -m benchmarks.photos_smoke [--only NAME]`.

Each method has a fresh process and an empty folder for runs: ViT-B/16 with random weights, three
updates of four sample photographs, then every metric that they allow, as a notebook's run does it.
Noted are seconds of the clock and of the processor, the most memory that the process held, how
many metrics were written, and how the explorer lists the run. What a run may take at most is
`LIMITS`; the threads are as many as the profile's two cores.

All methods write results/reference/benchmark_photos_smoke.json; `--only` prints alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bclip_core.config import get_profile
from bclip_core.explorer.catalogue import find_models
from bclip_core.records.files import read_json, write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance

PROFILE, THREADS = "photos-smoke", 2
METHODS = ("beta-clip-ce", "beta-clip-bce", "mulclip", "clip-ft", "long-clip", "flair")
LIMITS = {"seconds": 180.0, "peak_megabytes": 5_000.0}
RUN = "from benchmarks.photos_smoke import run; run({method!r})"  # in the process of a method


def run(method: str) -> None:
    """Train and measure one method; the rest of what happens in its process is Python's start."""
    from bclip_core.studies import runs

    runs.obtain([get_profile(PROFILE).run(method)], progress=False)


def measure(method: str, folder: Path) -> dict[str, Any]:
    """One method in a fresh process that keeps its run in `folder`.

    Raises:
        RuntimeError: the process failed; the message ends with its last lines.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "TQDM_DISABLE": "1"}
    environment |= {"BCLIP_RUNS": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    began, path = time.perf_counter(), folder / f"{method}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(method=method)], env=environment, stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{method}: exit code {process.returncode}:\n{path.read_text()[-2000:]}")
    (written,) = folder.glob("*/metrics.json")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return {
        "method": method,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_megabytes": kilobytes * 1024 / 1e6,
        "metrics": len(read_json(written)),
        "listed": find_models(folder)[written.parent.name].label,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="methods whose name contains this")
    only, rows = parser.parse_args().only, list[dict[str, Any]]()
    for method in (name for name in METHODS if only in name):
        with tempfile.TemporaryDirectory(prefix="bclip-photos-smoke-") as folder:
            rows.append(measure(method, Path(folder)))
        row = rows[-1]
        over = [name for name, limit in LIMITS.items() if row[name] > limit]
        print(
            f"{method:14}{row['seconds']:7.1f} s{row['cpu_seconds']:7.1f} s of processors"
            f"{row['peak_megabytes']:8,.0f} MB  {row['metrics']} metrics, listed as "
            f"{row['listed']!r}, load {row['load']:.1f}" + "".join(f"  ABOVE: {n}" for n in over),
            flush=True,
        )
    if not only:
        settings = {"profile": PROFILE, "threads": THREADS, "limits": LIMITS}
        record = {"name": "benchmark_photos_smoke", **provenance(), "settings": settings}
        path = REFERENCE_FOLDER / "benchmark_photos_smoke.json"
        print(write_json(path, record | {"rows": rows}))


if __name__ == "__main__":
    main()
