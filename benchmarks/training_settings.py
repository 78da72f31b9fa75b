"""What each setting of the loop costs and gains: `python -m benchmarks.training_settings`.

The cpu profile's β-CLIP-CE step, trained for a few updates in a process of its own per setting, one
thread each: seconds per update, peak resident memory, and the share of the time that the step
waited for its batch. All settings see the same batches and take turns, twice; of each update (the
first warms up) the faster turn counts, and the mean of these is the result: other load on the
machine disturbs that least. The first turn's processes start afresh, and their memory counts; the
second turn's are forked from one that has imported everything. The full run writes
results/reference/benchmark_training_settings.json; `--only bf16` measures one setting.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from bclip_core.backbone import attention_kernel
from bclip_core.config import get_profile
from bclip_core.data.sources import load_split
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance
from bclip_core.train import loop
from bclip_core.train.meters import peak_memory
from bclip_core.train.resume import read_history

ROWS = 640
UPDATES, WARM_UP, TURNS = 4, 1, ("spawn", "forkserver")
SETTINGS: dict[str, dict[str, Any]] = {
    "as shipped: bf16, unfused attention": {},
    "bf16, torch's own choice of attention": {"fused_attention": True},
    "fp32": {"precision": "fp32"},
    "unfused AdamW": {"fused_optimizer": False},
    "channels last": {"channels_last": True},
    "compiled image tower": {"compile": True},
    "activation checkpointing": {"activation_checkpointing": True},
    "gradient cache, 16 images at a time": {"gradient_cache": 16},
    "two loader processes": {"loader_workers": 2, "warm_up": 5},  # which fetch ahead at the start
}


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Train a few updates in this process."""
    torch.set_num_threads(1)
    changes = dict(settings)
    if changes.pop("fused_attention", False):
        loop.attention_kernel = lambda device, _: attention_kernel(device, "fp32")
    warm_up = changes.pop("warm_up", WARM_UP)
    config = get_profile("cpu").run("beta-clip-ce")
    config = config.replace(
        train=config.train.replace(steps=warm_up + UPDATES, checkpoint_every=0, **changes),
        data=config.data.replace(train=ROWS),
    )
    with tempfile.TemporaryDirectory() as folder:
        loop.train(config, load_split(config.data, "train"), Path(folder), progress=False)
        history = read_history(Path(folder) / "history.jsonl")
    timed = history[warm_up:]
    return {
        "seconds": [record["seconds"] for record in timed],
        "loader_share": statistics.median(record["loader_share"] for record in timed),
        "peak_megabytes": peak_memory(),
        "last_loss": history[-1]["loss"],
    }


def measure_apart(settings: dict[str, Any], method: str) -> dict[str, Any]:
    """The same in a process of its own, started in that way."""
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["bclip_core.train"])
    usual = multiprocessing.get_start_method()  # for the loader's processes, as in any other run
    with ProcessPoolExecutor(1, context, multiprocessing.set_start_method, (usual, True)) as pool:
        return pool.submit(measure, settings).result()


def joined(turns: list[dict[str, Any]]) -> dict[str, float]:
    """The mean over updates of the fastest turn's, the first turn's memory, least waiting."""
    fastest = [min(several) for several in zip(*(t["seconds"] for t in turns), strict=True)]
    return {
        "seconds_per_update": statistics.mean(fastest),
        "loader_share": min(turn["loader_share"] for turn in turns),
        "peak_megabytes": turns[0]["peak_megabytes"],
        "last_loss": turns[0]["last_loss"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="settings whose name contains this")
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    load_split(get_profile("cpu").base.data.replace(train=ROWS), "train")
    asked = {name: value for name, value in SETTINGS.items() if arguments.only in name}
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    for number, method in enumerate(TURNS, 1):
        for name, settings in asked.items():
            turns[name].append(measure_apart(settings, method))
            print(f"turn {number}: {name}", flush=True)
    rows = [{"setting": name, **joined(several)} for name, several in turns.items()]
    for row in rows:
        print(
            f"{row['setting']:40}{row['seconds_per_update']:8.2f} s"
            f"{row['seconds_per_update'] / rows[0]['seconds_per_update']:7.2f}x"
            f"{row['peak_megabytes']:8.0f} MB  loader {100 * row['loader_share']:.1f} %"
        )
    if not arguments.only:
        record = {
            "name": "benchmark_training_settings",
            **provenance(),
            "settings": {
                "updates": UPDATES,
                "turns": len(TURNS),
                "threads": 1,
                "load_average": os.getloadavg(),
            },
            "rows": rows,
        }
        print(write_json(REFERENCE_FOLDER / "benchmark_training_settings.json", record))


if __name__ == "__main__":
    main()
