"""A command's options from a dataclass, by tyro; what cannot be is refused in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Sequence
from typing import TypeVar, get_type_hints

import tyro

from bclip_core.config.names import did_you_mean
from bclip_core.config.run import ConfigError

Options = TypeVar("Options")


def read_options(kind: type[Options], arguments: Sequence[str] | None, prog: str) -> Options:
    """Options of a flat dataclass from the command line; its comments are the help.

    Args:
        kind: the dataclass.
        arguments: of the command line; None: of the process.
        prog: how the command is called.

    Raises:
        ConfigError: an unknown option (with the nearest known), one that lacks, or a wrong value.
        SystemExit: 0, after --help.
    """
    names = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    given, hints = list[str](), get_type_hints(kind)
    known = [*names, *(name.replace("--", "--no-", 1) for name in names), "--help"]
    pending = list(sys.argv[1:] if arguments is None else arguments)
    for number, argument in enumerate(pending):
        flag = argument.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            near = did_you_mean(flag, names) or f"; expected one of {', '.join(names)}"
            raise ConfigError(f"{flag}: no such option{near}")
        option = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
        if argument.startswith("--") and "=" not in argument and hints.get(option) == bool | None:
            # tyro has no switch for three values: not given is one of them
            if pending[number + 1 : number + 2] in (["True"], ["False"]) and "--no-" not in flag:
                given.append(argument)  # its value follows
                continue
            argument = f"--{option}={not flag.startswith('--no-')}"
        given.append(argument)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=given, prog=prog)
    except SystemExit as end:
        if not end.code:
            raise
        text = " ".join(re.sub("[─-╿]", " ", complaint.getvalue()).split())
        raise ConfigError(text.removeprefix("Parsing error ")) from None
