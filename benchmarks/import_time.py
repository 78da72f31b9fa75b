"""What importing the core costs beside open_clip: `python -m benchmarks.import_time [--quick]`.

Fresh processes in turns, the quickest of each counts: what else the machine does only adds. Writes
results/reference/benchmark_import_time.json; `--quick` repeats less and writes nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance

MODULES = ("open_clip", "bclip_core.model")
REPEATS = 15


def seconds(module: str) -> float:
    """One import in a fresh process, start of Python included."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repeats, nothing written")
    repeats = 3 if parser.parse_args().quick else REPEATS
    rounds = [{module: seconds(module) for module in MODULES} for _ in range(repeats)]
    quickest = {module: min(found[module] for found in rounds) for module in MODULES}
    values = {"seconds": quickest, "ratio": quickest[MODULES[1]] / quickest[MODULES[0]]}
    print(values)
    if not parser.parse_args().quick:
        record = {"name": "benchmark_import_time", **provenance(), "settings": {"repeats": repeats}}
        path = REFERENCE_FOLDER / "benchmark_import_time.json"
        print(write_json(path, record | {"values": values}))


if __name__ == "__main__":
    main()
