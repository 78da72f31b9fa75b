"""What a dry run foretells beside what then happens: `python -m benchmarks.dry_run [--clock wall]`.

The papers' recipe, `--profile paper-b16`, at four images an update on one thread: its dry run, then
twenty updates of the same settings, each by the command line in a fresh process, on the sample
photographs laid out as ShareGPT4V. Weights are random and arithmetic is float32, as on any
processor; a micro-batch is an update; pictures are decoded in the process itself.

By default the clock of both processes is the processor's, so that other work on the machine does
not disturb the comparison; `--clock wall` is what a reader's watch says. The full run writes
results/reference/benchmark_dry_run.json.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bclip_core.data.real.photographs import write_photographs
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance
from bclip_core.train.resume import read_history

UPDATES, IMAGES, THREADS = 20, 4, 1
ALLOWED = 0.3  # by which the estimate may be off
CLOCKS = {"processor": "time.perf_counter = time.process_time; ", "wall": ""}
"""What is run before the command; the loop's meter reads `perf_counter`."""
COMMAND = "import sys, time; {clock}from bclip_core.train.__main__ import main; main(sys.argv[1:])"


def arguments(folder: Path, updates: int) -> list[str]:
    """The command line of the run: the recipe, but for what a processor and a minute need."""
    settings = {
        "train.steps": updates, "train.batch-size": IMAGES, "train.accumulation": 1,
        "train.precision": "fp32", "train.loader-workers": 0, "train.checkpoint-every": 0,
        "train.keep-epochs": "[]", "backbone.pretrained": "", "backbone.frozen-positions": 20,
        "data.folder": folder / "sharegpt4v",
    }  # fmt: skip
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return [*flags, "--profile", "paper-b16", "--device", "cpu", "--threads", str(THREADS)]


def run(clock: str, given: list[str]) -> tuple[str, float]:
    """A command in a fresh process: what it printed, and its seconds by that clock.

    Raises:
        RuntimeError: it failed; the message ends with its last lines.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "TQDM_DISABLE": "1"}
    began, code = time.perf_counter(), COMMAND.format(clock=CLOCKS[clock])
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *given], env=environment, stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        told = log.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(given)}: exit code {process.returncode}:\n{told[-2000:]}")
    wall = time.perf_counter() - began
    return told, wall if clock == "wall" else usage.ru_utime + usage.ru_stime


def compare(clock: str, updates: int, folder: Path) -> dict[str, Any]:
    """The estimate, and what the updates and their whole command then took."""
    given = arguments(folder, updates)
    told, foretelling = run(clock, [*given, "--dry-run"])
    found = re.search(r"^time: about ([\d,]+) s", told, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"expected a time in what the dry run said:\n{told[-2000:]}")
    _, whole = run(clock, [*given, "--folder", str(folder / "run")])
    seconds = [record["seconds"] for record in read_history(folder / "run" / "history.jsonl")]
    estimate = float(found[1].replace(",", ""))
    return {
        "estimate": estimate,
        "updates": seconds,
        "seconds_of_updates": sum(seconds),
        "seconds_of_command": whole,
        "seconds_of_dry_run": foretelling,
        "estimate_over_updates": estimate / sum(seconds),
        "estimate_over_command": estimate / whole,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="processor")
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--quick", action="store_true", help="few updates, nothing written")
    chosen = parser.parse_args()
    updates = 4 if chosen.quick else chosen.updates
    with tempfile.TemporaryDirectory(prefix="bclip-dry-run-") as folder:
        values = compare(chosen.clock, updates, write_photographs(Path(folder)))
    for name in ("updates", "command"):
        ratio = values[f"estimate_over_{name}"]
        print(
            f"estimate {values['estimate']:.0f} s, {name} {values[f'seconds_of_{name}']:.1f} s by "
            f"the {chosen.clock} clock: {ratio:.2f}, "
            f"{'within' if abs(ratio - 1) <= ALLOWED else 'NOT WITHIN'} {ALLOWED:.0%}"
        )
    if not chosen.quick:
        settings = {
            "clock": chosen.clock, "updates": updates, "images": IMAGES, "threads": THREADS,
            "allowed": ALLOWED,
        }  # fmt: skip
        record = {"name": "benchmark_dry_run", **provenance(), "settings": settings}
        path = REFERENCE_FOLDER / "benchmark_dry_run.json"
        print(write_json(path, record | {"values": values}))


if __name__ == "__main__":
    main()
