"""The whole training step at the papers' size: `python -m benchmarks.whole_step [--quick]`.

ViT-B/16, K = 36 texts per image (1 caption, 5 sentences, 30 phrases), 4 images, one thread:
forward, both losses, backward and AdamW, through `train.loop.train` as any run. Real captions and
photos: Urban-1K's captions beside COCO's photos where BCLIP_DATA names a folder with both (the
captions are of other photos, which changes no cost), else the sample photographs with their own.
Each version runs in a process of its own, all see the same batches, and they take turns.

"authors' layout" is a reimplementation here of how the β-CLIP authors lay out a batch, after
golden/REPORT.md of their code, not their code: every text of every image, repeated and missing ones
too; caption and sentences cut to the longest caption of the batch, phrases to the longest phrase;
attention with its matrix written out; AdamW in torch's own loop; the text tower recomputed in the
backward pass, as their code does by default, or not. Losses, pooler, image tower and the loop
around are the library's in every version, so that losses can be compared.

Seconds are of the processor, not of the clock: other processes on the machine disturb them less,
but they do. Of each update the fastest turn counts. The full run writes
results/reference/benchmark_whole_step.json, after each turn what is known so far.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from bclip_core.backbone import attention_kernel
from bclip_core.config import (
    BackboneConfig,
    DataConfig,
    RunConfig,
    TextConfig,
    TrainConfig,
)
from bclip_core.data.real.loading import folder_above
from bclip_core.data.real.photographs import photographs, picture
from bclip_core.data.sources import load_split
from bclip_core.model import BClip, TextBatch
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance
from bclip_core.train import loop
from bclip_core.train.meters import peak_memory
from bclip_core.train.resume import read_history
from bclip_core.train.start import create_model
from bclip_core.train.step import require_finite_weights
from benchmarks.text_once import captions

IMAGES, ROWS = 4, 32
UPDATES, TURNS = 3, 3  # the first update of each turn warms up
LONG = 6  # places of a caption and its sentences
LEAN = {"memory": "lean"}
FAST = {"precision": "bf16-products", "packed_texts": True}
VERSIONS: dict[str, dict[str, Any]] = {
    "authors' layout, text recomputed": {"authors": "recomputed", "fused_optimizer": False},
    "authors' layout": {"authors": "kept", "fused_optimizer": False},
    "as shipped: float32": {},
    "bf16 products, packed": FAST,
    "bf16 autocast, packed": FAST | {"precision": "bf16"},
    "float32, lean": LEAN,
    "bf16 products, packed, lean": FAST | LEAN,
}
"""Fields of `TrainConfig`; `authors` says what becomes of the text tower's activations."""
GROUPS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "fused attention": ("aten::_scaled_dot_product_flash_attention",),
    "zeros": ("aten::fill_", "aten::zero_"),
    "AdamW": ("aten::_fused_adamw_",),
    "copies and casts": ("aten::copy_", "aten::cat"),
    "sums of gradients": ("aten::add_",),
    "activations, norms, softmax": (
        "aten::mul", "aten::sigmoid", "aten::native_layer_norm", "aten::_softmax", "aten::add",
    ),
}  # fmt: skip
"""Beginnings of operators' names, the first that fits; the rest is "other"."""


Turns = dict[str, list[dict[str, Any]]]


class EnoughError(Exception):
    """Ends a run that has been measured, before it writes a checkpoint."""


