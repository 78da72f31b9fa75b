"""`python -m bclip_core.train`: train one configuration from the shell, or continue it."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from bclip_core.backbone import CheckpointError
from bclip_core.config import (
    ConfigError,
    RunConfig,
    change,
    did_you_mean,
    get_profile,
    split_arguments,
)
from bclip_core.config.training import settle
from bclip_core.data.sources import load_split
from bclip_core.model import METHODS, resolve
from bclip_core.records.files import read_json, what_to_do
from bclip_core.records.processes import ends_on_request
from bclip_core.train.distributed import world
from bclip_core.train.dry_run import dry_run
from bclip_core.train.loop import train
from bclip_core.train.meters import in_short
from bclip_core.train.resume import read_history, require_same_run
from bclip_core.train.step import NonFiniteLossError
from bclip_core.train.tracking import require_trackers


@dataclass(frozen=True)
class Options:
    """Train one configuration, or continue it.

    Flags go before --config, and that before --profile. Underscores and dashes are the same.
    A switch is --train.compile, --train.compile true or --train.no-compile.
    --set loss.beta=0.25 is --loss.beta 0.25, kept for one release.
    """

    folder: Path | None = None  # where the run is kept; needed but for a dry run
    profile: str = "smoke"  # a whole experiment: smoke, cpu, gpu, photos-smoke, paper-b16, ...
    config: Path | None = None  # a config.json; over the profile where that is given, too
    device: str = ""  # 'cpu' leaves an available GPU out
    threads: int = 0  # CPU threads; 0: torch's
    trackers: str = ""  # accelerate's, with commas between: tensorboard, wandb, ...
    dry_run: bool = False  # print every value, rows, updates, bytes, memory and time; train nothing
    processes: int = 1  # how many processes a dry run reckons with
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def _base(profile: str | None, config: str | None, method: str | None) -> RunConfig:
    if config is None:
        chosen = get_profile(profile or Options.profile)
        return chosen.run(method or chosen.base.method)
    try:
        values = read_json(Path(config))
    except (OSError, ValueError) as problem:
        raise ConfigError(f"--config {config}: {problem}") from problem
    if not isinstance(values, dict):
        raise ConfigError(f"--config {config}: expected an object with fields of a configuration")
    # what a file does not say has its default, unless a profile is asked for
    beneath: dict[str, Any] = {}
    if profile:
        chosen = get_profile(profile)
        beneath = chosen.run(method or values.get("method") or chosen.base.method).to_dict()
    for name, part in values.items():
        nested = isinstance(part, dict) and isinstance(beneath.get(name), dict)
        whole = beneath[name] | part if nested else part
        beneath[name] = settle(whole, part) if nested and name == "train" else whole
    try:
        return RunConfig.from_dict(beneath)
    except ConfigError as problem:
        raise ConfigError(f"--config {config}: {problem}") from problem


def _whole(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"--{name}={text!r}: expected a whole number, >= {least}")
    return int(text)


def _switch(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigError(f"--{name}={text!r}: expected true or false")
    return text.lower() == "true"


def parse(arguments: Sequence[str]) -> Options:
    """The command line's options with the whole configuration.

    Raises:
        ConfigError: a name, a value or a file that cannot be.
        SystemExit: 0, after --help.
    """
    asked_help = {"--help", "-h"} & set(arguments)
    own = [f.name for f in fields(Options) if f.name != "run"]
    given, settings = split_arguments(
        [a for a in arguments if a not in ("--help", "-h")], [*own, "method"], ("dry_run",)
    )
    base = _base(given.get("profile"), given.get("config"), given.get("method"))
    settings = [*([f"method={given['method']}"] if "method" in given else []), *settings]
    config = change(base, settings)
    if config.method not in METHODS:
        known, near = ", ".join(METHODS), did_you_mean(config.method, METHODS)
        raise ConfigError(f"method={config.method!r}: expected one of {known}{near}")
    dry = _switch("dry-run", given.get("dry_run", "false"))
    if not asked_help and not dry and "folder" not in given:
        raise ConfigError("--folder: expected where the run is kept")
    options = Options(
        Path(given["folder"]) if "folder" in given else None,
        given.get("profile", "smoke"),
        Path(given["config"]) if "config" in given else None,
        given.get("device", ""),
        _whole("threads", given.get("threads", "0"), 0),
        given.get("trackers", ""),
        dry,
        _whole("processes", given.get("processes", "1"), 1),
        config,
    )
    if asked_help:
        print(help_text(options), end="")
        raise SystemExit(0)
    return options


def help_text(options: Options) -> str:
    """Every option with type, default and meaning, read from the dataclasses."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(
            Options, default=options, args=["--help"], prog="python -m bclip_core.train",
            config=(tyro.conf.FlagConversionOff,),
        )  # fmt: skip
    return text.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train one configuration, or continue it."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    config = options.run
    trackers = [name.strip() for name in options.trackers.split(",") if name.strip()]
    require_trackers(trackers)
    if options.config is None or options.dry_run:
        resolve(config, check=True)  # what is wrong is said before any scene is drawn
    if options.folder is not None:
        require_same_run(options.folder, config)
    if options.dry_run:
        about = get_profile(options.profile).about
        if not dry_run(config, device=options.device, processes=options.processes, about=about):
            raise SystemExit(1)
        return
    assert options.folder is not None
    train(
        config, load_split(config.data, "train"), options.folder, device=options.device,
        trackers=trackers,
    )  # fmt: skip
    if world()[0] == 0:
        history = read_history(options.folder / "history.jsonl")
        print(f"trained: {options.folder / 'model.safetensors'}: {in_short(history)}")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    try:
        with ends_on_request():
            main()
    except (NonFiniteLossError, CheckpointError, ValueError, OSError) as problem:
        raise SystemExit(f"error: {problem}{what_to_do(problem)}") from problem
