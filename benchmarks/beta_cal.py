"""Speed and memory of β-CAL: `python -m benchmarks.beta_cal [--quick]`.

Versions of one loss, forward and backward, K = 36 texts and width 512 as in the paper:
`equations` writes the definition down with every [N, N] matrix in it, `autograd` leaves the
target matrices out and lets PyTorch differentiate, `streamed` is `bclip_core.losses.beta_cal`, and
`bfloat16` the same of embeddings given in bfloat16 (all versions see the same numbers).
`products` are the matrix products of `streamed` alone: the logits (twice in the CE form, whose
gradient is known only after a first pass), and two slopes. No arrangement of the rest can be faster
than they are without keeping N × N numbers.
Then the same loss with the empty places that real captions leave: `padded` is the definition
written down over all B · 36 places, empty ones masked in every [N, N] matrix, on captions read
from the folder named by BCLIP_DATA.
Then two processes that hold one joined batch: both compute all of its loss, or share the rows.

One thread. Repeats are interleaved and their CPU time is taken, so that another load on the
machine disturbs little and all versions alike; a time is the fastest repeat's. Memory is the peak
of PyTorch's allocator above the inputs, counted in one of the repeats; batches that only the
library's version is given run this once. The full run takes three minutes on idle cores and
writes results/reference/benchmark_beta_cal.json; `--quick` stops at 32 images and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from bclip_core.data.real.loading import folder_above
from bclip_core.losses import beta_cal
from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance
from benchmarks.text_once import batch_of, captions

TEXTS, WIDTH, BETA, SCALE = 36, 512, 0.5, 1 / 0.07
CAPTIONS = ("Urban-1K", "DOCCI")
COMPARED, STREAMED_ONLY = (16, 32, 64, 128), (256, 512)
REPEATS = {16: 10, 32: 10, 64: 6, 128: 2}
REAL_REPEATS, RANKS = 1, 2
Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
Loss = Callable[[Tensor, Tensor, Tensor, Tensor, str], Tensor]


def equations(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """The definition, both directions, with all its [N, N] matrices."""
    text = functional.normalize(text[mask], dim=1)
    image = functional.normalize(image[mask], dim=1)
    by_image, by_text = scale * image @ text.T, scale * text @ image.T
    owner = mask.nonzero()[:, 0]
    same_image = (owner[:, None] == owner).float()
    itself = torch.eye(len(owner))
    shared = itself + BETA * (same_image - itself)
    if form == "ce":
        targets = shared / shared.sum(1, keepdim=True)
        rows = -(targets * by_image.log_softmax(1)).sum(1).mean()
        columns = -(targets * by_text.log_softmax(1)).sum(1).mean()
        return (rows + columns) / 2
    weights = 1 - same_image + shared
    return (_binary(by_image, same_image, weights) + _binary(by_text, same_image, weights)) / 2


def _binary(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    positive, negative = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    return -(weights * (labels * positive + (1 - labels) * negative)).mean()


def padded(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """The definition over padded texts: all B · K places, and one more [N, N] matrix of masks."""
    text = functional.normalize(text.flatten(0, 1), dim=1)
    image = functional.normalize(image.flatten(0, 1), dim=1)
    by_image, by_text = scale * image @ text.T, scale * text @ image.T
    owner, valid = torch.arange(mask.numel()) // mask.shape[1], mask.flatten()
    both = valid[:, None] & valid
    same_image = ((owner[:, None] == owner) & both).float()
    itself = torch.diag(valid.float())
    shared = itself + BETA * (same_image - itself)
    if form == "ce":
        targets = shared / shared.sum(1, keepdim=True).clamp(min=1)
        absent = ~valid.expand(len(owner), -1)
        rows, columns = (
            -(targets * logits.masked_fill(absent, -1e9).log_softmax(1)).sum(1)[valid].mean()
            for logits in (by_image, by_text)
        )
        return (rows + columns) / 2
    weights = (1 - same_image + shared) * both
    total = _binary(by_image, same_image, weights) + _binary(by_text, same_image, weights)
    return total / 2 * both.numel() / valid.sum() ** 2


def autograd(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """One matrix of logits, targets from the [B, K, K] blocks, PyTorch's gradient."""
    text = functional.normalize(text, dim=2)
    image = functional.normalize(image, dim=2)
    logits = scale * (image.flatten(0, 1) @ text.flatten(0, 1).T)
    inside = scale * image @ text.mT
    count = len(logits)
    weight = torch.full((TEXTS, TEXTS), BETA).fill_diagonal_(1.0)
    if form == "ce":
        target = (inside * weight).sum() / weight[0].sum()
        return (logits.logsumexp(0).sum() + logits.logsumexp(1).sum() - 2 * target) / (2 * count)
    everywhere = -functional.logsigmoid(-logits).sum()
    change = weight * -functional.logsigmoid(inside) + functional.logsigmoid(-inside)
    return (everywhere + change.sum()) / count**2


