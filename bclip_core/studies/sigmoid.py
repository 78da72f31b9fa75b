"""Why β-CAL's sigmoid form sleeps: its normaliser and its bias taken apart, and gradient norms.

`python -m bclip_core.studies.sigmoid --profile cpu` trains what is missing, shortest first, and
writes the record anew after every finished run, so that it can be stopped at any time and goes on
where it was. What the record holds already, there or in results/reference, stays in it; with
`--finished` nothing is trained, and all runs that are there are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints.own import WEIGHTS
from bclip_core.config import (
    SIGMOID_BIASES,
    SIGMOID_NORMALISERS,
    ConfigError,
    Profile,
    RunConfig,
    get_profile,
)
from bclip_core.config.command_line import read_options, run_command
from bclip_core.data.batches import Batch, ImageTextDataset, StepSampler, make_loader
from bclip_core.data.images import normalise_images
from bclip_core.data.sources import load_split
from bclip_core.evaluation import grounding_metric, region_metric, retrieval_metric
from bclip_core.losses import base_rate
from bclip_core.model import BClip, resolve
from bclip_core.records.files import read_json, write_json
from bclip_core.records.results import load_result, require_runs_folder, save_result
from bclip_core.studies.runs import complete
from bclip_core.train import Run, create_model, find, train

METHOD = "beta-clip-bce"
KEPT = ("retrieval/", "regions/dense/", "grounding/")
"""What begins so is kept of a run's metrics."""
GRADIENTS = "gradients.json"  # in the folder of a run
POINTS = 5  # of a run at which gradients are measured, its start and end among them
COLUMNS = {
    "long → image": retrieval_metric("global"),
    "conditioned → image": retrieval_metric("conditioned"),
    "→ text": retrieval_metric("conditioned", way="i2t"),
    "hard": region_metric("hard"),
    "medium": region_metric("medium"),
    "attention": grounding_metric("attention", "pointing"),
    "patches": grounding_metric("cosine", "pointing"),
}
"""Titles of the table, and their metrics."""


@dataclass(frozen=True)
class Arm:
    """One way to train the sigmoid form.

    Attributes:
        normaliser: of `SIGMOID_NORMALISERS`.
        bias: of `SIGMOID_BIASES`; fixed at, or learnt from, the base rate's log-odds.
        length: updates; 0: the profile's.
        scale: of the pooler at the start; 0: the paper's.
        rate: factor of both learning rates.
    """

    normaliser: str = "pairs"
    bias: str = "none"
    length: int = 0
    scale: float = 0.0
    rate: float = 1.0

    @property
    def name(self) -> str:
        """In the record: all but the length."""
        more = f", scale {self.scale:g}" if self.scale else ""
        more += f", learning rate × {self.rate:g}" if self.rate != 1 else ""
        return f"{self.normaliser}, {self.bias}{more}"

    def configuration(self, profile: Profile, seed: int = 0) -> RunConfig:
        """Its run.

        Raises:
            ConfigError: a normaliser or bias that there is not.
        """
        config = profile.run(METHOD, seed=seed)
        loss: dict[str, Any] = {"sigmoid_normaliser": self.normaliser, "sigmoid_bias": self.bias}
        if self.bias == "fixed":
            loss["sigmoid_bias_value"] = log_odds(config)
        settings = config.train
        settings = settings.replace(
            steps=self.length or settings.steps,
            lr=settings.lr * self.rate,
            pooler_lr=settings.pooler_lr * self.rate,
        )
        pooler = config.pooler.replace(scale=self.scale) if self.scale else config.pooler
        return config.replace(loss=config.loss.replace(**loss), train=settings, pooler=pooler)


PUBLISHED = Arm()
GRID = tuple(Arm(*both) for both in product(SIGMOID_NORMALISERS, SIGMOID_BIASES))
LONGER = (PUBLISHED, Arm("positives"), Arm("positives", "learnt"))
OTHER_STARTS = tuple(
    Arm(normaliser, bias, scale=scale, rate=rate)
    for scale, rate in ((5.0, 1.0), (50.0, 1.0), (0.0, 3.0))
    for normaliser, bias in (("pairs", "none"), ("positives", "learnt"))
)


def arms(profile: Profile) -> list[Arm]:
    """All of the study, the most telling first; the last ones at three times the length."""
    steps = profile.base.train.steps
    order = sorted(GRID, key=lambda arm: (arm.bias == "learnt", arm.normaliser == "rows"))
    longer = [Arm(arm.normaliser, arm.bias, 3 * steps) for arm in LONGER]
    return [*order, *longer, *OTHER_STARTS]


def choose(profile: Profile, names: Sequence[str] | None) -> list[Arm]:
    """Those of the study's arms that are named, at all their lengths; None: all.

    Raises:
        ConfigError: a name that none has.
    """
    known = arms(profile)
    for name in names or ():
        if name not in {arm.name for arm in known}:
            names_known = "; ".join(dict.fromkeys(arm.name for arm in known))
            raise ConfigError(f"arms={name!r}: expected of {names_known}")
    return [arm for arm in known if names is None or arm.name in names]


