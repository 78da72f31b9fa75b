"""The training loop, visible: one CPU, one GPU or many processes run the same lines.

`python -m bclip_core.train --help` trains one configuration from the shell; under
`accelerate launch` or `torchrun` the same command uses every process.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import datasets
import torch

from bclip_core import checkpoints
from bclip_core.backbone import attention_kernel
from bclip_core.config import ConfigError, RunConfig
from bclip_core.data.batches import ImageTextDataset, StepSampler, make_loader
from bclip_core.data.images import normalise_images
from bclip_core.data.sources import load_split
from bclip_core.distributed import gather_features, make_accelerator, world
from bclip_core.files import read_json, write_json
from bclip_core.gradient_cache import backward_in_chunks, encode_in_chunks
from bclip_core.memory import peak_memory
from bclip_core.methods import get_method
from bclip_core.model import BClip
from bclip_core.optimization import (
    apply_settings,
    clip_gradients,
    learning_rate_factor,
    make_optimizer,
    tensor_float32,
)
from bclip_core.profiles import configure
from bclip_core.progress import progress_bar
from bclip_core.run_state import (
    append_line,
    list_checkpoints,
    require_same_run,
    resume,
    save_checkpoint,
    truncate_history,
)
from bclip_core.throughput import arithmetic_speed, peak_flops, step_flops
from bclip_core.tokenizer import Tokenizer


class NonFiniteLossError(RuntimeError):
    """Loss or gradient became NaN or infinite: step, values, batch ids and checkpoint are named."""


def train(
    config: RunConfig,
    dataset: datasets.Dataset,
    folder: Path,
    *,
    device: str = "",
    progress: bool = True,
    stop_after: int | None = None,
    callback: Callable[[int, BClip], None] | None = None,
) -> BClip:
    """Train one configuration, or continue it from its latest checkpoint in `folder`.

    On the CPU a resumed run continues bit for bit. A finished run without checkpoints is loaded.

    Args:
        config: everything that decides the weights.
        dataset: rows with the columns of `batches.REQUIRED_COLUMNS`.
        folder: receives config.json, history.jsonl, checkpoints/ and model.safetensors.
        device: "cpu" keeps an available GPU out of it; "" lets accelerate choose.
        progress: show a progress bar.
        stop_after: stop (with a checkpoint) once so many updates are done; for tests and slots.
        callback: called as callback(update, model) after each update, for watching only.

    Returns:
        The trained model, on the CPU.

    Raises:
        ConfigError: unknown method or backbone, pictures of another size than the backbone's, or
            `folder` holds a run of another configuration; before anything is written.
        CheckpointError: the run was begun, but none of its checkpoints can be read.
        NonFiniteLossError: loss or gradient is not finite; earlier checkpoints are kept.
    """
    method, settings = get_method(config.method), config.train
    require_same_run(folder, config)
    trained = folder / "model.safetensors"
    if trained.is_file() and not list_checkpoints(folder):  # finished, see `runs.complete`
        return checkpoints.load(trained, config).eval()
    model = checkpoints.create_model(config)
    size = config.data.image_size
    if model.backbone.image_size != (size, size):
        name, expected = config.backbone.name, model.backbone.image_size
        raise ConfigError(f"data.image_size={size}: expected {expected} pixels, as {name!r} reads")
    if not method.terms:
        return _finish(model, config, folder)
    accelerator = make_accelerator(settings, device)
    ahead = settings.loader_workers == 0
    on_error = config.data.bad_rows if ahead else "raise"
    texts = method.texts(config.texts)
    data = ImageTextDataset(dataset, texts, size, settings.seed, on_error, ahead=ahead)
    if settings.gradient_cache and model.reading.crossed:
        raise ConfigError(
            f"train.gradient_cache={settings.gradient_cache}: expected 0 for {config.method!r}, "
            "which pools other images of the whole batch"
        )
    apply_settings(model, settings)
    parallel, optimizer = accelerator.prepare(model, make_optimizer(model, settings))
    start = resume(folder, accelerator) if (folder / "checkpoints").is_dir() else 0
    sampler = StepSampler(
        len(data),
        settings.batch_size,
        settings.steps * settings.accumulation,
        settings.seed,
        start * settings.accumulation,
        accelerator.process_index,
        accelerator.num_processes,
    )
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", config.to_dict())
        truncate_history(folder / "history.jsonl", start)
    tokenizer = Tokenizer(config.backbone.context_length)
    last = settings.steps if stop_after is None else min(stop_after, settings.steps)
    show = progress and accelerator.is_main_process
    bar = progress_bar(total=settings.steps, initial=start, desc=config.method, progress=show)
    kernel = attention_kernel(accelerator.device.type, settings.precision)
    parallel.train()
    update, waited, began = start, 0.0, time.perf_counter()
    means = dict[str, float]()  # of the terms over the micro-batches of an update
    flops, peak = 0, peak_flops(accelerator.device)
    batches = iter(make_loader(data, sampler, tokenizer, settings.loader_workers))
    products = tensor_float32(accelerator.device, settings.precision)
    with kernel, products, contextlib.closing(bar):
        while update < last:
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            images = normalise_images(batch.images.to(accelerator.device, non_blocking=True))
            texts = batch.texts.to(accelerator.device)
            flops += step_flops(model, len(images), batch.texts)
            with accelerator.accumulate(parallel):
                if settings.gradient_cache:
                    local = encode_in_chunks(parallel, images, texts, settings.gradient_cache)
                else:
                    local = parallel(images, texts)
                features = gather_features(local)
                terms = method.loss_terms(features, config.loss)
                total = torch.stack(list(terms.values())).sum()
                values = {name: float(term.detach()) for name, term in terms.items()}
                require_finite(values, update, batch.ids, folder)
                for name, value in values.items():
                    means[name] = means.get(name, 0.0) + value / settings.accumulation
                for group in optimizer.param_groups:
                    group["lr"] = group["base_lr"] * learning_rate_factor(update, settings)
                accelerator.backward(total)
                if settings.gradient_cache:
                    backward_in_chunks(parallel, images, texts, settings.gradient_cache, local)
                if accelerator.sync_gradients:
                    norm = clip_gradients(accelerator, model, settings.clip_norm)
                    if settings.precision != "fp16":  # there the loss scaler skips such an update
                        require_finite({"gradient_norm": norm}, update, batch.ids, folder)
                optimizer.step()
                optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue
            model.clamp_scales()
            update += 1
            bar.update()
            now = time.perf_counter()
            if accelerator.is_main_process and update % settings.log_every == 0:
                record = {"update": update, "loss": sum(means.values()), **means}
                record |= {"lr_factor": learning_rate_factor(update - 1, settings)}
                record |= {"gradient_norm": norm} if math.isfinite(norm) else {}
                record |= {"logit_scale": float(features.logit_scale.detach())}
                if features.pooler_logit_scale is not None:
                    record |= {"pooler_logit_scale": float(features.pooler_logit_scale.detach())}
                record |= {"seconds": now - began, "loader_share": waited / (now - began)}
                record |= {"peak_memory": peak_memory()}
                record |= arithmetic_speed(flops, now - began, peak)
                append_line(folder / "history.jsonl", record)
                if peak is not None:
                    bar.set_postfix_str(f"{record['model_flops_utilisation']:.0%} of peak FLOP/s")
            waited, flops, began, means = 0.0, 0, now, {}
            every = settings.checkpoint_every
            if update == last or (every and update % every == 0):
                save_checkpoint(folder, update, accelerator)
            if callback is not None:
                callback(update, model)
    accelerator.wait_for_everyone()
    model = cast(BClip, accelerator.unwrap_model(parallel, keep_fp32_wrapper=False))
    if update < settings.steps:
        return model.cpu().eval()
    return _finish(model, config, folder, accelerator.is_main_process)


def _finish(model: BClip, config: RunConfig, folder: Path, main: bool = True) -> BClip:
    model = model.cpu().eval()
    model.backbone.set_checkpointing(False)
    model.backbone.__dict__.pop("encode_image", None)  # the compiled one
    if main:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", config.to_dict())
        checkpoints.save(model, folder / "model.safetensors")
    return model


def require_finite(values: dict[str, float], update: int, ids: list[str], folder: Path) -> None:
    """Stop before a NaN or infinite loss term or gradient touches the weights.

    Raises:
        NonFiniteLossError: with the step, the values, the batch's ids and the last checkpoint.
    """
    if all(math.isfinite(value) for value in values.values()):
        return
    kept = list_checkpoints(folder)
    raise NonFiniteLossError(
        f"loss is not finite at update {update + 1}: {values}; batch ids {ids}; "
        f"last good checkpoint: {kept[-1] if kept else 'none yet'}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Command line: train one configuration on the scenes, or continue it."""
    parser = argparse.ArgumentParser(prog="python -m bclip_core.train", description=main.__doc__)
    parser.add_argument("--profile", default="smoke", help="smoke, cpu or gpu (default: smoke)")
    parser.add_argument("--method", default="beta-clip-ce", help="a name of methods.METHODS")
    parser.add_argument("--set", action="append", default=[], metavar="PART.FIELD=VALUE")
    parser.add_argument("--config", type=Path, help="a config.json, instead of profile and method")
    parser.add_argument("--folder", type=Path, required=True, help="where the run is kept")
    parser.add_argument("--device", default="", help="'cpu' leaves an available GPU out")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's)")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.config is not None:
        config = RunConfig.from_dict(read_json(given.config))
    else:
        config = configure(given.profile, given.method, given.set)
    train(config, load_split(config.data, "train"), given.folder, device=given.device)
    if world()[0] == 0:
        print(f"trained: {given.folder / 'model.safetensors'}")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    try:
        main()
    except (ConfigError, NonFiniteLossError, checkpoints.CheckpointError) as problem:
        raise SystemExit(f"error: {problem}") from problem
