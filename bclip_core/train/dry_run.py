"""What a training will be, before it is: every value, rows, updates, bytes, memory and time.

The time is measured: a few updates of the real loop in a folder that is thrown away, with the
configuration's own model, texts and pictures. Where a micro-batch is more than is tried here, two
smaller ones are timed and the line through them is followed.
"""

from __future__ import annotations

import io
import os
import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from PIL import Image

from bclip_core.checkpoints import is_tag
from bclip_core.config import ConfigError, DataConfig, RunConfig, TrainConfig
from bclip_core.config.flags import setting_types
from bclip_core.data.real.photographs import photographs
from bclip_core.data.real.rows import DataError, LayoutError
from bclip_core.data.real.sets import CaptionedImage, CaptionSet
from bclip_core.data.real.shard_files import NAME as SHARDS
from bclip_core.data.real.training import training_rows
from bclip_core.data.sources import NAMES, captions_of, load_split
from bclip_core.model import BClip, Plan, resolve
from bclip_core.records.machine import default_device
from bclip_core.train.choice import choose
from bclip_core.train.loop import run_updates
from bclip_core.train.memory import begin_lean
from bclip_core.train.resume import KEPT_CHECKPOINTS, read_history
from bclip_core.train.start import check_model, create_model, prepare

TIMED = 3  # updates that are timed, after one that warms up
TRIED = {"cpu": (2, 4), "cuda": (16, 64)}  # images a process tries at most, of 224 pixels a side
FLOAT = 4  # bytes of a weight; AdamW keeps two more numbers of each


@dataclass(frozen=True)
class Timing:
    """What a micro-batch of one process takes; `images` are those that were timed, in order."""

    images: tuple[int, ...]
    seconds: tuple[float, ...]
    memory: tuple[float, ...]  # MiB, the most that this process held

    def at(self, images: int) -> tuple[float, float]:
        """Seconds and MiB of a micro-batch of so many images, on the line through those timed."""
        return _line(self.images, self.seconds, images), _line(self.images, self.memory, images)


def _line(x: tuple[int, ...], y: tuple[float, ...], at: int) -> float:
    if len(x) == 1:
        return y[0] * at / x[0]
    slope = max(0.0, (y[-1] - y[0]) / (x[-1] - x[0]))
    return y[-1] + slope * (at - x[-1])


def dry_run(plan: Plan, *, device: str = "", processes: int = 1, about: str = "") -> bool:
    """Print what a training will be; nothing is kept.

    Args:
        plan: of the run, see `plan_run`.
        device: "cpu" keeps an available GPU out of it.
        processes: how many will share a batch.
        about: what the profile says of itself.

    Returns:
        Whether the run could start here as it stands; what is in its way is printed.

    Raises:
        ConfigError, CheckpointError: the configuration cannot be, before a row is read.
    """
    config = plan.config
    kind = "cpu" if device == "cpu" else default_device()
    problems = list[str]()
    for name, value in values(config).items():
        print(f"{name} = {value}")
    if about:
        print(f"\n{about}\n")
    if config.train.precision == "fp16" and kind == "cpu":
        problems.append("precision fp16 needs a GPU; timed in fp32")
    if config.train.batch_size < processes:
        raise ConfigError(
            f"processes={processes}: expected <= {config.train.batch_size}, the images of a batch"
        )
    tried = _tried(config, kind, processes)
    model = _model(plan)
    check_model(config, model)
    rows, sample, problem = _rows(config.data, 2 * max(tried))
    problems += [problem] if problem else []
    _print_sizes(plan, model, rows)
    del model
    timing = measure(plan, sample, tried, "cpu" if kind == "cpu" else "")
    _print_time(config, timing, rows, kind, processes)
    for text in problems:
        print(f"not ready: {text}")
    print("nothing was written" if problems else "ready; nothing was written")
    return not problems


