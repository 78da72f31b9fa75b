"""A run that is killed, starved of disk or damaged continues bit for bit, or says why not."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import time

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bclip_core.backbone import CheckpointError
from bclip_core.config import ConfigError
from bclip_core.records.files import read_json, sha256, write_json
from bclip_core.train import NonFiniteWeightsError, train
from bclip_core.train.resume import (
    FREE,
    last_good_checkpoint,
    list_checkpoints,
    read_history,
    require_same_run,
    truncate_history,
)
from tests.warm import WarmProcess


def run(config, scenes, folder, **arguments):
    return train(config, scenes, folder, device="cpu", progress=False, **arguments)


def measured(folder):
    """The history without what depends on the machine's load."""
    times = ("seconds", "loader_share", "peak_memory", "teraflops_per_second")
    return [
        {name: value for name, value in record.items() if name not in times}
        for record in read_history(folder / "history.jsonl")
    ]


@pytest.fixture(scope="module")
def config(tiny_config):
    """With accumulation: a resumed run must start at the right micro-batch."""
    settings = tiny_config.train.replace(accumulation=2, batch_size=3, checkpoint_every=2)
    return tiny_config.replace(train=settings)


@pytest.fixture(scope="module")
def undisturbed(config, tiny_scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(config, tiny_scenes, folder).state_dict(), measured(folder)


@pytest.fixture(scope="module")
def stopped(config, tiny_scenes, tmp_path_factory):
    """A run stopped after 5 of 6 updates, with checkpoints at 4 and 5."""
    folder = tmp_path_factory.mktemp("stopped")
    run(config, tiny_scenes, folder, stop_after=5)
    return folder


@pytest.fixture
def interrupted(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


def assert_continues(config, scenes, folder, undisturbed):
    weights, history = undisturbed
    resumed = run(config, scenes, folder).state_dict()
    assert list(resumed) == list(weights)
    differing = [name for name in weights if not torch.equal(weights[name], resumed[name])]
    assert differing == []
    assert [record["update"] for record in measured(folder)] == [1, 2, 3, 4, 5, 6]
    assert measured(folder) == history


def test_a_killed_run_continues_bit_for_bit(config, tiny_scenes, tmp_path, undisturbed):
    folder = tmp_path / "run"
    write_json(tmp_path / "config.json", config.to_dict())
    arguments = ["--config", tmp_path / "config.json", "--folder", folder, "--device", "cpu"]
    arguments += ["--threads", "1"]
    with (tmp_path / "errors.txt").open("wb") as errors:
        process = WarmProcess("bclip_core.train", arguments, stderr=errors.fileno())
    while not list_checkpoints(folder):
        assert process.poll() is None, (tmp_path / "errors.txt").read_text()
        time.sleep(0.005)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert not (folder / "model.safetensors").exists()
    assert_continues(config, tiny_scenes, folder, undisturbed)


def kill_one_run(config, scenes, folder, moment, delay):
    """Start or continue the run in a process of its own and kill it `delay` after `moment`."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(config, scenes, folder))
    process.start()
    while not moment() and process.is_alive():
        time.sleep(0.0005)
    time.sleep(delay)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_twenty_kills_at_random_moments_change_nothing(tiny_config, tiny_scenes, tmp_path):
    undisturbed = tiny_config.replace(train=tiny_config.train.replace(steps=44))
    weights = run(undisturbed, tiny_scenes, tmp_path / "undisturbed").state_dict()
    config = undisturbed.replace(train=undisturbed.train.replace(checkpoint_every=1))
    folder, chance, saved_half = tmp_path / "run", random.Random(0), 0
    for number in range(20):
        done = len(measured(folder))
        wanted = done + chance.randint(1, 2)
        moments = (
            lambda: any((folder / "checkpoints").glob(".*.partial")),  # while it saves
            lambda wanted=wanted: len(measured(folder)) >= wanted,  # after an update or two
            lambda: True,  # while it starts
        )
        moment = moments[number % 2 if number % 5 else 2]
        kill_one_run(config, tiny_scenes, folder, moment, chance.uniform(0, 0.02))
        saved_half += any((folder / "checkpoints").glob(".*.partial"))
    assert saved_half > 0  # some kills came in the middle of a save
    assert 0 < len(measured(folder)) < 44
    resumed = run(undisturbed, tiny_scenes, folder).state_dict()
    assert [name for name in weights if not torch.equal(weights[name], resumed[name])] == []
    assert [record["update"] for record in measured(folder)] == list(range(1, 45))
    assert measured(folder) == measured(tmp_path / "undisturbed")


def test_a_stopped_run_continues_bit_for_bit(config, tiny_scenes, interrupted, undisturbed):
    assert [path.name for path in list_checkpoints(interrupted)] == [
        "update-00000004",
        "update-00000005",
    ]
    assert not (interrupted / "model.safetensors").exists()
    assert_continues(config, tiny_scenes, interrupted, undisturbed)


def test_a_resume_by_another_number_of_processes_is_told(
    config, tiny_scenes, interrupted, undisturbed, capsys
):
    latest = list_checkpoints(interrupted)[-1]
    shutil.copy(latest / "random_states_0.pkl", latest / "random_states_1.pkl")
    assert_continues(config, tiny_scenes, interrupted, undisturbed)
    told = f"checkpoint {latest} is of 2 processes, 1 goes on: with the same batches, but not bit"
    assert told in capsys.readouterr().out


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = [
    ("model.safetensors", cut),
    ("model.safetensors", flip_a_bit),
    ("optimizer.bin", flip_a_bit),
    ("random_states_0.pkl", flip_a_bit),
    ("checkpoint.json", cut),
    ("optimizer.bin", os.unlink),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    config, tiny_scenes, interrupted, undisturbed, capsys, name, damage
):
    latest = list_checkpoints(interrupted)[-1]
    damage(latest / name)
    assert_continues(config, tiny_scenes, interrupted, undisturbed)
    printed = capsys.readouterr().out
    assert f"checkpoint {latest} cannot be read" in printed
    assert "trying the one before it" in printed


def test_damaged_checkpoints_alone_are_an_error(config, tiny_scenes, interrupted):
    for path in list_checkpoints(interrupted):
        cut(path / "model.safetensors")
    before = measured(interrupted)
    with pytest.raises(CheckpointError, match="no checkpoint can be read .update-00000004, up"):
        run(config, tiny_scenes, interrupted)
    assert measured(interrupted) == before


def test_what_a_kill_left_half_written_is_removed(config, tiny_scenes, interrupted, undisturbed):
    partial = interrupted / "checkpoints" / ".update-00000006.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    (partial.with_name(".update-00000006.4711.partial")).mkdir()
    with (interrupted / "history.jsonl").open("a") as history:
        history.write('{"update": 6, "lo')
    assert_continues(config, tiny_scenes, interrupted, undisturbed)
    assert sorted(path.name for path in partial.parent.iterdir()) == [
        "update-00000005",
        "update-00000006",
    ]


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(
    config, tiny_scenes, tmp_path, undisturbed
):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(update, _):
        if update == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))

    try:
        with pytest.raises((OSError, RuntimeError, SafetensorError)) as error:
            run(config, tiny_scenes, tmp_path, callback=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "too large" in str(error.value)
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == {"update-00000002"}  # of the other nothing keeps the disk full
    assert [path.name for path in list_checkpoints(tmp_path)] == ["update-00000002"]
    assert_continues(config, tiny_scenes, tmp_path, undisturbed)


def test_a_finished_run_asked_again_changes_nothing(config, tiny_scenes, interrupted, undisturbed):
    assert_continues(config, tiny_scenes, interrupted, undisturbed)
    first = (interrupted / "model.safetensors").read_bytes()
    assert_continues(config, tiny_scenes, interrupted, undisturbed)
    assert (interrupted / "model.safetensors").read_bytes() == first


def test_history_is_cut_where_the_run_resumes(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"update": 1}\n{"update": 2}\n{"update": 3}\n{"upd')
    truncate_history(path, 2)
    assert path.read_text() == '{"update": 1}\n{"update": 2}\n'
    assert read_history(tmp_path / "missing.jsonl") == []


@pytest.mark.parametrize("line", ["{", '{"loss": 1}', "[]", "\x00"])
def test_a_damaged_line_inside_the_history_is_named(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_text(f'{{"update": 1}}\n{line}\n{{"update": 3}}\n')
    with pytest.raises(ValueError, match=r"history\.jsonl: line 2 is damaged"):
        read_history(path)


def test_a_resumed_run_may_change_what_decides_no_weight(config, tmp_path):
    write_json(tmp_path / "config.json", config.to_dict())
    settings = config.train.replace(
        loader_workers=2, checkpoint_every=9, gradient_cache=2, keep_epochs=(3,)
    )
    settings = settings.replace(activation_checkpointing=True)
    moved = config.data.replace(folder="/elsewhere", images="/there")
    require_same_run(tmp_path, config.replace(train=settings, data=moved))
    other = {  # what one more, or a little more, cannot be
        "epochs": {"epochs": 1, "steps": 0},
        "warmup_epochs": {"warmup_epochs": 0.5, "warmup_steps": 0},
        "warmup_lr": {"warmup_lr": 1e-9},
        "pooler_final_lr_fraction": {"pooler_final_lr_fraction": 0.5},
    }
    for name, changes in other.items():
        changed = config.replace(train=config.train.replace(**changes))
        with pytest.raises(ConfigError, match=f"train.{name} is "):
            require_same_run(tmp_path, changed)
    free = {part.rpartition(".")[2] for part in FREE}
    for name in sorted(set(config.train.to_dict()) - free - set(other)):
        value = getattr(config.train, name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 1e6:
            changed = (
                config.train.replace(**{name: value + (0.001 if value < 1 else 1)})
                if (isinstance(value, float) and name != "final_lr_fraction")
                else config.train.replace(**{name: 1 if name == "final_lr_fraction" else value + 1})
            )
            with pytest.raises(ConfigError, match=f"train.{name} is "):
                require_same_run(tmp_path, config.replace(train=changed))


def test_weights_that_an_update_ruined_are_never_kept(tiny_config, tiny_scenes, tmp_path):
    settings = tiny_config.train.replace(lr=1e38, warmup_steps=0, steps=1, checkpoint_every=0)
    with pytest.raises(NonFiniteWeightsError, match="not finite after update 1: backbone.*none"):
        run(tiny_config.replace(train=settings), tiny_scenes, tmp_path)
    assert list_checkpoints(tmp_path) == []
    assert not (tmp_path / "model.safetensors").exists()


def test_a_checkpoint_of_ruined_weights_is_not_the_last_good_one(stopped, tmp_path):
    folder = shutil.copytree(stopped, tmp_path / "run")
    before, latest = list_checkpoints(folder)
    assert last_good_checkpoint(folder) == latest
    weights = load_file(latest / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] = float("nan")
    save_file(weights, latest / "model.safetensors")
    record = read_json(latest / "checkpoint.json")
    record["sha256"]["model.safetensors"] = sha256(latest / "model.safetensors")
    write_json(latest / "checkpoint.json", record)
    assert last_good_checkpoint(folder) == before
