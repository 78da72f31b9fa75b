"""Conditioned similarity of every text with every image: time, memory and error against pairs.

The reference is the plain loop that pools one image for one text at a time. It runs on a random
sample of the pairs, in the same process, before and after the whole matrix, and its time is scaled
to all pairs. Writes results/reference/benchmark_conditioned_similarity.json.

    python benchmarks/conditioned_similarity.py            # 1,000 x 1,000, minutes
    python benchmarks/conditioned_similarity.py --images 50 --out /tmp/quick.json
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bclip_core.evaluation import conditioned_similarity
from bclip_core.evaluation.conditioned import MEMORY_BUDGET, HasPooler
from bclip_core.files import write_json
from bclip_core.poolers import TextConditionedPooler
from bclip_core.results import REFERENCE_FOLDER, code_version, machine


def peak_megabytes() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def noisy_pooler(width: int, heads: int) -> HasPooler:
    """A pooler away from its identity start, so that every weight matters to the result."""
    pooler = TextConditionedPooler(width, heads).eval()
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


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    model = noisy_pooler(arguments.width, arguments.heads)
    patches = torch.randn(arguments.images, arguments.patches, arguments.width)
    text = torch.randn(arguments.texts, arguments.width)
    pairs = torch.stack(
        [torch.randint(len(side), (arguments.pairs,)) for side in (text, patches)], dim=1
    )
    loop_over_pairs(model, patches, text, pairs[:10])  # warm both paths up
    conditioned_similarity(model, patches[:2], text)
    before = peak_megabytes()

    def timed_loop() -> tuple[float, Tensor]:
        start = time.perf_counter()
        cosines = loop_over_pairs(model, patches, text, pairs)
        return (time.perf_counter() - start) / len(pairs), cosines

    first, cosines = timed_loop()
    start = time.perf_counter()
    similarity = conditioned_similarity(model, patches, text, progress=True)
    seconds = time.perf_counter() - start
    second, _ = timed_loop()
    loop_seconds = (first + second) / 2 * similarity.numel()
    return {
        "seconds": seconds,
        "seconds_of_the_loop_over_pairs_scaled_to_all": loop_seconds,
        "times_faster": loop_seconds / seconds,
        "spread_of_the_two_loop_timings": abs(first - second) / (first + second) * 2,
        "largest_difference": (similarity[pairs[:, 0], pairs[:, 1]] - cosines).abs().max().item(),
        "standard_deviation_of_the_similarity": similarity.std().item(),
        "peak_megabytes_of_the_process": peak_megabytes(),
        "peak_megabytes_before": before,
        "megabytes_of_the_patches": patches.numel() * patches.element_size() / 2**20,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (
        ("texts", 1000),
        ("images", 1000),
        ("patches", 196),
        ("width", 512),
        ("heads", 8),
        ("pairs", 300),
        ("threads", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help="default: %(default)s")
    default_file = REFERENCE_FOLDER / "benchmark_conditioned_similarity.json"
    parser.add_argument("--out", type=Path, default=default_file, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    measured = measure(arguments)
    settings = {name: value for name, value in vars(arguments).items() if name != "out"}
    record = {
        "name": "benchmark_conditioned_similarity",
        "settings": {**settings, "memory_budget_bytes": MEMORY_BUDGET, "dtype": "float32"},
        "values": measured,
        "machine": machine(),
        "torch": torch.__version__,
        "code": code_version(),
    }
    print(write_json(arguments.out, record).read_text())
