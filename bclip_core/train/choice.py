"""`train.choose_fastest`: a run times the ways to the same numbers and goes the fastest.

The ways differ in rounding alone: texts packed or in groups by length, attention fused or written
out, on a GPU the image tower compiled or not. How many processes load changes no bit, and neither
does recomputing activations, which one process does where its memory holds no way else. What was
chosen is kept in the run's folder, and a resumed run goes the same way. Two runs of one
configuration may choose differently, so their last bits may differ: that is why it must be asked
for, and why a run that began without it does not go on with it.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from bclip_core.backbone import attention_kernel
from bclip_core.data.batches import Batch
from bclip_core.data.images import normalise_images
from bclip_core.records.files import read_json, write_json
from bclip_core.records.machine import usable_cores
from bclip_core.train.optimization import compile_images, float32_products, recomputes
from bclip_core.train.start import Training
from bclip_core.train.step import carry_back, losses_of

CHOICE = "choice.json"  # in the folder of a run
BATCHES = 3  # the first ones of a run; one warms up
_FULL = ("out of memory", "can't allocate memory", "not enough memory")  # of GPUs, of CPUs
SMALL_SHARE = 0.05  # of a step, that loading may take without a process of its own


@dataclass(frozen=True)
class Choice:
    """A way to train, of `TrainConfig`'s fields where they have the name.

    Attributes:
        packed_texts: texts end to end, or in groups by length.
        attention: see `attention_kernel`.
        compile: the image tower.
        loader_workers: processes that load.
        activation_checkpointing: blocks are recomputed.
    """

    packed_texts: bool
    attention: str
    compile: bool
    loader_workers: int
    activation_checkpointing: bool = False


def choose(run: Training) -> Choice:
    """Time the ways that are open here, or read what the run chose before, and set the run up so.

    Weights, optimiser and random state are as before.

    Args:
        run: that is prepared; the choice is kept in its folder.

    Raises:
        ValueError: the kept choice cannot be read.
        RuntimeError: memory holds no way, recomputing neither.
    """
    path = run.folder / CHOICE
    if path.is_file():
        kept = read_json(path)["choice"]
        choice = Choice(**kept)
        if run.main:
            print(f"chosen before: {_told(choice)}")
    else:
        with torch.random.fork_rng():
            choice, seconds, loading = _measured(run)
        if run.main:
            timed = "; ".join(f"{name}: {spent:.3f} s" for name, spent in seconds.items())
            print(f"chosen: {_told(choice)} (a micro-step of {timed})")
            record = {"choice": asdict(choice), "seconds": seconds, "seconds_to_load": loading}
            write_json(path, record)
    _apply(run, choice)
    run.batches = run.loader(choice.loader_workers)
    return choice


def _told(choice: Choice) -> str:
    packed = "texts packed" if choice.packed_texts else "texts in groups by length"
    compiled = ", image tower compiled" if choice.compile else ""
    again = ", recomputed" if choice.activation_checkpointing else ""
    workers = f"{choice.loader_workers} loader processes"
    return f"{packed}, attention {choice.attention}{compiled}{again}, {workers}"


def _open(run: Training) -> list[Choice]:
    """The ways that this device has."""
    on_gpu, settings = run.accelerator.device.type == "cuda", run.config.train
    kernels = ("default",) if on_gpu else ("fused", "explicit")
    compiled = (False, True) if on_gpu else (settings.compile,)
    several = itertools.product((False, True), kernels, compiled)
    rest = settings.loader_workers, recomputes(settings)
    return [Choice(packed, kernel, each, *rest) for packed, kernel, each in several]


def _apply(run: Training, choice: Choice) -> None:
    run.model.backbone.packed = choice.packed_texts
    run.model.backbone.set_checkpointing(choice.activation_checkpointing)
    run.attention = choice.attention
    compile_images(run.model, choice.compile)


def _measured(run: Training) -> tuple[Choice, dict[str, float], float]:
    """The fastest way, seconds of a micro-step of each, and those that a batch takes to load."""
    loader, batches, waits = run.loader(0), list[Batch](), list[float]()
    for _ in range(BATCHES):
        began = time.perf_counter()
        batch = next(loader, None)
        if batch is None:  # a run of fewer steps
            break
        waits.append(time.perf_counter() - began)
        batches.append(batch)
    ways = _open(run)
    seconds = _timed(run, ways, batches)
    if not seconds:
        again = [replace(way, activation_checkpointing=True) for way in ways]
        seconds = _timed(run, again, batches)
    if not seconds:
        raise RuntimeError("no way to train fits into memory: lower train.batch_size")
    fastest = min(seconds, key=lambda choice: seconds[choice])
    loading = _slowest_rank(run, statistics.median(waits))
    workers = workers_for(loading, seconds[fastest], _spare(run))
    chosen = replace(fastest, loader_workers=workers)
    return chosen, {_told(choice): spent for choice, spent in seconds.items()}, loading


def _timed(run: Training, ways: list[Choice], batches: list[Batch]) -> dict[Choice, float]:
    """Seconds of a micro-step of each way that memory holds."""
    found = dict[Choice, float]()
    for way in ways:
        try:
            spent = _seconds(run, way, batches)
        except RuntimeError as error:  # torch's for memory is one of these
            others = run.accelerator.num_processes > 1  # which wait for this one's numbers
            if others or not any(text in str(error) for text in _FULL):
                raise
            run.optimizer.zero_grad()
            continue
        found[way] = _slowest_rank(run, spent)
    return found


def workers_for(loading: float, step: float, spare: int) -> int:
    """How many processes load, so that a step of so many seconds need not wait for its batch.

    Args:
        loading: seconds that one process takes for a batch.
        step: seconds of a step without loading.
        spare: cores that have nothing else to do.
    """
    if loading < SMALL_SHARE * step or spare < 1:
        return 0
    return min(spare, 1 + int(loading / step))


def _spare(run: Training) -> int:
    busy = 1 if run.accelerator.device.type == "cuda" else torch.get_num_threads()
    ranks: int = run.accelerator.num_processes
    return usable_cores() // ranks - busy


def _slowest_rank(run: Training, seconds: float) -> float:
    """The same number on every rank, so that all choose alike."""
    device = run.accelerator.device
    several = run.accelerator.gather(torch.tensor([seconds], device=device, dtype=torch.float32))
    return float(several.max())


def _seconds(run: Training, choice: Choice, batches: list[Batch]) -> float:
    _apply(run, choice)
    device, precision = run.accelerator.device, run.config.train.precision
    spent = list[float]()
    run.parallel.train()
    with (
        attention_kernel(device.type, precision, choice.attention),
        float32_products(device, precision),
        _without_gradients(run),
    ):
        for batch in batches:
            _synchronise(device)
            began = time.perf_counter()
            _try(run, batch)
            _synchronise(device)
            spent.append(time.perf_counter() - began)
            run.optimizer.zero_grad()
    return min(spent[1:] or spent)


def _try(run: Training, batch: Batch) -> None:
    """Forward, losses, backward; no weight moves."""
    device = run.accelerator.device
    images, texts = normalise_images(batch.images.to(device)), batch.texts.to(device)
    local, _, terms = losses_of(run, images, texts)
    carry_back(run, torch.stack(list(terms.values())).sum(), images, texts, local)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _without_gradients(run: Training) -> Iterator[None]:
    """Gradients go as they come, where no other rank waits for them."""

    def drop(parameter: Any) -> None:
        parameter.grad = None

    alone = run.accelerator.num_processes == 1
    trained = [p for p in run.model.parameters() if p.requires_grad and alone]
    hooks = [
        parameter.register_post_accumulate_grad_hook(drop)  # type: ignore[no-untyped-call]
        for parameter in trained
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
