"""Which models there are to look through: the shipped one, and every finished run on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from safetensors import safe_open

from bclip_core import checkpoints
from bclip_core.checkpoints import CheckpointError, open_model
from bclip_core.checkpoints.own import PRETRAINED_FOLDER, WEIGHTS
from bclip_core.config import RunConfig
from bclip_core.evaluation import grounding_metric
from bclip_core.model import METHODS, BClip
from bclip_core.records.files import is_hidden, parse_json, read_json
from bclip_core.records.results import runs_folder
from bclip_core.train import Run

UNTOUCHED = "clip"
SHIPPED_GROUP = "shipped"
_POINTING = grounding_metric("attention", "pointing")  # of a run's metrics


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be chosen; nothing is read before `load` is called.

    Attributes:
        name: how a `View` names it: "clip", a run's folder, or a name given by the caller.
        label: how a reader sees it.
        load: reads it; raises what is wrong with it.
        pointing: the share of test phrases that its attention hits; 0 where that is not known.
        file: what `load` reads, where it reads one.
        group: under which heading it is listed.
        pooler: whether it is known to have one before it is read; of the shipped files alone.
    """

    name: str
    label: str
    load: Callable[[], BClip]
    pointing: float = 0.0
    file: Path | None = None
    group: str = ""
    pooler: bool = False


def untouched() -> ModelEntry:
    """The shipped CLIP as it was pretrained, with its 77 positions and no pooler."""
    path = checkpoints.SHIPPED["scenes"]
    load = partial(checkpoints.load, path)
    return ModelEntry(UNTOUCHED, "clip (untouched)", load, file=path, group=SHIPPED_GROUP)


def shipped_models(folder: Path = PRETRAINED_FOLDER) -> list[ModelEntry]:
    """What the collection ships beside the untouched model, by tag: the files of its folder."""
    base = checkpoints.SHIPPED["scenes"].name
    files = (path for path in folder.glob("*.safetensors") if not is_hidden(path.name))
    paths = sorted(path for path in files if path.name != base)
    return [
        ModelEntry(
            path.stem, f"{path.stem} (shipped)", partial(checkpoints.load, path), file=path,
            group=SHIPPED_GROUP, pooler=has_pooler(path),
        )
        for path in paths
    ]  # fmt: skip


def has_pooler(path: Path) -> bool:
    """Whether a file of ours holds a pooler, by its header alone; no where that is damaged."""
    try:
        with safe_open(path, "pt") as handle:
            described = parse_json((handle.metadata() or {})["bclip"])
    except Exception:  # choosing it says what is wrong
        return False
    return described.get("pooler") is not None


def find_models(folder: Path | None = None) -> dict[str, ModelEntry]:
    """The shipped models, then the finished runs by method, β, seed and length.

    A run whose files cannot be read is listed too: choosing it says what is wrong with it.

    Args:
        folder: where runs are; None takes `results.runs_folder()`.
    """
    runs = (folder or runs_folder()).glob("*/metrics.json")
    found = sorted(
        (_run_entry(path.parent) for path in runs if not is_hidden(path.parent.name)),
        key=lambda item: item[0],
    )
    entries = _with_distinct_labels([entry for _, entry in found])
    return {entry.name: entry for entry in (untouched(), *shipped_models(), *entries)}


def given_models(models: Mapping[str, BClip | Path | str]) -> dict[str, ModelEntry]:
    """Models at hand, or whatever `checkpoints.open_model` opens, under names of the caller's own.

    Raises:
        ValueError: a name is empty or that of the untouched model, or there are no names.
    """
    if not isinstance(models, Mapping):
        raise ValueError(f"models={models!r}: expected a dictionary of names and models")
    for name in models:
        if not isinstance(name, str) or not name.strip() or name == UNTOUCHED:
            raise ValueError(f"model name {name!r}: expected a name other than {UNTOUCHED!r}")
    return {
        name: ModelEntry(
            name,
            name,
            _loader(model),
            file=model if isinstance(model, Path) else None,
            group="given",
        )
        for name, model in models.items()
    }


def named_apart(sources: Sequence[str]) -> dict[str, str]:
    """Sources by names of their own: the shortest ends of their paths that tell them apart.

    Args:
        sources: files, folders, tags, names of the hub.

    Raises:
        ValueError: one of them twice.
    """
    paths = [source.rstrip("/").split("/") for source in sources]
    for count in range(1, max(map(len, paths), default=0) + 1):
        names = ["/".join(path[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return dict(zip(names, sources, strict=True))
    if paths:
        raise ValueError(f"{list(sources)}: expected each model once")
    return {}


def best_model(entries: Mapping[str, ModelEntry]) -> str:
    """The model to open on: the first shipped one with a pooler.

    Where none is shipped, the one whose attention hits most often; the last one where that is not
    known of any.
    """
    for entry in entries.values():
        if entry.pooler:
            return entry.name
    newest_first = list(entries.values())[::-1]
    return max(newest_first, key=lambda entry: entry.pointing).name


def grouped_options(entries: Mapping[str, ModelEntry]) -> list[tuple[str, str, str]]:
    """Label, name and heading of every model: the given ones first, then the shipped, then runs.

    Under a heading of runs the one that hits most often comes first.
    """
    groups = ["given", SHIPPED_GROUP, *dict.fromkeys(e.group for e in entries.values())]
    listed = sorted(entries.values(), key=lambda e: (groups.index(e.group), -e.pointing))
    return [
        (f"{e.label}, hits {e.pointing:.0%}" if e.pointing else e.label, e.name, e.group)
        for e in listed
    ]


def _loader(model: BClip | Path | str) -> Callable[[], BClip]:
    return (lambda: model) if isinstance(model, BClip) else (lambda: open_model(model))


def _run_entry(folder: Path) -> tuple[tuple[object, ...], ModelEntry]:
    """An entry and what it is sorted by."""
    try:
        config = RunConfig.from_dict(read_json(folder / "config.json"))
        pointing = read_json(folder / "metrics.json").get(_POINTING, {}).get("mean", 0.0)
        label, load = _label(config), Run(config, folder).model
        group = f"runs of {config.method}"
        entry = ModelEntry(folder.name, label, load, float(pointing), folder / WEIGHTS, group)
    except Exception as error:  # whatever is wrong, the others are still there to choose
        return (1, folder.name), ModelEntry(
            folder.name,
            f"{folder.name} (unreadable)",
            _failing(folder, error),
            group="unreadable runs",
        )
    order = list(METHODS).index(config.method) if config.method in METHODS else len(METHODS)
    train = config.train
    return (0, order, config.loss.beta, train.seed, config.planned_updates, folder.name), entry


def _failing(folder: Path, error: Exception) -> Callable[[], BClip]:
    def fail() -> BClip:
        raise CheckpointError(f"run {folder.name}: {error}") from error

    return fail


def _label(config: RunConfig) -> str:
    method = METHODS.get(config.method)
    if method is not None and not method.terms:
        return f"{config.method}, {config.backbone.context_length} positions"
    beta = f" β={config.loss.beta:g}" if method is not None and method.pooler else ""
    return f"{config.method}{beta}, {config.planned_updates} updates, seed {config.train.seed}"


def _with_distinct_labels(entries: list[ModelEntry]) -> list[ModelEntry]:
    """A label that two runs share gets the key at the end of the run's folder name."""
    labels = [entry.label for entry in entries]
    return [
        entry
        if labels.count(entry.label) == 1
        else replace(entry, label=f"{entry.label} ({entry.name.rpartition('-')[2]})")
        for entry in entries
    ]
