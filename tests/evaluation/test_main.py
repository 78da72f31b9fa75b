"""The command line of a measurement."""

import pytest

from bclip_core.config import ConfigError
from bclip_core.config.command_line import read_options
from bclip_core.evaluation import measure
from bclip_core.evaluation.protocols.retrieval import CONDITIONED

NEEDED = ["--data-set", "urban1k", "--checkpoint", "random", "--label", "mine"]


def read(*arguments):
    return read_options(measure.Options, [*NEEDED, *arguments], "measure")


def test_options_have_their_defaults_and_spellings():
    assert read() == measure.Options(data_set="urban1k", checkpoint="random", label="mine")
    assert read("--quick-gelu").quick_gelu is True
    assert read("--no-quick-gelu").quick_gelu is False
    assert read("--allow_missing").allow_missing is True
    assert [read("--conditioned", kind).conditioned for kind in CONDITIONED] == list(CONDITIONED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lable", "x"], "--lable: no such option; did you mean --label?"),
        (["--conditioned", "some"], "some"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, message):
    with pytest.raises(ConfigError) as error:
        read(*arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_refusal_of_the_command_is_printed(capsys):
    assert measure.main(["--data-set", "urban1k", "--label", "mine"]) == 1
    complaint = capsys.readouterr().err
    assert "--checkpoint" in complaint
    assert complaint.count("\n") == 1


def test_help_has_every_option(capsys):
    with pytest.raises(SystemExit) as end:
        measure.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    names = measure.Options.__dataclass_fields__
    assert all(f"--{name.replace('_', '-')}" in text for name in names)