def lay_out(folder: Path) -> str:
    """Pairs of captions and photos in the folder; where they are from."""
    data = folder_above() or Path("-")
    photos = sorted((data / "coco" / "val2017").glob("*.jpg"))[:ROWS]
    if photos and (data / "urban1k").is_dir():
        texts, source = captions("Urban-1K")[:ROWS], "Urban-1K's captions, COCO's photos"
    else:
        known = photographs()
        texts, source = [one["caption"] for one in known], "the sample photographs"
        photos = [picture(one) for one in known]
    rows = []
    for text, photo in zip(texts, photos, strict=True):
        shutil.copy(photo, folder / photo.name)
        rows.append(json.dumps({"image": photo.name, "caption": text}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(rows), encoding="utf-8")
    return source


def configured(folder: str, rows: int, **settings: Any) -> RunConfig:
    """The run of a version: the β-CLIP authors' rates, no clipping, weights random from a seed."""
    train = TrainConfig(steps=1000, batch_size=IMAGES, lr=1e-5, pooler_lr=1e-3, clip_norm=0)
    return RunConfig(
        backbone=BackboneConfig("ViT-B-16-quickgelu", context_length=248),
        texts=TextConfig(sentences=LONG - 1, phrases=30),
        data=DataConfig("pairs", image_size=224, train=rows, folder=folder),
        train=train.replace(warmup_steps=0, checkpoint_every=0, **settings),
    )


def encode_padded(model: BClip, tokens: Tensor, recompute: bool) -> Tensor:
    """The text tower on every position of every row, [R, L] -> [R, D]."""
    clip, length = model.backbone.clip, tokens.shape[1]
    mask = clip.attn_mask[:length, :length]
    hidden = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    for block in clip.transformer.resblocks:
        run = functools.partial(block, attn_mask=mask)
        hidden = checkpoint(run, hidden, use_reentrant=False) if recompute else run(hidden)
    ended = clip.ln_final(hidden)[torch.arange(len(tokens)), tokens.argmax(1)]
    return ended @ clip.text_projection


def authors_texts(
    model: BClip, recompute: bool, texts: TextBatch, _: Tensor
) -> tuple[Tensor, dict[str, Any]]:
    """All texts [B, K, D] in the authors' layout; places that no image fills are left out there."""
    tokens = texts.tokens[texts.index] * texts.mask[..., None]
    lengths = tokens.argmax(2) + 1
    parts = []
    for places in (slice(None, LONG), slice(LONG, None)):
        filled = int(texts.mask[:, places].sum(1).max())
        cut = tokens[:, places][:, :filled, : int(lengths[:, places].max())]
        encoded = encode_padded(model, cut.flatten(0, 1), recompute).unflatten(0, (len(cut), -1))
        missing = tokens[:, places].shape[1] - filled
        parts.append(torch.nn.functional.pad(encoded, (0, 0, 0, missing)))
    return torch.cat(parts, dim=1), {}


def authors_model(recompute: bool, plan: Any) -> BClip:
    """The library's model whose texts go the authors' way."""
    model = create_model(plan)
    model._encode_texts = functools.partial(  # type: ignore[method-assign]
        authors_texts, model, recompute
    )
    return model


def materialised(*_: Any) -> AbstractContextManager[None]:
    """Attention that writes its matrix out."""
    return sdpa_kernel(SDPBackend.MATH)


def measure(settings: dict[str, Any], folder: str, rows: int, profiled: bool) -> dict[str, Any]:
    """A few updates in this process: seconds, losses, peak memory, and of what they consist."""
    torch.set_num_threads(1)
    settings = dict(settings)
    authors = settings.pop("authors", "")
    loop.attention_kernel = materialised if authors else attention_kernel
    if authors:
        loop.create_model = functools.partial(authors_model, authors == "recomputed")
    config = configured(folder, rows, **settings)
    marks, memory, check = [(time.process_time(), time.perf_counter())], [0.0], [0.0]
    profiler = torch.profiler.profile()

    def after(update: int, model: BClip) -> None:
        marks.append((time.process_time(), time.perf_counter()))
        memory[0] = peak_memory()
        if update == UPDATES:
            if profiled:
                profiler.stop()
            began = time.process_time()
            require_finite_weights(model, update, Path(folder))
            check[0] = time.process_time() - began
            raise EnoughError
        if profiled and update == UPDATES - 1:
            profiler.start()

    with tempfile.TemporaryDirectory() as run:
        with suppress(EnoughError):
            loop.train(config, load_split(config.data, "train"), Path(run) / "run", device="cpu",
                       progress=False, callback=after)  # fmt: skip
        history = read_history(Path(run) / "run" / "history.jsonl")
    steps = list(itertools.pairwise(marks[1:]))  # what comes before the first mark warms up
    return {
        "seconds": [later[0] - earlier[0] for earlier, later in steps],
        "clock_seconds": [later[1] - earlier[1] for earlier, later in steps],
        "losses": [record["loss"] for record in history],
        "peak_megabytes": memory[0],
        "finite_check_seconds": check[0],
        "profile": shares(profiler) if profiled else {},
        "load": os.getloadavg()[0],
    }


def shares(profiler: torch.profiler.profile) -> dict[str, float]:
    """Seconds of a profiled update by kind of operator, most first."""
    found = dict.fromkeys([*GROUPS, "other"], 0.0)
    for event in profiler.key_averages():
        kind = next((k for k, names in GROUPS.items() if event.key.startswith(names)), "other")
        found[kind] += event.self_cpu_time_total / 1e6
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def measure_apart(*arguments: Any) -> dict[str, Any]:
    """The same in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def joined(turns: list[dict[str, Any]], first: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each update the fastest turn; the largest memory; losses beside the first version's."""
    fastest = [min(several) for several in zip(*(t["seconds"] for t in turns), strict=True)]
    ratios = [
        statistics.mean(a["seconds"]) / statistics.mean(t["seconds"])
        for a, t in zip(first, turns, strict=True)
    ]
    losses, expected = turns[0]["losses"], first[0]["losses"]
    apart = [abs(a - b) / b for a, b in zip(losses, expected, strict=True)]
    return {
        "seconds_per_update": statistics.mean(fastest),
        "times_faster_by_turn": ratios,
        "peak_megabytes": max(t["peak_megabytes"] for t in turns),
        "losses": losses,
        "loss_difference": apart[0],
        "loss_difference_after_updates": max(apart),
        "finite_check_seconds": min(t["finite_check_seconds"] for t in turns),
        "load": [t["load"] for t in turns],
        "turns": [{key: t[key] for key in ("seconds", "clock_seconds")} for t in turns],
    }


def run_turn(asked: dict[str, dict[str, Any]], found: Turns, folder: str, rows: int) -> None:
    """All versions, one after another."""
    for name, settings in asked.items():
        one = measure_apart(settings, folder, rows, False)
        found[name].append(one)
        seconds = ", ".join(f"{value:.2f}" for value in one["seconds"])
        print(
            f"turn {len(found[name])}: {name:34}{seconds} s, {one['peak_megabytes']:,.0f} MB, "
            f"first loss {one['losses'][0]:.5f}, load {one['load']:.1f}", flush=True,
        )  # fmt: skip


def report(found: Turns, source: str, write: bool) -> None:
    """Print what is known of every version, and write it."""
    first = next(iter(found.values()))
    results = [{"version": name, **joined(turns, first)} for name, turns in found.items()]
    for row in results:
        print(
            f"{row['version']:34}{row['seconds_per_update']:7.2f} s"
            f"{results[0]['seconds_per_update'] / row['seconds_per_update']:6.2f}x"
            f"{row['peak_megabytes']:7,.0f} MB  loss differs by {row['loss_difference']:.1e}",
            flush=True,
        )
    if write:
        settings = {
            "source": source, "images": IMAGES, "texts": LONG + 30, "updates": UPDATES - 1,
            "turns": len(first), "threads": 1,
        }  # fmt: skip
        record = {"name": "benchmark_whole_step", **provenance(), "settings": settings,
                  "rows": results}  # fmt: skip
        print(write_json(REFERENCE_FOLDER / "benchmark_whole_step.json", record), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn, nothing written")
    parser.add_argument("--turns", type=int, default=TURNS, help="default: %(default)s")
    parser.add_argument("--only", default="", help="versions whose name contains this")
    parser.add_argument("--profile", action="store_true", help="of what an update consists")
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    asked = {name: value for name, value in VERSIONS.items() if arguments.only in name}
    found: Turns = {name: [] for name in asked}
    with tempfile.TemporaryDirectory() as folder:
        source = lay_out(Path(folder))
        rows = len((Path(folder) / "metadata.jsonl").read_text(encoding="utf-8").splitlines())
        if arguments.profile:
            for name, settings in asked.items():
                print(name, json.dumps(measure_apart(settings, folder, rows, True)["profile"]))
            return
        for _ in range(1 if arguments.quick else arguments.turns):
            run_turn(asked, found, folder, rows)
            report(found, source, not (arguments.quick or arguments.only))


if __name__ == "__main__":
    main()
