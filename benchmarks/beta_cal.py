"""Speed and memory of β-CAL: `python -m benchmarks.beta_cal [--quick]`.

Three versions of one loss, forward and backward, K = 36 texts and width 512 as in the paper:
`equations` writes the definition down with every [N, N] matrix in it, `autograd` leaves the
target matrices out and lets PyTorch differentiate, `streamed` is `bclip_core.losses.beta_cal`.
`products` are the matrix products of `streamed` alone: the logits (twice in the CE form, whose
gradient is known only after a first pass), and two slopes. No arrangement of the rest can be faster
than they are without keeping N × N numbers.
Then the same loss with the empty places that real captions leave: `padded` is the definition
written down over all B · 36 places, empty ones masked in every [N, N] matrix, on captions read
from the folder named by BCLIP_DATA.

One thread. Repeats are interleaved and their CPU time is taken, so that another load on the
machine disturbs little and all versions alike; a time is the fastest repeat's. Memory is the peak
of PyTorch's allocator above the inputs. The full run takes about five minutes on an idle core and
writes results/reference/benchmark_beta_cal.json; `--quick` stops at 32 images and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from bclip_core.files import write_json
from bclip_core.losses import beta_cal
from bclip_core.results import REFERENCE_FOLDER, provenance
from benchmarks.text_once import batch_of, captions

TEXTS, WIDTH, BETA, SCALE = 36, 512, 0.5, 1 / 0.07
CAPTIONS = ("Urban-1K", "DOCCI")
COMPARED, STREAMED_ONLY = (16, 32, 64, 128), (256, 512)
REPEATS = {16: 10, 32: 10, 64: 6, 128: 3}
REAL_REPEATS = 2
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
    text, image = (
        torch.randn(batch, TEXTS, WIDTH, generator=generator).requires_grad_() for _ in range(2)
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


def memory_of(version: Loss, inputs: Inputs, form: str) -> dict[str, float]:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(version, inputs, form)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    events = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    allocated = peak = 0
    for event in events:
        allocated += event["args"]["Bytes"]
        peak = max(peak, allocated)
    return {"peak_megabytes": peak / 1e6}


def measure(
    batch: int, form: str, versions: Sequence[Loss], places: str = ""
) -> list[dict[str, Any]]:
    """One row per version; with the places that captions of a data set fill, if one is named."""
    inputs = make_inputs(batch)
    if places:
        inputs = with_places_of(places, inputs)
    count = REAL_REPEATS if places else REPEATS.get(batch, 1)
    repeats = [[timed(v, inputs, form) for v in versions] for _ in range(count)]
    losses = [loss for v, (_, loss) in zip(versions, repeats[0], strict=True) if v is not products]
    torch.testing.assert_close(losses, losses[:1] * len(losses))
    fastest = [min(seconds for seconds, _ in runs) for runs in zip(*repeats, strict=True)]
    return [
        {
            "form": form,
            "images": batch,
            "version": version.__name__,
            "filled": inputs[2].float().mean().item(),
            "cpu_seconds": cpu_seconds,
            **({} if version is products else memory_of(version, inputs, form)),
        }
        for version, cpu_seconds in zip(versions, fastest, strict=True)
    ]


def show(rows: list[dict[str, Any]]) -> None:
    streamed_row = rows[-1]
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
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print("form images version   CPU time, over streamed;  peak memory, over streamed")
    rows = []
    for form in ("ce", "bce"):
        for batch in COMPARED[:2] if quick else COMPARED + STREAMED_ONLY:
            others = (equations, autograd, products) if batch in COMPARED else (products,)
            found = measure(batch, form, (*others, streamed))
            show(found)
            rows += found
    real: dict[str, list[dict[str, Any]]] = {}
    if not os.environ.get("BCLIP_DATA"):
        print("BCLIP_DATA is not set: nothing measured with real captions")
    elif not quick:
        for name in CAPTIONS:
            real[name] = [
                row for form in ("ce", "bce")
                for row in measure(COMPARED[-1], form, (padded, streamed), name)
            ]  # fmt: skip
            print(f"places filled by {name}: {real[name][0]['filled']:.0%}")
            for two in (real[name][:2], real[name][2:]):
                show(two)
    if not quick:
        settings = {"texts": TEXTS, "width": WIDTH, "beta": BETA, "scale": SCALE, "threads": 1}
        record = {"name": "benchmark_beta_cal", **provenance(), "settings": settings,
                  "rows": rows, "real": real}  # fmt: skip
        print(write_json(REFERENCE_FOLDER / "benchmark_beta_cal.json", record))


if __name__ == "__main__":
    main()