def log_odds(config: RunConfig) -> float:
    """The base rate's log-odds in a batch whose images have all their texts, to two decimals."""
    full = torch.ones(config.train.batch_size, config.texts.texts_per_image, dtype=torch.bool)
    return round(base_rate(full, config.loss.beta).log_odds, 2)


# Gradients of both terms on what they share.


def probe(config: RunConfig) -> Batch:
    """One batch of validation scenes, the same for all arms of a seed."""
    rows, settings = load_split(config.data, "validation"), config.train
    texts = resolve(config).texts
    data = ImageTextDataset(rows, texts, config.data.image_size, settings.seed)
    sampler = StepSampler(len(data), settings.batch_size, 1, settings.seed)
    return next(make_loader(data, sampler, Tokenizer(config.backbone.context_length)))


def gradients(model: BClip, config: RunConfig, batch: Batch) -> dict[str, float]:
    """Each term's value and its gradient's norm on the backbone, and the cosine of the two.

    In the precision of the weights, without autocast; parameters and their `.grad` stay as they
    are. The backbone's own logit scale is left out: only the global term has it.

    Args:
        model: of the run.
        config: of the run.
        batch: what the terms are computed on.

    Returns:
        "global", "beta_cal" (values), "norm/global", "norm/beta_cal", "cosine".
    """
    shared = [p for name, p in model.backbone.named_parameters()
              if p.requires_grad and name != "logit_scale"]  # fmt: skip
    device = shared[0].device
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        features = model(normalise_images(batch.images.to(device)), batch.texts.to(device))
        terms = resolve(config).method.loss_terms(features, config.loss)
        flat = {name: _flat_gradient(term, shared) for name, term in terms.items()}
    found = {name: float(term.detach()) for name, term in terms.items()}
    found |= {f"norm/{name}": float(gradient.norm()) for name, gradient in flat.items()}
    one, other = flat.values()
    lengths = (one.norm() * other.norm()).clamp(min=torch.finfo(one.dtype).tiny)
    return found | {"cosine": float(one @ other / lengths)}


def _flat_gradient(term: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten()
                      for p, g in zip(parameters, found, strict=True)])  # fmt: skip


def obtain_gradients(run: Run) -> dict[str, dict[str, float]]:
    """Train and evaluate a run, with `gradients` at `POINTS` of its updates, by update.

    Of a run that was trained before, without this watch, only start and end are left to measure.
    """
    config, path = run.config, run.folder / GRADIENTS
    steps = config.train.steps
    points = {round(part * steps / (POINTS - 1)) for part in range(1, POINTS)}
    found: dict[str, dict[str, float]] = read_json(path) if path.is_file() else {}

    def watch(update: int, model: BClip) -> None:
        if str(update) not in found:
            found[str(update)] = gradients(model, config, batch)
            write_json(path, found)

    if {"0", str(steps)} <= set(found) and run.finished:
        return found
    batch = probe(config)
    watch(0, create_model(config))
    if not (run.folder / WEIGHTS).is_file():
        rows = load_split(config.data, "train")
        train(config, rows, run.folder, callback=lambda u, m: watch(u, m) if u in points else None)
    watch(steps, run.model())
    complete(run)
    return dict(sorted(found.items(), key=lambda point: int(point[0])))


# The record.


def point(run: Run) -> dict[str, Any]:
    """What the record keeps of a run: metrics, terms of every update, gradients."""
    measured = obtain_gradients(run)
    metrics = {name: one for name, one in run.metrics().items() if name.startswith(KEPT)}
    history = run.history()
    curve = {
        "update": [one["update"] for one in history],
        "global": [round(one["global"], 4) for one in history],
        "beta_cal": [round(one["beta_cal"], 5) for one in history],
    }
    return {"run": run.folder.name, "metrics": metrics, "history": curve, "gradients": measured}


def study(profile: Profile, wanted: Sequence[Arm], seed: int = 0) -> Path:
    """Train what is missing, one run after the other in this process, and record each.

    Returns:
        The record `sigmoid`: "plateau" (`losses.base_rate` of the probe) and "arms", by name, by
        number of updates.
    """
    mask = probe(PUBLISHED.configuration(profile, seed)).texts.mask
    plateau = base_rate(mask, profile.base.loss.beta)._asdict()
    path = save_result("sigmoid", profile.name, recorded(profile) | {"plateau": plateau})
    for arm in wanted:
        run = find(arm.configuration(profile, seed))
        measured = point(run)
        values = recorded(profile) | {"plateau": plateau}  # read anew: others may have written it
        values["arms"].setdefault(arm.name, {})[str(run.config.train.steps)] = measured
        path = save_result("sigmoid", profile.name, values)
    return path


def recorded(profile: Profile) -> dict[str, Any]:
    """What the committed record and that of the runs folder hold together; the latter wins."""
    values: dict[str, Any] = {"plateau": {}, "arms": {}}
    for reference in (True, False):
        try:
            kept = load_result("sigmoid", profile.name, reference=reference)["values"]
        except FileNotFoundError:
            continue
        for name, lengths in kept["arms"].items():
            values["arms"].setdefault(name, {}).update(lengths)
    return values


