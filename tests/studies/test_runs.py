"""Runs by configuration: made once, loaded afterwards, side by side in workers."""

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bclip_core import checkpoints
from bclip_core.config import BackboneConfig, ConfigError
from bclip_core.data.sources import load_split
from bclip_core.records.files import read_json
from bclip_core.records.locks import lock
from bclip_core.records.processes import PARENT_VARIABLE, TERMINATED, ends_on_request
from bclip_core.studies import runs as runs_module
from bclip_core.studies.runs import complete, obtain
from bclip_core.train import create_model, find, train
from bclip_core.train import run as run_module
from bclip_core.train.resume import list_checkpoints
from tests.warm import WarmProcess


@pytest.fixture
def config(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    train = tiny_config.train.replace(steps=2, checkpoint_every=1)
    return tiny_config.replace(method="clip-ft", train=train)


class WarmWorker(WarmProcess):
    """A worker that is forked, so that it is no child of this process, whose end it would be."""

    def __init__(self, command, *, stdout, stderr, env):
        own = {name: value for name, value in env.items() if name != PARENT_VARIABLE}
        output = stdout.fileno()
        super().__init__(command[2], command[3:], env=own, stdout=output, stderr=output)

    def __class_getitem__(cls, kind):
        return cls

    def terminate(self):
        self.send_signal(signal.SIGTERM)


@pytest.fixture
def warm_workers(monkeypatch):
    """Workers are forks with everything imported."""
    started = SimpleNamespace(**{**vars(subprocess), "Popen": WarmWorker})  # in that module alone
    monkeypatch.setattr(runs_module, "subprocess", started)


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_run_asked_for_again_is_loaded_not_trained(config):
    (run,) = obtain([config], progress=False)
    assert run.finished
    before = times(run.folder)
    told = []
    (again, _) = obtain([config, config], progress=False, finished=told.append)
    assert again == run
    assert told == [run], "also of a run that was there before"
    assert times(run.folder) == before
    assert [record["update"] for record in again.history()] == [1, 2]
    assert not list_checkpoints(run.folder), "of no use any more"
    loaded = train(config, load_split(config.data, "train"), run.folder, progress=False)
    assert times(run.folder) == before, "nor is it trained by whom asks the loop itself"
    for name, value in again.model().state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert "retrieval/global/long/t2i_R@1" in again.metrics()
    assert again.model().backbone.config == config.backbone


def test_a_run_that_is_trained_but_not_evaluated_is_only_evaluated(config):
    run = complete(find(config), progress=False)
    metrics = run.metrics()
    (run.folder / "metrics.json").unlink()
    before = times(run.folder)
    assert not run.finished
    complete(run, progress=False)
    assert run.metrics() == metrics
    assert {name: times(run.folder)[name] for name in before} == before


def test_clip_needs_no_training(config):
    run = complete(find(config.replace(method="clip")), progress=False)
    assert run.history() == []
    start = create_model(run.config).state_dict()
    for name, value in run.model().state_dict().items():
        assert torch.equal(value, start[name]), name


def test_the_key_changes_with_the_configuration(config):
    keys = [
        find(changed).folder.name
        for changed in (
            config,
            config.replace(loss=config.loss.replace(beta=0.25)),
            config.replace(train=config.train.replace(seed=1)),
            config.replace(data=config.data.replace(seed=1)),
        )
    ]
    assert len({key.rpartition("-")[2] for key in keys}) == 4
    assert [key.rpartition("-")[0] for key in keys] == ["clip-ft-s0"] * 2 + [
        "clip-ft-s1",
        "clip-ft-s0",
    ]
    assert find(type(config).from_dict(config.to_dict())).folder == find(config).folder


def test_a_new_field_with_a_default_changes_no_key(config, monkeypatch):
    before = find(config).folder
    whole = type(config).to_dict
    monkeypatch.setattr(type(config), "to_dict", lambda self: whole(self) | {"later": {"field": 1}})
    assert find(config).folder == before
    assert config.changes()["train"]["steps"] == 2
    assert "lr" not in config.changes()["train"]


def test_the_key_changes_with_weights_and_scenes(config, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped.safetensors"
    monkeypatch.setitem(checkpoints.SHIPPED, "scenes", shipped)
    started = config.replace(backbone=BackboneConfig("scene-tiny", pretrained="scenes"))
    keys = []
    for seed in range(2):
        torch.manual_seed(seed)
        checkpoints.save(checkpoints.build_model(BackboneConfig("scene-tiny"), None), shipped)
        keys += [find(started).folder.name, find(config).folder.name]
    assert keys[0] != keys[2]
    assert keys[1] == keys[3]
    monkeypatch.setattr(run_module, "SCENES_VERSION", run_module.SCENES_VERSION + 1)
    assert find(config).folder.name != keys[1]


def test_workers_train_as_this_process_does_and_a_failure_is_told(config, warm_workers):
    (own,) = obtain([config], progress=False)
    weights = (own.folder / "model.safetensors").read_bytes()
    own.folder.rename(own.folder.with_name("own"))
    failing = config.replace(train=config.train.replace(batch_size=10_000))
    told = []
    with pytest.raises(RuntimeError) as error:
        obtain([config, failing, config], workers=1, progress=False, finished=told.append)
    assert told == [find(config)], "before the next one failed"
    message = str(error.value)
    assert find(failing).folder.name in message
    assert "ValueError: batch_size=10000: expected <= 20" in message
    run = find(config)
    assert run.finished
    assert (run.folder / "model.safetensors").read_bytes() == weights
    assert run.metrics() == read_json(own.folder.with_name("own") / "metrics.json")
    assert not find(failing).finished


def workers_of_this_process():
    """Process numbers of the workers that `obtain` has started and that live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it has just gone
            continue
        if int(parent) == os.getpid() and state != "Z" and b"bclip_core.studies.runs" in command:
            found.append(int(folder.name))
    return found


def signal_when_it_works(kind, chosen):
    """Send a signal to the process that `chosen` picks of a worker, once there is one."""

    def send():
        ends = time.monotonic() + 60
        while not workers_of_this_process() and time.monotonic() < ends:
            time.sleep(0.01)
        os.kill(chosen(workers_of_this_process()[0]), kind)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_a_killed_worker_is_told_with_its_signal(config):
    thread = signal_when_it_works(signal.SIGKILL, lambda worker: worker)
    with pytest.raises(RuntimeError) as error:
        obtain([config], workers=1, progress=False)
    thread.join()
    how = "killed by SIGKILL (out of memory?)"
    assert str(error.value).startswith(f"run {find(config).folder.name} failed, {how}:")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_workers_end_with_whom_sigterm_asks_to_end(config, capsys):
    thread = signal_when_it_works(signal.SIGTERM, lambda _: os.getpid())
    with pytest.raises(SystemExit) as end, ends_on_request():
        obtain([config], workers=1, progress=False)
    thread.join()
    assert end.value.code == TERMINATED
    assert capsys.readouterr().err.splitlines()[-1] == "terminated (SIGTERM)"
    assert workers_of_this_process() == []


def test_a_setting_that_nothing_reads_is_refused_before_any_run_is_trained(config):
    unread = config.replace(loss=config.loss.replace(beta=0.75))
    other = config.replace(train=config.train.replace(seed=7))
    with pytest.raises(ConfigError, match=r"loss.beta=0.75: not read by method 'clip-ft'"):
        obtain([other, unread], progress=False)
    assert not find(other).folder.exists()


def test_nothing_asked_is_nothing_done(config, tmp_path):
    assert obtain([], workers=2, progress=False) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("workers", [-1, 1.5, "2", True])
def test_a_number_of_workers_is_a_number(config, workers):
    with pytest.raises(ConfigError, match=rf"workers={workers!r}: expected a whole number"):
        obtain([config], workers=workers, progress=False)


def test_a_split_that_there_is_not_is_refused_before_any_work(config):
    with pytest.raises(ConfigError, match="split='dev': expected one of test, validation"):
        obtain([config], progress=False, split="dev")
    assert not find(config).folder.exists()


def test_whoever_asks_for_a_run_that_another_trains_is_told_and_gets_it(
    config, warm_workers, capfd
):
    with ThreadPoolExecutor(1) as pool:
        with lock(find(config).folder):
            asked = pool.submit(obtain, [config], workers=1, progress=False)
            log = find(config).folder / f".worker.{os.getpid()}.log"
            ends = time.monotonic() + 120
            while not (log.is_file() and "waiting" in log.read_text()):
                if asked.done():
                    asked.result()
                assert time.monotonic() < ends, log.read_text() if log.is_file() else "no log"
                time.sleep(0.1)
            time.sleep(1.5)
        assert asked.result()[0].finished
    said = f"run {find(config).folder.name}: waiting for {find(config).folder}: in use by process "
    assert said + str(os.getpid()) in capfd.readouterr().err
    assert (find(config).folder / "worker.log").is_file()
    assert not log.exists()
