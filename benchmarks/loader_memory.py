"""Memory that the texts of a large data set take: `python -m benchmarks.loader_memory [--rows N]`.

Each measurement is a fresh process that opens rows stored on disk, builds the `ImageTextDataset`
and reads every row once, then once more in a forked process, as a worker of the loader does. All
rows share one small picture: what a decoded picture takes is the same for any number of rows.
Prints; `--record` writes results/reference/benchmark_loader_memory.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import psutil
import torch
from PIL import Image

from bclip_core.config import DataConfig, TextConfig
from bclip_core.data.batches import REQUIRED_COLUMNS, Addresses, ImageTextDataset
from bclip_core.data.scenes.attributes import get_difficulty
from bclip_core.data.scenes.language import write_texts
from bclip_core.data.scenes.layout import sample_scenes
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance

ROWS = 20_000
BATCH = 64
MEGABYTE = 1e6


def store(folder: Path, rows: int) -> None:
    """Long captions of scenes with their sentences and phrases, stored as training stores them."""
    picture = folder / "picture.jpg"
    Image.effect_noise((64, 64), 40).convert("RGB").save(picture)
    scenes = sample_scenes(get_difficulty(DataConfig().difficulty), 0, "train", 0, min(rows, 2_000))
    texts = [write_texts(scene) for scene in scenes]
    columns: dict[str, list[object]] = {
        "id": [f"row {row:07d}" for row in range(rows)],
        "image": [{"bytes": None, "path": str(picture)}] * rows,
    }
    repeated = [texts[row % len(texts)] for row in range(rows)]
    columns["caption"] = [text.caption for text in repeated]
    columns["short_captions"] = [text.short_captions for text in repeated]
    columns["sentences"] = [[s.text for s in text.sentences] for text in repeated]
    columns["phrases"] = [[[p.text for p in s.phrases] for s in t.sentences] for t in repeated]
    stored = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    datasets.disable_progress_bars()
    stored.save_to_disk(folder / "rows")


def private() -> float:
    """Memory in megabytes that no other process shares: pages of files on disk do not count."""
    return float(psutil.Process().memory_full_info().uss) / MEGABYTE


def read_all(data: ImageTextDataset, step: int) -> None:
    """Every row once, in random order and in batches, as the loader asks for them."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(step)).tolist()
    for start in range(0, len(data), BATCH):
        rows = order[start : start + BATCH]
        data.__getitems__(Addresses(((step, row) for row in rows), rows))


def worker(
    data: ImageTextDataset, passes: int, answers: multiprocessing.Queue[list[float]]
) -> None:
    """What each pass over all rows adds to a forked process, in megabytes."""
    read_some = range(BATCH)  # what is imported and cached at first use does not grow
    data.__getitems__(Addresses(((0, row) for row in read_some), read_some))
    grown, before = [], private()
    for step in range(1, passes + 1):
        read_all(data, step)
        grown.append(private() - before)
        before = private()
    answers.put(grown)


def measure(folder: Path, passes: int) -> dict[str, object]:
    """Megabytes of the data set in this process, and what each pass adds to a worker."""
    first = datasets.Dataset.from_dict(
        {name: datasets.load_from_disk(folder / "rows")[:BATCH][name] for name in REQUIRED_COLUMNS}
    )
    ImageTextDataset(first, TextConfig(), 64, ahead=False)  # loads what is imported at first use
    rows = datasets.load_from_disk(folder / "rows")
    before = private()
    data = ImageTextDataset(rows, TextConfig(), 64, ahead=False)
    taken = private() - before
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[list[float]] = context.Queue()
    process = context.Process(target=worker, args=(data, passes, answers))
    process.start()
    grown = answers.get(timeout=120)
    process.join()
    return {"rows": len(data), "data_set_mb": taken, "worker_mb_per_pass": grown}


def measured(rows: int, passes: int = 2) -> dict[str, object]:
    """As `measure`, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder), rows)
        command = [sys.executable, "-m", "benchmarks.loader_memory", "--measure", folder]
        done = subprocess.run(
            [*command, "--passes", str(passes)], check=True, capture_output=True, text=True
        )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="few rows, nothing written")
    parser.add_argument("--record", action="store_true", help="write the reference record")
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure, chosen.passes)))
        return
    values = measured(2_000 if chosen.quick else chosen.rows, chosen.passes)
    print(values)
    if chosen.record:
        settings = {"rows": chosen.rows, "passes": chosen.passes, "batch": BATCH}
        record = {"name": "benchmark_loader_memory", **provenance(), "settings": settings}
        path = REFERENCE_FOLDER / "benchmark_loader_memory.json"
        print(write_json(path, record | {"values": values}))


if __name__ == "__main__":
    main()
