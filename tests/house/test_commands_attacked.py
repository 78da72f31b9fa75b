"""Commands with wrong, empty, doubled and contradictory values: refused before any work."""

import importlib
import subprocess

import pytest

from bclip_core.config import ConfigError
from bclip_core.records import REPOSITORY

TRAIN, SEARCH = "train.__main__", "studies.search"
MEASURE, DATA = "evaluation.measure", "data.real.__main__"
LENGTHS, REDRAW, PROMOTE = "studies.texts.lengths", "reproduce.redraw", "reproduce.promote"
PHOTOGRAPHS, COLLECTION = "data.real.photographs", "reproduce.collection"
COCO = "--data-set coco --checkpoint scenes --label x"
CIFAR = "--data-set cifar10 --checkpoint scenes --label x"


@pytest.fixture(scope="module", autouse=True)
def nothing_committed_changes():
    def status():
        command = ["git", "-C", str(REPOSITORY), "status", "--porcelain"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    before = status()
    yield
    assert status() == before


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        # an empty path, of a variable of the shell that is not set, is the working folder
        (TRAIN, "--folder=", "--folder='': expected a file or folder"),
        (TRAIN, "--folder x --config=", "--config='': expected a file or folder"),
        (REDRAW, "--names leak --folder=", "--folder='': expected a file or folder"),
        (MEASURE, f"{COCO} --root=", "--root='': expected a file or folder"),
        (DATA, "coco --folder=", "--folder='': expected a file or folder"),
        (LENGTHS, "--root=", "--root='': expected a file or folder"),
        # options that nothing would be done with, or that cannot be obeyed here
        (TRAIN, "--folder x --processes 2", "--processes=2: expected --dry-run beside it"),
        (TRAIN, "--folder x --device nonsense", "--device='nonsense': expected one of cpu, cuda"),
        (TRAIN, "--folder x --method=", "--method='': expected the name of a method"),
        (DATA, "--folder /tmp", "--folder=/tmp: expected the name of a data set"),
        (DATA, "coco --split train", "expected --folder beside them"),
        (DATA, "coco --on-error skip", "expected --folder beside them"),
        (MEASURE, f"{COCO} --split dev", "--split='dev': expected one of test, train"),
        (MEASURE, f"{COCO} --device nonsense", "device='nonsense': expected cpu"),
        (MEASURE, f"{COCO} --device meta", "device='meta': expected cpu"),
        (MEASURE, f"{CIFAR} --images /tmp", "--images: not read for cifar10"),
        (MEASURE, f"{CIFAR} --conditioned none", "--conditioned: not read for cifar10"),
        (MEASURE, f"{COCO} --conditioned two-stage", "expected a model with a pooler"),
        (MEASURE, "--data-set coco --label x --checkpoint=", "'': expected a file, a folder"),
        (SEARCH, "--profile photos-smoke", "expected one of smoke, cpu"),
        ("studies.pointing", "--profile photos-smoke", "expected one of smoke, cpu"),
        ("studies.texts.wording", "--series mulclop", "expected one of"),
        # twice
        (COLLECTION, "--profile smoke --profile cpu", "--profile: given twice"),
        (COLLECTION, "-p steps 2 -p steps 3", "-p steps: '2' and '3': expected one value"),
        (TRAIN, "--folder a --folder b", "--folder: 'a' and 'b': expected one"),
        # names that lead elsewhere, names that there are not
        (SEARCH, "--compare --name ../../x", "--name='../../x': expected letters"),
        (SEARCH, "--compare --name=", "--name='': expected letters"),
        (PROMOTE, "nonsense", "profile='nonsense': expected one of smoke, cpu"),
        (PROMOTE, "*", r"profile='*': expected one of smoke"),
        (REDRAW, "--names leak nonsense", "figure 'nonsense': no such figure"),
        (TRAIN, "--folder x --set loss.extra.a.b=3", "loss.extra.a.b=3: expected a setting"),
        (TRAIN, f"--folder x --train.seed {2**70}", f"seed={2**70}: expected < {2**63}"),
        # nothing found is no success, and puts nothing in a committed record's place
        (LENGTHS, "--root /nonexistent", "text_lengths.json is left as it was"),
        (PHOTOGRAPHS, "/dev/null", "/dev/null"),
        ("reproduce.book", "x", "'x': expected no more"),
    ],
)  # fmt: skip
def test_it_is_refused_by_name(module, arguments, message, capsys):
    command = importlib.import_module(f"bclip_core.{module}")
    try:
        assert command.main(arguments.split(" ")) == 1
        told = capsys.readouterr().err
    except (ConfigError, OSError, ValueError) as error:
        told = str(error)
    assert message in told


def test_of_two_values_of_a_setting_the_last_is_obeyed_and_that_is_said(capsys):
    options = importlib.import_module("bclip_core.train.options")
    asked = "--folder x --train.steps 20 --set train.steps=30".split()
    assert options.parse(asked).run.train.steps == 30
    assert capsys.readouterr().err == "--train.steps: '30' is taken, not '20' before it\n"


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (MEASURE, CIFAR),
        (COLLECTION, "--profile smoke --only 03"),
        (SEARCH, "--compare"),
        ("studies.curves", "--profile smoke"),
        ("studies.leak.study", "--profile smoke"),
        ("studies.pointing", "--profile smoke"),
        ("studies.sigmoid", "--profile smoke"),
        ("studies.step_time", "--profile smoke"),
        ("reproduce.shipping", "scenes-beta-clip"),
    ],
)
def test_a_runs_folder_that_cannot_be_written_is_told_before_work(
    module, arguments, place, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("")
    named = str(tmp_path / place)
    monkeypatch.setenv("BCLIP_RUNS", named)
    command = importlib.import_module(f"bclip_core.{module}")
    try:
        assert command.main(arguments.split(" ")) == 1
        told = capsys.readouterr().err
    except OSError as error:
        told = str(error)
    assert f"$BCLIP_RUNS={named!r}: expected a folder that can be written" in told
    assert len(told.strip().splitlines()) == 1


def test_data_that_are_no_folder_are_told_with_their_variable(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    for named in (tmp_path / "file", tmp_path / "nowhere"):
        monkeypatch.setenv("BCLIP_DATA", str(named))
        assert importlib.import_module(f"bclip_core.{MEASURE}").main(COCO.split()) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"$BCLIP_DATA={named}: expected the folder above the data sets" in line
