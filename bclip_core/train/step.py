"""One micro-batch: forward, the losses, backward, the optimiser's step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from bclip_core.data.batches import Batch
from bclip_core.data.images import normalise_images
from bclip_core.model import Features, TextBatch
from bclip_core.records.processes import TerminatedError
from bclip_core.train.distributed import gather_features
from bclip_core.train.gradient_cache import backward_in_chunks, encode_in_chunks
from bclip_core.train.memory import give_back
from bclip_core.train.meters import Meter
from bclip_core.train.optimization import clip_gradients, exact_products, set_learning_rates
from bclip_core.train.resume import (
    last_good_checkpoint,
    list_checkpoints,
    not_finite,
    save_checkpoint,
)
from bclip_core.train.start import Training


class NonFiniteLossError(ArithmeticError):
    """Loss, gradient or weights became NaN or infinite: where, when and what is left is named."""


class NonFiniteWeightsError(NonFiniteLossError):
    """The weights became NaN or infinite: update, parameters and checkpoint are named."""


def require_finite_weights(model: nn.Module, update: int, folder: Path) -> None:
    """Stop before weights are kept that an update has ruined; loss and gradient may be finite.

    Raises:
        NonFiniteWeightsError: with the update, the parameters and the last good checkpoint.
    """
    broken = not_finite(model.state_dict())
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise NonFiniteWeightsError(
            f"weights are not finite after update {update}: {', '.join(broken[:3])}{more}; "
            f"last good checkpoint: {last_good_checkpoint(folder) or 'none yet'}"
        )


def require_finite(values: dict[str, float], update: int, ids: list[str], folder: Path) -> None:
    """Stop before a NaN or infinite loss term or gradient touches the weights.

    Raises:
        NonFiniteLossError: with the step, the values, the batch's ids and the last checkpoint.
    """
    if all(math.isfinite(value) for value in values.values()):
        return
    raise NonFiniteLossError(
        f"loss is not finite at update {update + 1}: {values}; batch ids {ids}; "
        f"last good checkpoint: {last_good_checkpoint(folder) or 'none yet'}"
    )


def end_run(run: Training) -> NoReturn:
    """End because SIGTERM asked for it, with a checkpoint of this update.

    Of several processes each hears of it at its own time, so they cannot save together: they go on
    from the last checkpoint.

    Raises:
        TerminatedError: always; it says where the run goes on.
    """
    kept = list_checkpoints(run.folder)
    last = int(kept[-1].name.removeprefix("update-")) if kept else 0
    if run.accelerator.num_processes == 1 and last < run.update:
        require_finite_weights(run.model, run.update, run.folder)
        save_checkpoint(run.folder, run.update, run.accelerator)
        last = run.update
    raise TerminatedError(f": {run.folder} goes on after update {last} when asked for again")


def losses_of(
    run: Training, images: Tensor, texts: TextBatch
) -> tuple[Features, Features, dict[str, Tensor]]:
    """Features of this process's share, those of the joined batch, and the terms of its loss."""
    settings = run.config.train
    if settings.gradient_cache:
        local = encode_in_chunks(run.parallel, images, texts, settings.gradient_cache)
    else:
        local = run.parallel(images, texts)
    features = gather_features(local)
    with exact_products(settings.precision):
        return local, features, run.method.loss_terms(features, run.config.loss)


def carry_back(
    run: Training, total: Tensor, images: Tensor, texts: TextBatch, local: Features
) -> None:
    """The backward pass of a loss whose features are `local`'s."""
    run.accelerator.backward(total)
    if run.config.train.gradient_cache:
        backward_in_chunks(run.parallel, images, texts, run.config.train.gradient_cache, local)


def micro_step(run: Training, batch: Batch, meter: Meter) -> Features:
    """Train on one micro-batch; the weights move when its update has all of them.

    Raises:
        NonFiniteLossError: loss or gradient is not finite.
    """
    settings, accelerator = run.config.train, run.accelerator
    images = normalise_images(batch.images.to(accelerator.device, non_blocking=True))
    texts = batch.texts.to(accelerator.device)
    meter.count_flops(run.model, len(images), batch.texts)
    with accelerator.accumulate(run.parallel):
        local, features, terms = losses_of(run, images, texts)
        total = torch.stack(list(terms.values())).sum()
        values = {name: float(term.detach()) for name, term in terms.items()}
        require_finite(values, run.update, batch.ids, run.folder)
        meter.add_terms(values, settings.accumulation)
        set_learning_rates(run.optimizer, run.update, settings, run.rows)
        if settings.memory == "lean":
            give_back()
        carry_back(run, total, images, texts, local)
        if run.norms is not None:  # every weight has moved already
            meter.norm = float(torch.linalg.vector_norm(torch.stack(run.norms)))
            run.norms.clear()
            require_finite({"gradient_norm": meter.norm}, run.update, batch.ids, run.folder)
            return features
        if accelerator.sync_gradients:
            meter.norm = clip_gradients(accelerator, run.model, settings.clip_norm)
            if settings.precision != "fp16":  # there the loss scaler skips such an update
                norm = {"gradient_norm": meter.norm}
                require_finite(norm, run.update, batch.ids, run.folder)
        run.optimizer.step()
        run.optimizer.zero_grad()
    return features