def values(config: RunConfig) -> dict[str, Any]:
    """Every setting by its dotted name."""
    found = {}
    whole = config.to_dict()
    for name in setting_types():
        part, _, field = name.rpartition(".")
        found[name] = whole[part][field] if part else whole[name]
    return found


def _tried(config: RunConfig, kind: str, processes: int) -> tuple[int, ...]:
    """How many images of a process are timed: its whole share, or two smaller numbers."""
    share = -(-config.train.batch_size // processes)
    smaller = max(1.0, (224 / config.data.image_size) ** 2)  # of smaller pictures more
    few, many = (round(images * smaller) for images in TRIED[kind])
    return (share,) if share <= many else (few, many)


def _rows(config: DataConfig, needed: int) -> tuple[int, datasets.Dataset, str]:
    """How many rows there are, some of them, and what is wrong with the data."""
    few = config.replace(train=max(1, min(needed, config.train)))
    if config.name == "scenes" or config.name not in NAMES:  # the latter is refused
        return config.train, load_split(few, "train"), ""
    try:
        sample = load_split(few, "train")
        if config.name == SHARDS:  # a stream's rows are counted by reading it, once
            return len(load_split(config, "train")), sample, ""
        return len(captions_of(config, "train", config.train)), sample, ""
    except (ConfigError, DataError, LayoutError) as error:
        problem = f"{error}\n  (at most {config.train:,} rows are asked for; timed on stand-ins)"
        return config.train, _stand_ins(needed), problem


def _stand_ins(count: int) -> datasets.Dataset:
    """Rows where the data are missing: the sample photographs' texts, pictures of a slope."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(file, "JPEG")
    texts = photographs()
    items = tuple(
        CaptionedImage(f"{n}.jpg", file.getvalue(), (texts[n % len(texts)]["caption"],))
        for n in range(count)
    )
    return training_rows(CaptionSet("stand-in", "train", items))


def _model(plan: Plan) -> BClip:
    """The model of a run; what a hub has is not fetched: random weights cost the same."""
    source, pooler = plan.config.backbone.pretrained, plan.parts.pooler
    goes_on = pooler is not None and pooler.init == "weights"  # which no tag can: that is told
    fetched = source and is_tag(source) and not goes_on
    return create_model(_without_tag(plan) if fetched else plan)


def _without_tag(plan: Plan) -> Plan:
    backbone = plan.config.backbone.replace(pretrained="")
    return resolve(plan.config.replace(backbone=backbone))


def _print_sizes(plan: Plan, model: BClip, rows: int) -> None:
    config, settings = plan.config, plan.config.train
    updates, numbers = settings.updates(rows), sum(p.numel() for p in model.parameters())
    disk = disk_use(settings, rows, numbers * FLOAT)
    source = config.backbone.pretrained
    if source and is_tag(source):
        print(f"weights: open_clip's tag {source!r}; fetched at the start if the cache lacks it")
    print(f"texts per image: {plan.texts.texts_per_image} (K = {config.texts.texts_per_image})")
    print(f"rows: {rows:,}")
    print(
        f"updates: {updates:,} of {settings.images_per_update:,} images "
        f"({settings.accumulation} micro-batches of {settings.batch_size}), "
        f"{updates * settings.images_per_update / rows:.2f} passes, "
        f"the first {settings.warmup_updates(rows):,} of them warm-up"
    )
    print(f"parameters: {numbers:,}")
    print(
        f"checkpoint: {disk.checkpoint:,} bytes (weights and AdamW's moments); "
        f"{disk.checkpoints} are written, {min(disk.checkpoints, KEPT_CHECKPOINTS)} kept; the "
        f"model alone {disk.model:,} bytes, kept {disk.models} times"
        + (f" (epochs {', '.join(map(str, disk.epochs))}, and at the end)" if disk.epochs else "")
    )
    print(
        f"disk: {disk.written:,} bytes are written over the whole run, {disk.most:,} needed at once"
    )


@dataclass(frozen=True)
class DiskUse:
    """What a run writes, in bytes; optimiser's steps, histories and the like are not counted.

    Attributes:
        model: the weights alone, in a file of their own.
        checkpoints: how many are written, the last update's among them.
        epochs: after which the model alone is kept, too.
    """

    model: int
    checkpoints: int
    epochs: tuple[int, ...]

    @property
    def checkpoint(self) -> int:
        """One of them: weights and AdamW's two moments."""
        return 3 * self.model

    @property
    def models(self) -> int:
        """How often the model alone is written: after the epochs to keep, and at the end."""
        return 1 + len(self.epochs)

    @property
    def written(self) -> int:
        """Over the whole run."""
        return self.checkpoints * self.checkpoint + self.models * self.model

    @property
    def most(self) -> int:
        """That lie there at once: an old checkpoint goes when a new one is whole."""
        held = min(self.checkpoints, KEPT_CHECKPOINTS + 1)
        return held * self.checkpoint + self.models * self.model


def disk_use(settings: TrainConfig, rows: int, model: int) -> DiskUse:
    """What a run over so many rows writes whose model has so many bytes."""
    updates = settings.updates(rows)
    every = settings.checkpoint_every or updates
    kept = [epoch for epoch in settings.keep_epochs if settings.updates_of(epoch, rows) <= updates]
    return DiskUse(model, len({*range(every, updates + 1, every), updates}), tuple(kept))


def measure(plan: Plan, rows: datasets.Dataset, tried: tuple[int, ...], device: str) -> Timing:
    """Seconds and memory of micro-batches of so many images, in the real loop."""
    seconds, memory = list[float](), list[float]()
    settings = plan.config.train
    if settings.memory == "lean":
        begin_lean()
    precision = "fp32" if device == "cpu" and settings.precision == "fp16" else settings.precision
    for images in tried:
        short = settings.replace(
            steps=1 + TIMED, epochs=0, batch_size=min(images, len(rows)), accumulation=1,
            warmup_steps=0, warmup_epochs=0.0, keep_epochs=(), log_every=1, precision=precision,
            loader_workers=min(settings.loader_workers, os.cpu_count() or 1),
        )  # fmt: skip
        once = resolve(plan.config.replace(train=short))
        with tempfile.TemporaryDirectory(prefix="bclip-dry-run-") as folder:
            run = prepare(once, _model(once), rows, Path(folder), device)
            if settings.choose_fastest:
                choose(run)
            run_updates(run, 1 + TIMED, False, None, stores=False)
            history = read_history(Path(folder) / "history.jsonl")
        seconds.append(statistics.median(record["seconds"] for record in history[1:]))
        memory.append(_memory())
        del run
    return Timing(tried, tuple(seconds), tuple(memory))


def _memory() -> float:
    """MiB of RAM that this process has held at most."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10)


def _print_time(config: RunConfig, timing: Timing, rows: int, kind: str, processes: int) -> None:
    settings = config.train
    share = -(-settings.batch_size // processes)
    seconds, memory = timing.at(share)
    updates = settings.updates(rows)
    total = updates * settings.accumulation * seconds
    pairs = zip(timing.images, timing.seconds, strict=True)
    timed = ", ".join(f"{images}: {each:.3f} s" for images, each in pairs)
    what = "1 process" if processes == 1 else f"{processes} processes"
    print(f"timed here on {kind}, images of a process: {timed}")
    print(f"RAM per rank: about {memory / 1024:.1f} GiB, with {share} images of a micro-batch")
    if settings.memory == "lean":
        held = settings.holds_gradients or (f"processes={processes}" if processes > 1 else "")
        kept = f"held at once, as {held}" if held else "freed as weights move"
        print(f"lean memory: blocks are recomputed, gradients {kept}")
    if kind == "cuda":
        print(f"GPU memory per rank: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB so far")
    print(
        f"time: about {total:,.0f} s = {total / 3600:,.2f} h on {what} like this one "
        f"({updates:,} updates x {settings.accumulation} x {seconds:.3f} s; loader included, "
        "checkpoints and the exchange between processes not)"
    )
