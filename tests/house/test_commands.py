"""Every command reads its options in one way: a dataclass, complete help, one-line refusals."""

import dataclasses
import importlib
import re

import pytest

from bclip_core.config import ConfigError
from bclip_core.records import REPOSITORY

SOURCES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in sorted((REPOSITORY / "bclip_core").rglob("*.py"))
}
COMMANDS = sorted(name for name, text in SOURCES.items() if "read_options(Options" in text)


def test_no_command_reads_its_options_by_hand():
    by_hand = [name for name, text in SOURCES.items()
               if re.search(r"ArgumentParser|import argparse", text)]  # fmt: skip
    assert by_hand == []
    # jupyter's own arguments, and a worker's that this package starts
    free = {"bclip_core.reproduce.lab", "bclip_core.studies.runs"}
    assert {name for name, text in SOURCES.items() if "sys.argv" in text} <= free | {
        "bclip_core.config.command_line", "bclip_core.train.__main__",
    }  # fmt: skip
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_every_option_with_its_meaning(name, capsys):
    module = importlib.import_module(name)
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    plain = " ".join(re.sub("[─-╿]", " ", capsys.readouterr().out).split())
    assert module.Options.__doc__.splitlines()[0] in plain
    for field in dataclasses.fields(module.Options):
        by_place = "Positional" in str(field.type)
        flag = field.name.upper() if by_place else f"--{field.name.replace('_', '-')}"
        assert by_place or re.search(rf"{flag}[ ,]", plain), flag
    called = re.sub(r"\.(__main__|collection|measure)$", "", name)
    assert f"usage: python -m {called} [-h]" in plain


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistyped_option_is_refused_in_one_line(name, capsys):
    module = importlib.import_module(name)
    try:
        refused = module.main(["--helpp", "x"])
        assert refused == 1
        message = capsys.readouterr().err.strip()
    except ConfigError as error:
        message = str(error)
    assert "--helpp: no such option" in message
    assert "\n" not in message
