"""Options of `python -m bclip_core.train`, read without torch: a mistyped flag ends it at once."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bclip_core.config import ConfigError, RunConfig, change, get_profile, split_arguments
from bclip_core.config.command_line import AtLeast, read_options
from bclip_core.config.training import settle
from bclip_core.records.files import read_json

PROGRAM = "python -m bclip_core.train"


@dataclass(frozen=True)
class Command:
    """The command's own options."""

    folder: Path | None = None  # where the run is kept; needed but for a dry run
    profile: str = "smoke"  # a whole experiment: smoke, cpu, gpu, photos-smoke, paper-b16, ...
    config: Path | None = None  # a config.json; over the profile where that is given, too
    device: Literal["", "cpu", "cuda"] = ""  # 'cpu' leaves an available GPU out
    threads: int = 0  # CPU threads; 0: torch's
    trackers: str = ""  # accelerate's, with commas between: tensorboard, wandb, ...
    dry_run: bool = False  # print every value, rows, updates, bytes, memory and time; train nothing
    processes: Annotated[int, AtLeast(1)] = 1  # how many processes a dry run reckons with


@dataclass(frozen=True)
class Options(Command):
    """Train one configuration, or continue it.

    Flags go before --config, and that before --profile. Underscores and dashes are the same.
    A switch is --train.compile, --train.compile true or --train.no-compile.
    --set loss.beta=0.25 is --loss.beta 0.25, kept for one release.
    """

    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def _base(profile: str | None, config: Path | None, method: str | None) -> RunConfig:
    if config is None:
        chosen = get_profile(profile or Options.profile)
        return chosen.run(method or chosen.base.method)
    try:
        values = read_json(config)
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


def parse(arguments: Sequence[str]) -> Options:
    """The command line's options with the whole configuration.

    Raises:
        ConfigError: a name, a value or a file that cannot be.
        SystemExit: 0, after --help.
    """
    asked_help = {"--help", "-h"} & set(arguments)
    own = [field.name for field in fields(Command)]
    given, settings = split_arguments(
        [a for a in arguments if a not in ("--help", "-h")], [*own, "method"], ("dry_run",)
    )
    method = given.pop("method", None)
    command = read_options(Command, [f"--{n}={text}" for n, text in given.items()], PROGRAM)
    if method == "":
        raise ConfigError("--method='': expected the name of a method")
    base = _base(given.get("profile"), command.config, method)
    config = change(base, [*([f"method={method}"] if method else []), *settings])
    options = Options(**vars(command), run=config)
    if asked_help:
        print(help_text(options), end="")
        raise SystemExit(0)
    if not command.dry_run and command.folder is None:
        raise ConfigError("--folder: expected where the run is kept")
    if not command.dry_run and command.processes > 1:
        raise ConfigError(
            f"--processes={command.processes}: expected --dry-run beside it; a training has as "
            "many processes as torchrun or accelerate start"
        )
    return options


def help_text(options: Options) -> str:
    """Every option with type, default and meaning, read from the dataclasses."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(
            Options, default=options, args=["--help"], prog=PROGRAM,
            config=(tyro.conf.FlagConversionOff,),
        )  # fmt: skip
    return text.getvalue()
