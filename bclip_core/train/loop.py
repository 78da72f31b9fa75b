"""The training loop, visible: one CPU, one GPU or many processes run the same lines.

`start` makes everything ready, `step` is one micro-batch, this is what happens in between.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import datasets

from bclip_core import checkpoints
from bclip_core.backbone import attention_kernel
from bclip_core.checkpoints.own import WEIGHTS
from bclip_core.config import RunConfig
from bclip_core.data.loader_processes import loader_deaths
from bclip_core.model import BClip, Plan
from bclip_core.records.files import write_json
from bclip_core.records.processes import end_asked, end_postponed
from bclip_core.records.progress import progress_bar
from bclip_core.train import tracking
from bclip_core.train.choice import choose
from bclip_core.train.distributed import alone
from bclip_core.train.memory import begin_lean, give_back
from bclip_core.train.meters import Meter
from bclip_core.train.optimization import float32_products, update_in_backward
from bclip_core.train.resume import (
    append_line,
    require_same_run,
    save_checkpoint,
)
from bclip_core.train.run import require_same_data, require_same_start
from bclip_core.train.start import (
    Training,
    check_model,
    create_model,
    is_finished,
    plan_run,
    prepare,
)
from bclip_core.train.step import end_run, micro_step, require_finite_weights


def train(
    config: RunConfig | Plan,
    dataset: datasets.Dataset,
    folder: Path,
    *,
    device: str = "",
    progress: bool = True,
    stop_after: int | None = None,
    callback: Callable[[int, BClip], None] | None = None,
    trackers: Sequence[str] = (),
) -> BClip:
    """Train one configuration, or continue it from its latest checkpoint in `folder`.

    On the CPU a resumed run continues bit for bit. A finished run without checkpoints is loaded.

    Args:
        config: everything that decides the weights; or what `plan_run` made of it before.
        dataset: rows with the columns of `batches.REQUIRED_COLUMNS`.
        folder: receives config.json, history.jsonl, checkpoints/ and model.safetensors.
        device: "cpu" keeps an available GPU out of it; "" lets accelerate choose.
        progress: show a progress bar.
        stop_after: stop (with a checkpoint) once so many updates are done; for tests and slots.
        callback: called as callback(update, model) after each update, for watching only.
        trackers: accelerate's trackers by name, such as "tensorboard", which hold the history's
            scalars; they decide no weight.

    Returns:
        The trained model, on the CPU.

    Raises:
        ConfigError: unknown method or backbone, a setting that the method does not read, pictures
            of another size than the backbone's, a tracker that is not installed, or `folder` holds
            a run of another configuration; before anything is written.
        CheckpointError: the run was begun, but none of its checkpoints can be read.
        NonFiniteLossError: loss, gradient or weights are not finite; earlier checkpoints are kept.
        OSError: the folder cannot be written, the disk is full, or a loader's process died;
            earlier checkpoints are kept.
    """
    plan = config if isinstance(config, Plan) else plan_run(config, folder, trackers)
    require_same_data(folder, plan.config, dataset)
    require_same_start(folder, plan.config)
    if is_finished(folder):
        return checkpoints.load(folder / WEIGHTS, plan.parts).eval()
    with alone(folder, plan.config.train, device), loader_deaths():  # two would write one history
        return _train(plan, dataset, folder, device, progress, stop_after, callback, trackers)


def _train(
    plan: Plan, dataset: datasets.Dataset, folder: Path, device: str, progress: bool,
    stop_after: int | None, callback: Callable[[int, BClip], None] | None,
    trackers: Sequence[str] = (),
) -> BClip:  # fmt: skip
    config = plan.config
    require_same_run(folder, config)  # asked again: another process may have been here meanwhile
    if is_finished(folder):
        return checkpoints.load(folder / WEIGHTS, plan.parts).eval()
    if config.train.memory == "lean":
        begin_lean()
    model = create_model(plan)
    check_model(config, model)
    if not plan.method.terms:
        return _finish(model, config, folder)
    run = prepare(plan, model, dataset, folder, device, trackers)
    if config.train.choose_fastest:
        choose(run)
    steps = run.updates
    run_updates(run, steps if stop_after is None else min(stop_after, steps), progress, callback)
    tracking.finish(run.accelerator)
    run.accelerator.wait_for_everyone()
    model = cast(BClip, run.accelerator.unwrap_model(run.parallel, keep_fp32_wrapper=False))
    if run.update < steps:
        return model.cpu().eval()
    return _finish(model, config, folder, run.main, steps)


def run_updates(
    run: Training, last: int, progress: bool, callback: Callable[[int, BClip], None] | None,
    stores: bool = True,
) -> None:  # fmt: skip
    """Updates until `last`: history, checkpoints where it `stores`, and the callback after each."""
    settings, device = run.config.train, run.accelerator.device
    bar = progress_bar(
        total=run.updates, initial=run.update, desc=run.config.method,
        progress=progress and run.main,
    )  # fmt: skip
    run.parallel.train()
    meter = Meter(device)
    kernel = attention_kernel(device.type, settings.precision, run.attention)
    products = float32_products(device, settings.precision)
    optimizer = getattr(run.optimizer, "optimizer", run.optimizer)  # the one that is wrapped
    processes = run.accelerator.num_processes
    moving = update_in_backward(run.model, optimizer, settings, processes)
    with kernel, products, moving as run.norms, end_postponed(), contextlib.closing(bar):
        while run.update < last:
            batch = meter.waiting_for(run.batches)
            run.note_skipped(batch.skipped)
            features = micro_step(run, batch, meter)
            if not run.accelerator.sync_gradients:
                continue
            run.model.clamp_scales()
            run.update += 1
            bar.update()
            if run.main and run.update % settings.log_every == 0:
                record = meter.record(run.update, features, run.factors())
                append_line(run.folder / "history.jsonl", record)
                tracking.tell(run.accelerator, record)
                if "model_flops_utilisation" in record:
                    bar.set_postfix_str(f"{record['model_flops_utilisation']:.0%} of peak FLOP/s")
            meter.restart()
            if settings.memory == "lean":
                give_back()
            if stores:
                _store(run, last)
            if callback is not None:
                callback(run.update, run.model)
            if end_asked():
                end_run(run)


def _store(run: Training, last: int) -> None:
    """What an update leaves on disk: the model of an epoch, a checkpoint."""
    every, epochs = run.config.train.checkpoint_every, run.kept_epochs()
    saves = run.update == last or bool(every and run.update % every == 0)
    if saves or epochs:
        require_finite_weights(run.model, run.update, run.folder)
    for epoch in epochs if run.main else ():  # before the checkpoint: a resumed run begins there
        checkpoints.save(run.model, run.folder / f"epoch-{epoch:02d}.safetensors")
    if saves:
        save_checkpoint(run.folder, run.update, run.accelerator)


def _finish(
    model: BClip, config: RunConfig, folder: Path, main: bool = True, updates: int = 0
) -> BClip:
    model = model.cpu().eval()
    model.backbone.set_checkpointing(False)
    model.backbone.__dict__.pop("encode_image", None)  # the compiled one
    require_finite_weights(model, updates, folder)
    if main:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", config.to_dict())
        checkpoints.save(model, folder / WEIGHTS)
    return model
