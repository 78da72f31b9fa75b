"""How quickly the explorer follows its controls: `python -m benchmarks.explorer [--quick]`.

Each control is changed many times once the picture is encoded, and the time is taken from the
change to the new content of every widget, drawing and encoding of the pictures included; what the
browser needs then is not in it. The shipped model stands beside itself with an untrained pooler,
so that two models are drawn and no run is needed. Opening a picture that was never seen is measured
too, and so are the eight released formats side by side on one photograph: a new text once the
picture is encoded. Writes results/reference/benchmark_explorer.json; `--quick` repeats less and
writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from bclip_core.checkpoints import load, open_model
from bclip_core.checkpoints.own import SHIPPED
from bclip_core.explorer import AttentionExplorer, View
from bclip_core.model import BClip
from bclip_core.poolers import TextConditionedPooler
from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance

BOUND = 0.3  # seconds, promised for every change once a picture is encoded
BOUND_OF_MANY = 0.5  # and for eight models side by side
REPEATS = 40
VOCABULARY = 49_408  # CLIP's
RELEASED = REPOSITORY / "tests" / "golden" / "relatives"  # tiny weights in the released layouts


def make_explorer() -> AttentionExplorer:
    """A model with a pooler and the untouched one side by side."""
    torch.manual_seed(0)
    model = load(SHIPPED["scenes"])
    model.pooler = TextConditionedPooler(model.backbone.dim)
    explorer = AttentionExplorer(model.eval())
    explorer.controls.second.value = "clip"
    return explorer


def changes(explorer: AttentionExplorer) -> dict[str, Callable[[], None]]:
    """What is measured, by name; each call makes a change that was not there before."""
    controls = explorer.controls
    names = {
        "opacity": itertools.cycle([0.2, 0.8]),
        "threshold": itertools.cycle([0.5, 0.1]),
        "kind": itertools.cycle(["head 3", "mean"]),
        "text": (f"a new text number {number}" for number in itertools.count()),
        "phrases": itertools.cycle(controls.phrases.values[:2]),
        "row": itertools.cycle([2, 7]),
        "second": itertools.cycle(["", "clip"]),
        "scene": iter(range(1, len(explorer.workbench.scenes))),
    }

    def setter(name: str, values: Iterator[Any]) -> Callable[[], None]:
        return lambda: setattr(getattr(controls, name), "value", next(values))

    return {name: setter(name, values) for name, values in names.items()}


def reads_texts(path: Path) -> BClip:
    """A released format's tiny model; a small token table is filled up to CLIP's with random rows.

    Five of the eight have some hundred ids, so that no text has ids in them as they are.
    """
    model = open_model(path)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Embedding) and name.endswith("token_embedding"):
            table = torch.randn(VOCABULARY, module.embedding_dim) * 0.02
            table[: module.num_embeddings] = module.weight.detach()
            module.weight = nn.Parameter(table)
            module.num_embeddings = VOCABULARY
    return model.eval()


def make_many(folder: Path) -> AttentionExplorer:
    """The released formats side by side on a photograph of 1,600 x 1,200 pixels."""
    noise = np.random.default_rng(0).integers(256, size=(75, 100, 3), dtype=np.uint8)
    photo = folder / "photo.png"
    Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC).save(photo)
    models = {path.parent.name: reads_texts(path) for path in sorted(RELEASED.glob("*/weights.*"))}
    view = View(str(photo), "a dog", tuple(models), caption="A dog runs over a wide green field.")
    return AttentionExplorer(models, view=view)


def measure(
    explorer: AttentionExplorer, repeats: int, only: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    """Median and longest seconds per change, and the median of the processor's seconds."""
    found = {}
    for name, change in changes(explorer).items():
        if only and name not in only:
            continue
        times = []
        for _ in range(repeats):
            start, worked = time.perf_counter(), time.process_time()
            change()
            times.append((time.perf_counter() - start, time.process_time() - worked))
            assert explorer.shown is not None, explorer.display.message.value
        waited, work = zip(*times, strict=True)
        found[name] = {
            "median": statistics.median(waited),
            "longest": max(waited),
            "median_processor": statistics.median(work),
        }
        print(name.ljust(10), *(f"{key} {value:.3f} s" for key, value in found[name].items()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repeats, nothing written")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    found = measure(make_explorer(), 5 if quick else REPEATS)
    with tempfile.TemporaryDirectory() as folder:
        many = make_many(Path(folder))
        assert many.shown is not None, many.display.message.value
        count = len(many.view.models)
        print(f"{count} released formats on one photograph:")
        eight = measure(many, 3 if quick else REPEATS // 2, ("text", "opacity", "row"))
    slow = [name for name, times in eight.items() if times["median"] > BOUND_OF_MANY]
    print(f"median within {BOUND_OF_MANY} s: " + (f"all but {slow}" if slow else "all"))
    found |= {f"{count} models: {name}": times for name, times in eight.items()}
    late = [name for name, times in found.items() if times["median"] > BOUND and ":" not in name]
    print(f"median within {BOUND} s: " + (f"all but {late}" if late else "all"))
    if not quick:
        settings = {"repeats": REPEATS, "threads": 1, "bound_seconds": BOUND}
        record = {"name": "benchmark_explorer", **provenance(), "settings": settings}
        path = write_json(REFERENCE_FOLDER / "benchmark_explorer.json", record | {"values": found})
        print(path)


if __name__ == "__main__":
    main()
