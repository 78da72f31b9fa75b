"""From a configuration to everything that a training loop holds; all that is wrong is refused here.

The catalogue is asked once, by `resolve`, and its `Plan` is carried along: a loop reads `Training`,
never the configuration's names again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import start_model
from bclip_core.checkpoints.own import WEIGHTS
from bclip_core.config import BackboneConfig, ConfigError, RunConfig
from bclip_core.data.batches import Batch, ImageTextDataset, StepSampler, make_loader
from bclip_core.model import BClip, Method, Plan, resolve
from bclip_core.records.files import write_json
from bclip_core.train import tracking
from bclip_core.train.distributed import make_accelerator
from bclip_core.train.optimization import apply_settings, learning_rate_factor, make_optimizer
from bclip_core.train.resume import (
    list_checkpoints,
    require_same_run,
    resume,
    truncate_history,
)
from bclip_core.train.run import keep_data, keep_start


@dataclass
class Training:
    """A run that is ready to go on.

    Attributes:
        plan: the configuration and what its method makes of it.
        folder: where it is kept.
        model: the bare model, on its device.
        parallel: the same as accelerate wraps it; forward and backward go through this one.
        optimizer: over the model's parameters.
        accelerator: devices, precision, processes.
        loader: makes `batches` with so many processes.
        batches: of the steps to come, in order.
        update: how many updates are done.
        rows: of the data set that can be used; epochs are counted in them.
        updates: how many the whole run takes.
        skipped: ids of the pictures that other rows had to stand in for.
        norms: of this update's gradients so far, where each weight moves as its gradient comes.
        attention: which kernel, see `attention_kernel`.
    """

    plan: Plan
    folder: Path
    model: BClip
    parallel: nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    loader: Callable[[int], Iterator[Batch]]
    batches: Iterator[Batch]
    update: int
    rows: int
    updates: int
    skipped: set[str] = field(default_factory=set)
    norms: list[Tensor] | None = None
    attention: str = "default"

    @property
    def config(self) -> RunConfig:
        """Of the run."""
        return self.plan.config

    @property
    def method(self) -> Method:
        """Its entry of the catalogue."""
        return self.plan.method

    def factors(self) -> dict[str, float]:
        """What the history says of the learning rates of the update that is done."""
        settings, done = self.config.train, self.update - 1
        factors = {"lr_factor": learning_rate_factor(done, settings, self.rows)}
        if settings.pooler_differs:
            own = learning_rate_factor(done, settings, self.rows, pooler=True)
            factors["pooler_lr_factor"] = own
        return factors

    def kept_epochs(self) -> list[int]:
        """The epochs to keep that the update that is done ends."""
        settings = self.config.train
        return [
            epoch
            for epoch in settings.keep_epochs
            if settings.updates_of(epoch, self.rows) == self.update
        ]

    @property
    def main(self) -> bool:
        """Whether this process writes and reports."""
        return bool(self.accelerator.is_main_process)

    def note_skipped(self, names: Sequence[str]) -> None:
        """Name each picture that cannot be decoded, once."""
        new = sorted(set(names) - self.skipped)
        self.skipped |= set(new)
        if new:
            print(f"skipped, cannot be decoded ({len(self.skipped)} so far): {', '.join(new)}")


def plan_run(config: RunConfig, folder: Path | None, trackers: Sequence[str] = ()) -> Plan:
    """What a configuration comes to; all that is wrong without a look at the data is refused.

    Raises:
        ConfigError: an unknown method, a setting that it does not read (where the run is not
            finished yet), a tracker that is not installed, or `folder` holds another run.
    """
    tracking.require_trackers(trackers)
    if folder is not None:
        require_same_run(folder, config)
    return resolve(config, check=folder is None or not is_finished(folder))


def is_finished(folder: Path) -> bool:
    """Whether the trained model alone is left, see `runs.complete`."""
    return (folder / WEIGHTS).is_file() and not list_checkpoints(folder)


def create_model(config: RunConfig | Plan) -> BClip:
    """The model that a run starts from, see `checkpoints.start_model`.

    Weights state what sets them apart; of that only the kind of patches may be another: the
    method's own, or one that was asked for and is not what every configuration has unasked.
    The draw of the fresh weights depends on `config.train.seed` alone.

    Raises:
        ConfigError: unknown method or backbone, or heads that do not divide the width.
        CheckpointError: the pretrained weights do not fit the configuration.
    """
    plan = config if isinstance(config, Plan) else resolve(config)
    chosen = plan.method.patches or plan.parts.backbone.patches != BackboneConfig.patches
    decided = ("patches",) if chosen else ()
    return start_model(plan.parts, plan.reading, plan.config.train.seed, decided)


def check_model(config: RunConfig, model: BClip) -> None:
    """Refuse what the model cannot be trained with.

    Raises:
        ConfigError: pictures of another size than the backbone's; a gradient cache for a method
            that pools other images.
    """
    size, expected = config.data.image_size, model.backbone.image_size
    if expected != (size, size):
        name = config.backbone.name
        raise ConfigError(f"data.image_size={size}: expected {expected} pixels, as {name!r} reads")
    if config.train.gradient_cache and (model.reading.crossed or model.reading.crossed_captions):
        raise ConfigError(
            f"train.gradient_cache={config.train.gradient_cache}: expected 0 for "
            f"{config.method!r}, which pools other images of the whole batch"
        )


def prepare(
    plan: Plan,
    model: BClip,
    dataset: datasets.Dataset,
    folder: Path,
    device: str,
    trackers: Sequence[str] = (),
) -> Training:
    """Devices, data, optimiser and the latest checkpoint of a run; its folder is begun.

    Raises:
        ConfigError: a precision that the device has not, fewer rows than a batch, or updates in the
            backward pass of several processes.
        CheckpointError: the run was begun, but none of its checkpoints can be read.
    """
    config, settings = plan.config, plan.config.train
    accelerator = make_accelerator(settings, device, trackers, folder / tracking.FOLDER)
    ahead = None if settings.loader_workers == 0 else False  # None: where memory can hold it
    size = config.data.image_size
    bad_rows, whole = config.data.bad_rows, model.backbone.config.resize == "squash"
    data = ImageTextDataset(
        dataset, plan.texts, size, settings.seed, bad_rows, ahead=ahead, whole=whole,
        crop=config.data.crop, draft=config.data.draft,
    )  # fmt: skip
    apply_settings(model, settings)
    parallel, optimizer = accelerator.prepare(model, make_optimizer(model, settings))
    updates = settings.updates(len(data))
    start = resume(folder, accelerator) if (folder / "checkpoints").is_dir() else 0
    sampler = StepSampler(
        len(data),
        settings.batch_size,
        updates * settings.accumulation,
        settings.seed,
        start * settings.accumulation,
        accelerator.process_index,
        accelerator.num_processes,
    )
    if accelerator.is_main_process:
        begin_folder(folder, config, start)
        keep_data(folder, config, dataset)
        if not start:
            keep_start(folder, config)
    tracking.begin(accelerator, config, folder, start)
    tokenizer = Tokenizer(config.backbone.context_length)
    loader = partial(make_loader, data, sampler, tokenizer)
    batches = loader(0 if settings.choose_fastest else settings.loader_workers)
    return Training(
        plan, folder, model, parallel, optimizer, accelerator, loader, batches, start, len(data),
        updates,
    )  # fmt: skip


def begin_folder(folder: Path, config: RunConfig, update: int) -> None:
    """The run's folder with its configuration; the history ends where the run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config.to_dict())
    truncate_history(folder / "history.jsonl", update)
