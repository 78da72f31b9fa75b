"""Every text against every image: `python -m benchmarks.conditioned_similarity [--quick]`.

Time, memory and error of `bclip_core.evaluation.conditioned_similarity` against the plain loop that
pools one image for one text at a time. The loop runs on a random sample of the pairs, in the same
process, before and after the whole matrix, and its time is scaled to all pairs. Beside seconds on
the clock stand processor seconds of all threads and the load of the machine, since somebody else's
work shows in the first alone. The full run, 1,000 texts and 1,000 images of 196 patches, takes a
minute or more and writes results/reference/benchmark_conditioned_similarity.json; the quick one,
40 images, writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bclip_core.evaluation import conditioned_similarity
from bclip_core.evaluation.conditioned import MEMORY_BUDGET, HasPooler
from bclip_core.poolers import TextConditionedPooler
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance
from bclip_core.train.meters import peak_memory

TEXTS, PATCHES, WIDTH, HEADS, PAIRS = 1000, 196, 512, 8, 150


def noisy_pooler() -> HasPooler:
    """A pooler away from its identity start, so that every weight matters to the result."""
    pooler = TextConditionedPooler(WIDTH, HEADS).eval()
    with torch.no_grad():
        for parameter in pooler.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return SimpleNamespace(pooler=pooler)


def loop_over_pairs(model: HasPooler, patches: Tensor, text: Tensor, pairs: Tensor) -> Tensor:
    """Cosine of each (text, image) pair [N, 2] by itself, [N]."""
    cosines = []
    with torch.no_grad():
        for query, image in pairs.tolist():
            conditioned, _ = model.pooler(patches[image, None], text[query, None, None])
            cosines.append(F.cosine_similarity(conditioned[0, 0], text[query], dim=0))
    return torch.stack(cosines)


def measure(images: int) -> dict[str, Any]:
    """Seconds, megabytes and differences of one run."""
    torch.manual_seed(0)
    model = noisy_pooler()
    patches, text = torch.randn(images, PATCHES, WIDTH), torch.randn(TEXTS, WIDTH)
    pairs = torch.stack([torch.randint(len(side), (PAIRS,)) for side in (text, patches)], dim=1)
    loop_over_pairs(model, patches, text, pairs[:10])  # warm both paths up
    conditioned_similarity(model, patches[:2], text)
    before = peak_memory()

    def timed_loop() -> tuple[float, Tensor]:
        start = time.perf_counter()
        cosines = loop_over_pairs(model, patches, text, pairs)
        return (time.perf_counter() - start) / len(pairs), cosines

    first, cosines = timed_loop()
    load = os.getloadavg()[0]
    start, worked = time.perf_counter(), time.process_time()
    similarity = conditioned_similarity(model, patches, text, progress=True)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    second, _ = timed_loop()
    loop_seconds = (first + second) / 2 * similarity.numel()
    return {
        "seconds": seconds,
        "processor_seconds_of_all_threads": worked,
        "load_average_before_and_after": [load, os.getloadavg()[0]],
        "seconds_of_the_loop_over_pairs_scaled_to_all": loop_seconds,
        "times_faster": loop_seconds / seconds,
        "spread_of_the_two_loop_timings": abs(first - second) / (first + second) * 2,
        "largest_difference": (similarity[pairs[:, 0], pairs[:, 1]] - cosines).abs().max().item(),
        "standard_deviation_of_the_similarity": similarity.std().item(),
        "peak_megabytes_of_the_process": peak_memory(),
        "peak_megabytes_before": before,
        "megabytes_of_the_patches": patches.numel() * patches.element_size() / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="40 images; writes no result")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = 40 if arguments.quick else 1000
    record = {
        "name": "benchmark_conditioned_similarity",
        **provenance(),
        "settings": {
            "texts": TEXTS,
            "images": images,
            "patches": PATCHES,
            "width": WIDTH,
            "heads": HEADS,
            "sampled_pairs": PAIRS,
            "threads": arguments.threads,
            "memory_budget_bytes": MEMORY_BUDGET,
            "dtype": "float32",
        },
        "values": measure(images),
    }
    print(json.dumps(record, indent=1))
    if not arguments.quick:
        write_json(REFERENCE_FOLDER / "benchmark_conditioned_similarity.json", record)


if __name__ == "__main__":
    main()
