"""The papers' recipe on one GPU: `python -m benchmarks.gpu_step [--updates 100]`.

β-CLIP's recipe (`--profile paper-b16`, ViT-B/16 with random weights, K = 36, 64 images times 8 an
update, fp16) by its own command line, in a fresh process for each choice of attention kernels: the
library's, and torch's own, which may be cuDNN's. Rows are COCO's photos and Urban-1K's captions
where BCLIP_DATA names a folder with both (the captions are of other photos, which changes no cost),
else the sample photographs with their own; repeated under other names until they fill a list of
ShareGPT4V's form. So the pictures are read from memory, not from a disk.

The full run writes results/reference/benchmark_gpu_step.json. Without a GPU nothing is measured.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from bclip_core.data.real.loading import folder_above
from bclip_core.data.real.photographs import photographs, picture
from bclip_core.records.files import read_json, write_json
from bclip_core.records.machine import usable_cores
from bclip_core.records.results import REFERENCE_FOLDER, provenance
from bclip_core.train.resume import read_history

UPDATES, ROWS, IMAGES = 100, 6_000, 64
LIST = "share-captioner_coco_lcs_sam_1246k_1107.json"
KEPT = (
    "seconds", "loader_share", "teraflops_per_second", "model_flops_utilisation", "peak_memory"
)  # fmt: skip
VERSIONS = {
    "torch's choice of attention": (
        "import contextlib; from bclip_core.train import loop; "
        "loop.attention_kernel = lambda *_: contextlib.nullcontext(); "
    ),
    "as shipped": "",
}
COMMAND = "import sys; {before}from bclip_core.train.__main__ import main; main(sys.argv[1:])"


def sources() -> tuple[list[Path], list[str]]:
    """Photographs, and long captions."""
    data = folder_above() or Path()
    photos, captions = sorted((data / "coco" / "val2017").glob("*.jpg")), data / "urban1k"
    if folder_above() and photos and captions.is_dir():
        found = read_json(captions / "annotations.json")["annotations"]
        return photos, [one["caption"] for one in found if one["caption"].strip()]
    known = photographs()
    return [picture(one) for one in known], [one["caption"] for one in known]


def lay_out(folder: Path, rows: int) -> Path:
    """A list of ShareGPT4V's form, whose rows repeat what there is."""
    photos, captions = sources()
    pictures = folder / "coco" / "train2017"
    pictures.mkdir(parents=True)
    entries = []
    both = zip(range(rows), itertools.cycle(photos), itertools.cycle(captions), strict=False)
    for number, photo, caption in both:
        name = f"{number:012d}"
        (pictures / f"{name}.jpg").write_bytes(photo.read_bytes())
        turns = [
            {"from": "human", "value": "<image>\nDescribe it."},
            {"from": "gpt", "value": caption},
        ]
        image = f"coco/train2017/{name}.jpg"
        entries.append({"id": name, "image": image, "conversations": turns})
    write_json(folder / LIST, entries)
    return folder


def measure(version: str, folder: Path, data: Path, updates: int) -> list[dict[str, float]]:
    """What each update of a run says of itself.

    Raises:
        RuntimeError: the run failed; the message ends with its last lines.
    """
    settings = {
        "train.steps": updates, "train.batch-size": IMAGES, "train.checkpoint-every": 0,
        "train.loader-workers": max(1, usable_cores() - 2), "train.keep-epochs": "[]",
        "backbone.pretrained": "", "backbone.frozen-positions": 20, "data.folder": data,
        "folder": folder,
    }  # fmt: skip
    flags = [f"--{name}={value}" for name, value in settings.items()]
    code = COMMAND.format(before=VERSIONS[version])
    done = subprocess.run(
        [sys.executable, "-c", code, "--profile", "paper-b16", *flags],
        env=os.environ | {"TQDM_DISABLE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{version}: exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return [{name: one[name] for name in KEPT} for one in read_history(folder / "history.jsonl")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--quick", action="store_true", help="few updates, nothing written")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: nothing is measured")
        return
    updates, rows = 4 if chosen.quick else chosen.updates, list[dict[str, Any]]()
    with tempfile.TemporaryDirectory(prefix="bclip-gpu-step-") as place:
        data = lay_out(Path(place, "data"), ROWS)
        for number, version in enumerate(VERSIONS):
            found = measure(version, Path(place, str(number)), data, updates)
            rows.append({"version": version, "updates": found})
            print(version, found[-1])
    if not chosen.quick:
        record = {"name": "benchmark_gpu_step", **provenance(), "images": IMAGES, "rows": rows}
        print(write_json(REFERENCE_FOLDER / "benchmark_gpu_step.json", record))


if __name__ == "__main__":
    main()