def streamed(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """The library's."""
    return beta_cal(text, image, mask, scale, beta=BETA, form=form)


def bfloat16(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """The library's, of bfloat16 embeddings (see `inputs_of`)."""
    return streamed(text, image, mask, scale, form)


def products(text: Tensor, image: Tensor, mask: Tensor, scale: Tensor, form: str) -> Tensor:
    """The matrix products of the streamed version in blocks of its size, and nothing else."""
    text, image = text.detach()[mask], image.detach()[mask]
    rows = max(256, 3 * 2**19 // len(text))
    by_text, by_image = torch.zeros_like(text), torch.zeros_like(image)
    for start in range(0, len(text), rows):
        block = image[start : start + rows]
        for _ in range(2 if form == "ce" else 1):
            logits = block @ text.T
        by_image[start : start + rows].addmm_(logits, text)
        by_text.addmm_(logits.T, block)
    return by_text.sum()


def make_inputs(batch: int) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    text, image = (  # numbers that bfloat16 has
        torch.randn(batch, TEXTS, WIDTH, generator=generator).bfloat16().float().requires_grad_()
        for _ in range(2)
    )
    mask = torch.ones(batch, TEXTS, dtype=torch.bool)
    return text, image, mask, torch.tensor(SCALE, requires_grad=True)


def with_places_of(name: str, inputs: Inputs) -> Inputs:
    """The same embeddings where this data set's captions fill a place."""
    text, image, _, scale = inputs
    rows = batch_of(captions(name)[: len(text)], seed=0)
    mask = torch.zeros(text.shape[:2], dtype=torch.bool)
    for number, row in enumerate(rows):
        mask[number, : len(row)] = torch.tensor([one is not None for one in row])
    return text, image, mask, scale


def inputs_of(version: Loss, inputs: Inputs) -> Inputs:
    """The inputs in the type that a version takes."""
    if version is not bfloat16:
        return inputs
    text, image = (value.detach().bfloat16().requires_grad_() for value in inputs[:2])
    return text, image, *inputs[2:]


def step(version: Loss, inputs: Inputs, form: str) -> Tensor:
    """Loss and gradients from nothing; returns the loss."""
    loss = version(*inputs, form)
    if loss.requires_grad:
        loss.backward()
    for tensor in inputs:
        tensor.grad = None
    return loss.detach()


def timed(version: Loss, inputs: Inputs, form: str) -> tuple[float, Tensor]:
    start = time.process_time()
    loss = step(version, inputs, form)
    return time.process_time() - start, loss


def profiled(version: Loss, inputs: Inputs, form: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a run whose allocations are counted."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        seconds, _ = timed(version, inputs, form)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    events = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    allocated = peak = 0
    for event in events:
        allocated += event["args"]["Bytes"]
        peak = max(peak, allocated)
    return seconds, peak / 1e6


def measure(
    batch: int, form: str, versions: Sequence[Loss], places: str = ""
) -> list[dict[str, Any]]:
    """One row per version; with the places that captions of a data set fill, if one is named."""
    inputs = make_inputs(batch)
    if places:
        inputs = with_places_of(places, inputs)
    given = {version: inputs_of(version, inputs) for version in versions}
    count = REAL_REPEATS if places else REPEATS.get(batch, 0)
    repeats = [[timed(v, given[v], form) for v in versions] for _ in range(count)]
    losses = [found[1] for run in repeats[:1] for v, found in zip(versions, run, strict=True)
              if v is not products]  # fmt: skip
    torch.testing.assert_close(losses, losses[:1] * len(losses))
    rows = []
    for place, version in enumerate(versions):
        row = {"form": form, "images": batch, "version": version.__name__}
        row["filled"] = inputs[2].float().mean().item()
        times = [run[place][0] for run in repeats]
        if version is not products:
            seconds, row["peak_megabytes"] = profiled(version, given[version], form)
            times.append(seconds)
        rows.append(row | {"cpu_seconds": min(times)})
    return rows


def share_rows(rank: int, folder: Path) -> None:
    """One of two processes with the same joined batch; the first prints the slower's seconds."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=RANKS
    )
    text, image, mask, scale = make_inputs(COMPARED[-1])
    found: dict[str, dict[str, float]] = {}
    for form in ("ce", "bce"):
        fastest = found[form] = {"whole": math.inf, "shared": math.inf}
        for _ in range(REPEATS[COMPARED[-1]]):
            for name in fastest:
                distributed.barrier()
                start = time.perf_counter()
                loss = beta_cal(
                    text, image, mask, scale, beta=BETA, form=form, across_ranks=name == "shared"
                )
                loss.backward()
                seconds = torch.tensor(time.perf_counter() - start)
                distributed.all_reduce(seconds, distributed.ReduceOp.MAX)
                fastest[name] = min(fastest[name], seconds.item())
    distributed.destroy_process_group()
    if rank == 0:
        print(json.dumps(found))


def measure_ranks() -> dict[str, dict[str, float]]:
    """Seconds of the loss and its gradient where both processes compute all, and where they share.

    On the clock, since processes that wait for each other are part of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.beta_cal", "--share-rows", folder, "--rank"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        processes = [
            subprocess.Popen(
                [*command, str(rank)], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE
            )
            for rank in range(RANKS)
        ]
        told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("a process of the shared loss failed; its error stands above")
    found: dict[str, dict[str, float]] = json.loads(told[0])
    return found


def show(rows: list[dict[str, Any]]) -> None:
    streamed_row = next(row for row in rows if row["version"] == "streamed")
    for row in rows:
        faster = row["cpu_seconds"] / streamed_row["cpu_seconds"]
        told = f"{row['form']:4}{row['images']:5}  {row['version']:10}{row['cpu_seconds']:9.3f} s"
        told += f"{faster:6.1f}x"
        if "peak_megabytes" in row:
            leaner = row["peak_megabytes"] / streamed_row["peak_megabytes"]
            told += f"{row['peak_megabytes']:9.1f} MB{leaner:6.1f}x"
        print(told, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 32 images, nothing written")
    parser.add_argument("--share-rows", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quick = arguments.quick
    torch.set_num_threads(1)
    if arguments.share_rows:
        share_rows(arguments.rank, arguments.share_rows)
        return
    print("form images version   CPU time, over streamed;  peak memory, over streamed")
    rows = []
    for form in ("ce", "bce"):
        for batch in COMPARED[:2] if quick else COMPARED + STREAMED_ONLY:
            all_versions = (equations, autograd, products, streamed, bfloat16)
            found = measure(batch, form, all_versions if batch in COMPARED else (streamed,))
            show(found)
            rows += found
    real: dict[str, list[dict[str, Any]]] = {}
    if folder_above() is None:
        print("BCLIP_DATA is not set: nothing measured with real captions")
    elif not quick:
        for name in CAPTIONS:
            real[name] = [
                row for form in ("ce", "bce")
                for row in measure(COMPARED[-1], form, (padded, streamed, bfloat16), name)
            ]  # fmt: skip
            print(f"places filled by {name}: {real[name][0]['filled']:.0%}")
            for found in (real[name][:3], real[name][3:]):
                show(found)
    if not quick:
        ranks = measure_ranks()
        for form, seconds in ranks.items():
            print(
                f"{form:4} in {RANKS} processes, {COMPARED[-1]} images: whole in each "
                f"{seconds['whole']:.3f} s, shared {seconds['shared']:.3f} s, "
                f"{seconds['whole'] / seconds['shared']:.2f}x"
            )
        settings = {
            "texts": TEXTS,
            "width": WIDTH,
            "beta": BETA,
            "scale": SCALE,
            "threads": 1,
            "processes": RANKS,
            "load_average": os.getloadavg(),
        }
        record = {"name": "benchmark_beta_cal", **provenance(), "settings": settings,
                  "rows": rows, "real": real, "ranks": ranks}  # fmt: skip
        print(write_json(REFERENCE_FOLDER / "benchmark_beta_cal.json", record))


if __name__ == "__main__":
    main()
