"""The commands for a GPU, as their page has them: each is read and checked here, one by one."""

import re
import shlex

import pytest

from bclip_core.config.command_line import read_options
from bclip_core.records import REPOSITORY
from bclip_core.reproduce.collection import Options, _from_here
from bclip_core.reproduce.notebooks import check_parameters, find_notebooks
from bclip_core.studies.papers import PUBLISHED
from bclip_core.train.__main__ import main
from bclip_core.train.options import parse
from bclip_core.train.start import plan_run

PAGE = (REPOSITORY / "bclip_core" / "train" / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## On a GPU\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^    (\S.*)$", SECTION, re.MULTILINE)
LAUNCH = re.compile(r"(?:torchrun --standalone --nproc-per-node (\d+)|python) -m (\S+) ?")
TRAININGS = [one for one in COMMANDS if " -m bclip_core.train " in one]
TABLES = [one for one in COMMANDS if " -m bclip_core.reproduce " in one]


def arguments(command: str) -> tuple[int, list[str]]:
    """How many processes it starts, and what it gives each."""
    launched = LAUNCH.match(command)
    assert launched, command
    return int(launched[1] or 1), shlex.split(command[launched.end() :])


def test_every_command_is_looked_at():
    assert sorted(TRAININGS + TABLES) == sorted(COMMANDS)
    assert len(TRAININGS) >= 6
    assert len(TABLES) >= 4


@pytest.mark.parametrize("command", TRAININGS)
def test_a_training_is_read_and_planned(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    processes, given = arguments(command)
    options = parse(given)
    settings = options.run.train
    plan_run(options.run, options.folder)
    assert options.folder.parts[0] == "runs"
    assert options.run.backbone.pretrained == "openai"
    assert settings.precision == "fp16"
    assert settings.batch_size == 64 * processes, "the recipe's 64 images a GPU"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", TRAININGS)
def test_its_dry_run_is_ready_but_for_the_gpu(command, layouts, tmp_path, monkeypatch, capsys):
    """The whole dry run, at a size that a test can afford: small towers, few images, K = 4."""
    monkeypatch.chdir(tmp_path)
    processes, given = arguments(command)
    name = parse(given).run.data.name
    small = {
        "backbone.name": "scene-tiny", "backbone.pretrained": "", "data.image-size": 64,
        "data.folder": layouts / name, "train.batch-size": 2 * processes,
        "texts.sentences": 1, "texts.phrases": 2 if "mulclip" not in command else 0,
        "train.loader-workers": 0,
    }  # fmt: skip
    at = given.index("--folder")
    given = [*given[:at], *(f"--{n}={value}" for n, value in small.items()), *given[at:]]
    with pytest.raises(SystemExit) as end:
        main([*given, "--dry-run", "--device", "cpu", "--processes", str(processes)])
    assert end.value.code == 1
    told = capsys.readouterr().out
    problems = [line for line in told.splitlines() if line.startswith("not ready: ")]
    assert problems == ["not ready: precision fp16 needs a GPU; timed in fp32"]
    assert "rows: 16\n" in told
    assert f"of {2 * processes * parse(given).run.train.accumulation} images" in told
    assert "timed here on cpu, images of a process: 2: " in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", TABLES)
def test_a_table_is_read_and_its_column_is_one_of_the_papers(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, given = arguments(command)
    options = read_options(Options, given, "python -m bclip_core.reproduce")
    parameters = dict(options.parameters)
    (tmp_path / parameters["checkpoint"]).mkdir(parents=True)
    (notebook,) = find_notebooks(options.only)
    checked = check_parameters(notebook, {"profile": options.profile, **_from_here(parameters)})
    assert checked["checkpoint"] == str(tmp_path / parameters["checkpoint"])
    assert checked["root"] == "/data"
    assert checked["column"] in {one.model for one in PUBLISHED}
