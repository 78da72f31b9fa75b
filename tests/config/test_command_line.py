"""Options of a command from a dataclass: their spellings, and what is refused in one line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from bclip_core.config import ConfigError
from bclip_core.config.command_line import AtLeast, read_options, run_command

Pairs = Annotated[
    tuple[tuple[str, str], ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(aliases=("-p",), metavar="NAME VALUE"),
]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Options that several commands have."""

    profile: str = "smoke"  # sizes
    workers: int | None = None  # side by side


@dataclass(frozen=True, kw_only=True)
class Options(Shared):
    """One of each kind."""

    name: tyro.conf.Positional[Literal["one", "two"]]  # which
    folder: Path | None = None  # where
    methods: tuple[str, ...] = ("a", "b")  # names
    lengths: Annotated[tuple[int, ...], AtLeast(2)] = (100,)  # updates
    links: Literal["inside", "follow"] = "inside"  # behind links
    again: bool = False  # once more
    quick_gelu: bool | None = None  # not told
    parameters: Pairs = ()  # further ones


def read(*arguments):
    return read_options(Options, ["one", *arguments], "command")


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--profile", "cpu"], "profile", "cpu"),
        (["--profile=cpu"], "profile", "cpu"),
        (["--workers", "2"], "workers", 2),
        (["--folder", "here"], "folder", Path("here")),
        (["--methods", "c", "d", "e"], "methods", ("c", "d", "e")),
        (["--lengths", "2", "3"], "lengths", (2, 3)),
        (["--again"], "again", True),
        (["--again", "true"], "again", True),
        (["--no-again"], "again", False),
        (["--quick-gelu"], "quick_gelu", True),
        (["--quick_gelu", "False"], "quick_gelu", False),
        (["--no-quick-gelu"], "quick_gelu", False),
        (["-p", "steps", "-1", "-p", "root", "x"], "parameters", (("steps", "-1"), ("root", "x"))),
        (["--links", "follow"], "links", "follow"),
    ],
)
def test_every_kind_of_option_is_read(arguments, field, value):
    assert vars(read(*arguments)) == vars(read()) | {field: value}


def test_what_goes_by_place_may_stand_anywhere():
    expected = Options(name="two", again=True, folder=Path("x"))
    for given in (["two", "--again", "--folder", "x"], ["--again", "two", "--folder", "x"],
                  ["--again", "--folder", "x", "two"]):  # fmt: skip
        assert read_options(Options, given, "command") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profil", "cpu"], "--profil: no such option; did you mean --profile?"),
        (["--xyz"], "--xyz: no such option; expected one of --profile, "),
        (["--profile"], "--profile: expected a value"),
        (["--profile", "cpu", "gpu"], "--profile cpu gpu: expected one value"),
        (["--workers", "two"], "--workers='two': expected a whole number, >= 0"),
        (["--workers", "-1"], "--workers='-1': expected a whole number, >= 0"),
        (["--lengths", "5", "1"], "--lengths='1': expected a whole number, >= 2"),
        (["--lengths"], "--lengths: expected a whole number, >= 2"),
        (["--methods"], "--methods: expected a value"),
        (["--links", "out"], "--links='out': expected one of inside, follow"),
        (["--again", "yes"], "--again yes: expected true or false"),
        (["--no-again", "true"], "--no-again true: expected true or false"),
        (["-p", "steps"], "-p steps: expected NAME VALUE"),
        (["two"], "'two': expected an option, one of --profile, "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, message):
    with pytest.raises(ConfigError) as error:
        read(*arguments)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_what_lacks_and_what_is_wrong_by_its_place():
    with pytest.raises(ConfigError, match="^name: expected one of one, two; see --help$"):
        read_options(Options, [], "command")
    with pytest.raises(ConfigError, match="^name='three': expected one of one, two$"):
        read_options(Options, ["three"], "command")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("x=1: expected 2"), "error: x=1: expected 2"),
        (OSError(28, "No space left on device"), "No space left on device; free some space"),
        (KeyError("mine"), "error: 'mine'"),
    ],
)
def test_a_refusal_ends_a_command_in_one_line(error, said):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(main, KeyError)
    assert said in end.value.code
    assert "\n" not in end.value.code


def test_a_fault_keeps_its_traceback_and_a_code_is_the_exit_code():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)
    with pytest.raises(SystemExit) as end:
        run_command(lambda: 3)
    assert end.value.code == 3


def test_a_working_folder_that_is_gone_is_told(monkeypatch):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("os.getcwd", gone)
    with pytest.raises(SystemExit, match="error: the working folder is gone"):
        run_command(lambda: 0)
