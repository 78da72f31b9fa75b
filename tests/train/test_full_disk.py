"""A disk that takes no more, while each of what a run leaves is written: real errors throughout.

`RLIMIT_FSIZE` makes the system refuse files beyond a size, as a full disk or a quota does, and
/dev/full refuses every byte with ENOSPC.
"""

import contextlib
import errno
import os
import resource
import runpy
import sys

import pytest
import torch
from matplotlib.figure import Figure

from bclip_core import checkpoints, plotting
from bclip_core.records import results
from bclip_core.records.files import what_to_do, write_atomically, write_json
from bclip_core.reproduce import promote
from bclip_core.train import create_model, resume, train

FREE_SPACE = "; free some space, or write to another disk ($BCLIP_RUNS for runs"
WEIGHTS = {
    "model.safetensors": checkpoints.save,
    "open_clip": checkpoints.export_open_clip,
    "hugging_face": checkpoints.export_hugging_face,
}


@contextlib.contextmanager
def at_most(size):
    """No file grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_says_what_to_do(error, path):
    assert str(path) in str(error)
    assert "\n" not in str(error)
    assert what_to_do(error).startswith(FREE_SPACE)


@pytest.fixture(scope="module")
def model(tiny_config):
    return create_model(tiny_config)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_every_form(model, tmp_path, name):
    path, write = tmp_path / name, WEIGHTS[name]
    write(model, path)
    before = files(tmp_path)
    with at_most(1 << 18), pytest.raises(OSError, match="cannot be written") as error:
        write(model, path)
    assert_says_what_to_do(error.value, path)
    assert names(tmp_path) == [name]
    assert files(tmp_path) == before


def test_an_error_that_is_not_the_systems_stays_what_it_is(tmp_path):
    def write(_):
        raise ValueError("a tensor shares memory with another")

    with pytest.raises(ValueError, match="shares memory") as error:
        write_atomically(tmp_path / "a", write)
    assert what_to_do(error.value) == ""


def test_the_history_of_a_run_names_its_file(tmp_path):
    path = tmp_path / "history.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"history\.jsonl cannot be written: No space") as error:
        resume.append_line(path, {"update": 1})
    assert error.value.errno == errno.ENOSPC
    assert_says_what_to_do(error.value, path)


def test_a_checkpoint(tiny_config, tiny_scenes, tmp_path):
    config = tiny_config.replace(train=tiny_config.train.replace(checkpoint_every=2))
    kept = {}

    def fill(update, _):
        if update == 3:
            kept.update(files(tmp_path / "checkpoints"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))

    with at_most(resource.RLIM_INFINITY), pytest.raises(OSError, match="cannot be saved") as error:
        train(config, tiny_scenes, tmp_path, device="cpu", progress=False, callback=fill)
    assert_says_what_to_do(error.value, tmp_path / "checkpoints" / "update-00000004")
    assert "earlier ones are kept" in str(error.value)
    assert names(tmp_path / "checkpoints") == ["update-00000002"]
    assert files(tmp_path / "checkpoints") == kept


def test_the_trained_model_and_the_command(tiny_config, tmp_path, monkeypatch, capsys):
    """Its checkpoint fits, the file of the trained model does not: the run goes on from there."""
    run = tmp_path / "run"
    write_json(tmp_path / "config.json", tiny_config.to_dict())
    command = ["train", "--config", str(tmp_path / "config.json"), "--folder", str(run)]
    monkeypatch.setattr(sys, "argv", [*command, "--device", "cpu"])
    save = checkpoints.save

    def fills(model, path):
        with at_most(1 << 18):
            return save(model, path)

    monkeypatch.setattr(checkpoints, "save", fills)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("bclip_core.train", run_name="__main__")
    said = str(end.value)
    assert said.startswith("error: ")
    assert f"{run / 'model.safetensors'} cannot be written: " in said
    assert FREE_SPACE in said
    assert [name for name in os.listdir(run) if "model" in name or "partial" in name] == []
    last = f"update-{tiny_config.train.steps:08d}"
    assert [path.name for path in resume.list_checkpoints(run)][-1] == last
    monkeypatch.setattr(checkpoints, "save", save)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("bclip_core.train", run_name="__main__")
    assert end.value.code in (None, 0)
    assert (run / "model.safetensors").is_file()
    assert "trained: " in capsys.readouterr().out


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(results, "REFERENCE_FOLDER", tmp_path / "reference")
    return tmp_path


def test_a_result(folders):
    path = results.save_result("answers", "smoke", {"old": 1})
    before = files(folders)
    with at_most(1 << 12), pytest.raises(OSError, match="cannot be written") as error:
        results.save_result("answers", "smoke", {"new": "x" * (1 << 13)})
    assert_says_what_to_do(error.value, path)
    assert files(folders) == before


def test_promoted_tables(folders, capsys):
    for name in ("a", "b"):
        results.save_result(name, "smoke", {"old": 1})
    promote.promote("smoke")
    before = files(folders / "reference")
    results.save_result("a", "smoke", {"new": 1})
    results.save_result("b", "smoke", {"new": "x" * (1 << 16)})
    with at_most(1 << 14):
        assert promote.main(["smoke"]) == 1
    said = capsys.readouterr().err
    assert "b__smoke.json" in said
    assert FREE_SPACE in said
    assert said.count("\n") == 1
    assert files(folders / "reference") == before
    assert names(folders) == [".reference.promote.lock", "reference", "runs"]


def test_a_figure_and_its_numbers(tmp_path):
    figure = Figure(figsize=(3, 3))
    figure.subplots().imshow(torch.rand(64, 64, generator=torch.Generator().manual_seed(0)).numpy())
    plotting.save(figure, "noise", {"values": [1]}, tmp_path)
    before = files(tmp_path)
    with at_most(1 << 10), pytest.raises(OSError, match="cannot be written") as error:
        plotting.save(figure, "noise", {"values": [1]}, tmp_path)
    assert_says_what_to_do(error.value, tmp_path / "noise.png")
    with at_most(1 << 10), pytest.raises(OSError, match="cannot be written") as error:
        plotting.save(figure, "noise", {"values": list(range(1000))}, tmp_path)
    assert_says_what_to_do(error.value, tmp_path / "noise.json")
    assert files(tmp_path) == before
