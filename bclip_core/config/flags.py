"""Settings of a run on a command line: `--loss.beta 0.25`, or `--set loss.beta=0.25`, are one.

Both become "loss.beta=0.25", which `profiles.configure` reads; so do papermill's and the shell's.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any, get_type_hints

from bclip_core.config.base import Config, ConfigError
from bclip_core.config.names import did_you_mean
from bclip_core.config.run import RunConfig


def setting_types(kind: type[Config] = RunConfig, prefix: str = "") -> dict[str, Any]:
    """Every setting by its dotted name, with its type; parts themselves are none."""
    found: dict[str, Any] = {}
    for name, value in get_type_hints(kind).items():
        if isinstance(value, type) and issubclass(value, Config):
            found |= setting_types(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def check_name(name: str) -> None:
    """Refuse a setting that no part of a configuration has.

    Raises:
        ConfigError: the message has the nearest name, or where there is none the known ones.
    """
    known = setting_types()
    if name in known or name.startswith("loss.extra."):  # what a term brings has any name
        return
    part = name.partition(".")[0]
    own = [other for other in known if other.startswith(f"{part}.")]
    near = did_you_mean(name, known, "--")
    expected = near or "; expected one of " + ", ".join(own or get_type_hints(RunConfig))
    raise ConfigError(f"--{name}: no such setting{expected}")


def split_arguments(
    arguments: Sequence[str], own: Collection[str], switches: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """A command's own options, and everything else as settings.

    Values follow their flag or an equals sign; underscores and dashes are the same. A switch may
    stand alone (`--train.compile`) or be switched off (`--train.no-compile`).

    Args:
        arguments: of the command line.
        own: the command's options, without dashes in front; each has one value.
        switches: those of them that may stand alone.

    Returns:
        Values by option, and settings as "part.field=value", in order.

    Raises:
        ConfigError: a name that is neither, an option without a value, or one with two.
    """
    options, settings = dict[str, str](), list[str]()
    for flag, values in _groups(arguments):
        name = flag.replace("-", "_")
        if name in own:
            if not values and name in switches:
                values = ["true"]
            if len(values) != 1:
                raise ConfigError(f"--{flag} {' '.join(values)}: expected one value".rstrip())
            if options.setdefault(name, values[0]) != values[0]:
                raise ConfigError(f"--{flag}: {options[name]!r} and {values[0]!r}: expected one")
        elif name == "set":
            if not values:
                raise ConfigError("--set: expected NAME=VALUE, for example loss.beta=0.25")
            settings += values
        else:
            settings.append(_setting(name, values, own))
    _tell_two_values(settings)
    return options, settings


def _tell_two_values(settings: Sequence[str]) -> None:
    """Of two values of one setting the last is obeyed, so that a command can be changed; say so."""
    found = dict[str, str]()
    for setting in settings:
        name, _, value = setting.partition("=")
        name = name.strip().replace("-", "_")
        if found.get(name, value) != value:
            print(f"--{name}: {value!r} is taken, not {found[name]!r} before it", file=sys.stderr)
        found[name] = value


def _groups(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    groups: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument[2:].partition("=")
            groups.append((flag, [value] if equals else []))
        elif groups:
            groups[-1][1].append(argument)
        else:
            raise ConfigError(f"{argument!r}: expected an option, such as --train.steps 20")
    return groups


def _setting(name: str, values: list[str], own: Collection[str]) -> str:
    known = setting_types()
    positive = name.replace(".no_", ".", 1)
    if name not in known and known.get(positive) is bool and not values:
        return f"{positive}=false"
    if name not in known and "." not in name:
        last = [other for other in known if other.rpartition(".")[2] == name]
        near = f"; did you mean --{last[0]}?" if last else did_you_mean(name, own, "--")
        expected = near or "; expected one of " + ", ".join(own)
        raise ConfigError(f"--{name}: no such option{expected}")
    check_name(name)
    kind = known.get(name, float)  # those of `loss.extra` are numbers
    if not values and kind is bool:
        return f"{name}=true"
    if not values:
        raise ConfigError(f"--{name}: expected a value")
    if len(values) > 1 and isinstance(kind, type):
        raise ConfigError(f"--{name} {' '.join(values)}: expected one value")
    return f"{name}={values[0]}" if len(values) == 1 else f"{name}=[{', '.join(values)}]"