def at_length(values: Mapping[str, Any], length: int) -> dict[str, dict[str, Any]]:
    """The arms of a record that were run for so many updates, by name."""
    found = {name: by.get(str(length)) for name, by in values["arms"].items()}
    return {name: kept for name, kept in found.items() if kept is not None}


def pull(kept: Mapping[str, Any]) -> dict[int, float]:
    """β-CAL's gradient on the backbone as a share of the global term's, by update."""
    by_update = {int(update): found for update, found in kept["gradients"].items()}
    return {
        u: by_update[u]["norm/beta_cal"] / by_update[u]["norm/global"] for u in sorted(by_update)
    }


OTHER_FORM = "cross-entropy form"  # as published, beside the arms


def with_curves(values: Mapping[str, Any], curves: Mapping[str, Any]) -> dict[str, Any]:
    """The same with both published forms at the lengths that a record `curves` has, its seed 0.

    Of the sigmoid form they are the very runs of the arm `PUBLISHED`; what the study has measured
    itself, gradients among it, stays.
    """
    arms_now = {name: dict(lengths) for name, lengths in values["arms"].items()}
    for name, series in ((OTHER_FORM, "beta-clip-ce"), (PUBLISHED.name, METHOD)):
        for length, seeds in curves.get(series, {}).items():
            if "0" in seeds:
                arms_now.setdefault(name, {}).setdefault(length, seeds["0"])
    first = [name for name in (OTHER_FORM, PUBLISHED.name) if name in arms_now]
    return {**values, "arms": {name: arms_now[name] for name in dict.fromkeys([*first, *arms_now])}}


def table_rows(values: Mapping[str, Any]) -> list[list[str]]:
    """A row per arm and length, from the values of a record `sigmoid`; the header first.

    "–" stands where gradients have not been measured.
    """
    rows = [["normaliser, bias", "updates", "β-CAL", "gradient", *COLUMNS]]
    for name, lengths in values["arms"].items():
        for length, kept in sorted(lengths.items(), key=lambda one: int(one[0])):
            measured = ["–", "–"]
            if "gradients" in kept:
                end = kept["gradients"][length]
                measured = [f"{end['beta_cal']:.3g}", f"{pull(kept)[int(length)]:.2g}"]
            cells = [f"{100 * kept['metrics'][metric]['mean']:.1f}" for metric in COLUMNS.values()]
            rows.append([name, f"{int(length):,}", *measured, *cells])
    return rows


def plateau_sentence(values: Mapping[str, Any]) -> str:
    """The plateau as `base_rate` derives it, and where every arm with the published mean ended.

    Only what the record holds is said.
    """
    plateau = values["plateau"]
    text = (
        f"In a batch of this profile positives weigh p = {plateau['rate']:.5f} of all pairs; the "
        f"best constant logit is {plateau['log_odds']:.2f}, and the loss there "
        f"{plateau['plateau']:.4f}."
    )
    ends = [
        f"{kept['gradients'][length]['beta_cal']:.4f} after {int(length):,} updates ({name})"
        for name, lengths in values["arms"].items()
        for length, kept in lengths.items()
        if name.startswith("pairs, ")
    ]
    return text + (f" With the published mean the loss was {'; '.join(ends)}." if ends else "")


def gains(values: Mapping[str, Any]) -> list[str]:
    """A line for each arm beside the published one at its length: differences in points, by column.

    One seed has no interval over seeds; a difference is marked with `*` where the intervals of the
    two runs over test scenes do not overlap.
    """
    lines = []
    for name, lengths in values["arms"].items():
        for length, kept in lengths.items():
            usual = values["arms"].get(PUBLISHED.name, {}).get(length)
            if usual is None or name in (PUBLISHED.name, OTHER_FORM):
                continue
            found = [f"{title} {_difference(kept['metrics'][metric], usual['metrics'][metric])}"
                     for title, metric in COLUMNS.items()]  # fmt: skip
            lines.append(f"- `{name}` at {int(length):,} updates: {', '.join(found)}.")
    return lines


def _difference(mine: Mapping[str, float], other: Mapping[str, float]) -> str:
    apart = mine["low"] > other["high"] or mine["high"] < other["low"]
    return f"{100 * (mine['mean'] - other['mean']):+.1f}{'*' if apart else ''}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the runs of the study of the sigmoid form, one after the other, and record them."""

    profile: str = "smoke"  # smoke, cpu or gpu
    seed: int = 0  # of the training
    arms: tuple[str, ...] = ()  # names such as 'positives, learnt'; not given: all
    finished: bool = False  # record what is there, train none


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train the runs of the study of the sigmoid form and record them."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.sigmoid")
    profile = get_profile(given.profile)
    require_runs_folder()
    wanted = choose(profile, given.arms or None)
    if given.finished:
        wanted = [a for a in wanted if find(a.configuration(profile, given.seed)).finished]
    print(study(profile, wanted, given.seed))


if __name__ == "__main__":
    run_command(main, ValueError)
