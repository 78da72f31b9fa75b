"""A command's options from a dataclass, by tyro; what cannot be is refused in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import tyro

from bclip_core.config.names import did_you_mean
from bclip_core.config.run import ConfigError
from bclip_core.records.files import what_to_do
from bclip_core.records.processes import ends_on_request

Options = TypeVar("Options")
_BY_PLACE = get_args(tyro.conf.Positional[int])[1]


class AtLeast(NamedTuple):
    """The smallest allowed value of a number: `Annotated[int, AtLeast(1)]`; without it, 0."""

    least: int


class _Option(NamedTuple):
    """What a field of a dataclass of options allows."""

    name: str  # of the field
    kind: Any  # of one value: a type, or a Literal
    several: bool  # one value or more
    optional: bool  # may be None
    needed: bool  # has no default
    by_place: bool  # has no flag
    pair: str  # its other, repeated flag, with a NAME and a VALUE each; "": none
    least: int  # of a number

    @property
    def flag(self) -> str:
        return "" if self.by_place else f"--{self.name.replace('_', '-')}"

    def expected(self) -> str:
        if get_origin(self.kind) is Literal:
            return "one of " + ", ".join(filter(None, get_args(self.kind)))
        kinds = {int: f"a whole number, >= {self.least}", bool: "true or false"}
        kinds[Path] = "a file or folder"
        return "NAME VALUE" if self.pair else kinds.get(self.kind, "a value")

    def check(self, text: str) -> None:
        allowed = True
        if get_origin(self.kind) is Literal:
            allowed = text in get_args(self.kind)
        elif (
            self.kind is Path
        ):  # an empty one, of a variable that is not set, is the working folder
            allowed = bool(text.strip()) and "\0" not in text
        elif self.kind is int:
            allowed = text.isdecimal() and int(text) >= self.least
        if not allowed:
            raise ConfigError(f"{self.flag or self.name}={text!r}: expected {self.expected()}")


def run_command(main: Callable[[], object], *refusals: type[Exception]) -> None:
    """What `python -m` runs: a refusal is one line and exit code 1; SIGTERM ends it as an error.

    Args:
        main: the command; its return value, where it has one, is the exit code.
        refusals: errors that refuse something, beside ConfigError and those of the system.

    Raises:
        SystemExit: always.
    """
    try:
        os.getcwd()
    except OSError:
        raise SystemExit("error: the working folder is gone: change to one that is there") from None
    try:
        with ends_on_request():
            code = main()
    except (ConfigError, OSError, *refusals) as problem:  # type: ignore[misc]
        raise SystemExit(f"error: {problem}{what_to_do(problem)}") from problem
    raise SystemExit(code)


def read_options(kind: type[Options], arguments: Sequence[str] | None, prog: str) -> Options:
    """Options of a flat dataclass from the command line; its docstring and comments are the help.

    Underscores and dashes are the same; `--wait`, `--wait true` and `--no-wait` set a switch; a
    tuple takes several values; a field that is `tyro.conf.Positional` is told by its place.

    Args:
        kind: the dataclass.
        arguments: of the command line; None: of the process.
        prog: how the command is called.

    Raises:
        ConfigError: an unknown option (with the nearest known), one that lacks, or a wrong value.
        SystemExit: 0, after --help.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not {"-h", "--help"} & set(given):
        hints = get_type_hints(kind, include_extras=True)
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        given = _checked(given, [_option(field, hints[field.name]) for field in fields])
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=given, prog=prog)
    except SystemExit as end:
        if not end.code:
            raise
        text = " ".join(re.sub("[─-╿]", " ", complaint.getvalue()).split())
        raise ConfigError(text) from None


def _option(field: dataclasses.Field[Any], hint: Any) -> _Option:
    notes = list[Any]()
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        notes += more
    optional = get_origin(hint) in (Union, UnionType)
    if optional:
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    pair = [alias for note in notes for alias in getattr(note, "aliases", None) or ()]
    several = get_origin(hint) is tuple and not pair
    needed = field.default is dataclasses.MISSING
    least = [note.least for note in notes if isinstance(note, AtLeast)]
    return _Option(
        field.name, get_args(hint)[0] if several else hint, several, optional, needed,
        _BY_PLACE in notes, *(pair or [""]), *(least or [0]),
    )  # fmt: skip


def _checked(given: list[str], options: list[_Option]) -> list[str]:
    """The same command line as tyro writes it, if it is allowed."""
    placed = [option for option in options if option.by_place]
    flags = {option.flag: option for option in options if option.flag}
    flags |= {option.pair: option for option in options if option.pair}
    flags |= {f"--no-{flag[2:]}": option for flag, option in flags.items() if option.kind is bool}
    starts = [n for n, text in enumerate(given) if text.startswith("--") or text in flags]
    words = given[: starts[0] if starts else None]  # that go by place
    written, seen = list[str](), {option.name for option in placed[: len(words)]}
    for start, end in pairwise([*starts, len(given)]):
        flag, equals, first = given[start].partition("=")
        flag = flag.replace("_", "-")
        values = [*([first] if equals else []), *given[start + 1 : end]]
        if flag not in flags:
            one_of = f"one of {', '.join(flags)}" if flags else "none"
            near = did_you_mean(flag, flags) or f"; expected {one_of}"
            raise ConfigError(f"{flag}: no such option{near}")
        option = flags[flag]
        own, others = _own(flag, values, option)
        if len(words) + len(others) > len(placed):
            expected = option.expected() if option.kind is bool or option.pair else "one value"
            raise ConfigError(f"{' '.join([flag, *values])}: expected {expected}")
        written, words = [*written, *own], [*words, *others]
        if option.name in seen and not option.pair:
            raise ConfigError(f"{flag}: given twice: expected it once")
        seen |= {option.name, *(option.name for option in placed[: len(words)])}
    for word in words[len(placed) :]:
        expected = f"an option, one of {', '.join(flags)}" if flags else "no more"
        raise ConfigError(f"{word!r}: expected {expected}")
    for option, word in zip(placed, words, strict=False):
        option.check(word)
    for option in options:
        if option.needed and option.name not in seen:
            name = option.flag or option.name
            raise ConfigError(f"{name}: expected {option.expected()}; see --help")
    return [*words, *written]


def _own(flag: str, values: list[str], option: _Option) -> tuple[list[str], list[str]]:
    """A flag with its own values, checked, as tyro writes it; and the values that are not its."""
    if option.kind is bool:
        on = flag == option.flag
        if on and values and values[0].lower() in ("true", "false"):
            on, values = values[0].lower() == "true", values[1:]
        if option.optional:  # tyro has no switch for three values: not given is one of them
            return [f"{option.flag}={on}"], values
        return [option.flag if on else f"--no-{option.flag[2:]}"], values
    count = max(1, len(values)) if option.several else 2 if option.pair else 1
    if len(values) < count:
        raise ConfigError(f"{' '.join([flag, *values])}: expected {option.expected()}")
    for value in values[:count]:
        option.check(value)
    return [flag, *values[:count]], values[count:]
