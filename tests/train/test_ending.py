"""How trainings end that are told to, that meet in one folder, or whose loader's process dies.

One story, because every process takes seconds to start: two are asked in the same instant to train
in one folder. One of them, here called the first, trains, and the second waits; the first gets
SIGTERM; the second goes on from there, until one of its loader's processes is killed.
"""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_json
from bclip_core.train import train
from bclip_core.train.resume import list_checkpoints, read_history
from tests.warm import WarmProcess

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
PATIENCE = 300  # seconds


def state_of(pid):
    """A process's state and parent; "-" where there is none."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "-", 0
    return state, int(parent)


def children(pid):
    """Process numbers of a process's children that live."""
    every = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [one for one in every if state_of(one)[1] == pid and state_of(one)[0] != "Z"]


def wait_for(what, *processes):
    ends = time.monotonic() + PATIENCE
    while not what():
        for process in processes:
            assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.02)


def updates(folder):
    return [record["update"] for record in read_history(folder / "history.jsonl")]


@pytest.fixture(scope="module")
def asked(tiny_config):
    """More updates than any of it lasts, and no checkpoint but one that is asked for."""
    settings = tiny_config.train.replace(steps=100_000, checkpoint_every=0, loader_workers=1)
    return tiny_config.replace(train=settings)


@pytest.fixture(scope="module")
def story(asked, tiny_scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    run, errors = folder / "run", [folder / "first.txt", folder / "second.txt"]
    write_json(folder / "config.json", asked.to_dict())
    arguments = ["--config", folder / "config.json", "--folder", run, "--device", "cpu"]
    arguments += ["--threads", "1"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    started = []
    try:
        for error in errors:
            with error.open("wb") as output:
                one = WarmProcess(
                    "bclip_core.train", arguments, env=environment, stderr=output.fileno()
                )
                started.append(one)
        # Whoever waits may look before the other has left its name, and says so again a second on.
        named = [f"waiting for {run}: in use by process {one.pid} on " for one in started]
        wait_for(lambda: any(who in e.read_text() for e in errors for who in named), *started)
        if named[0] not in errors[1].read_text():  # whichever came first
            started.reverse()
            errors.reverse()
        wait_for(lambda: len(updates(run)) >= 2, *started)
        found = {"run": run, "errors": errors}
        first, second = started
        found |= {"first": first.pid, "workers": children(first.pid)}
        first.send_signal(signal.SIGTERM)
        found["first code"] = first.wait(PATIENCE)
        found["left"] = [pid for pid in found["workers"] if state_of(pid)[0] not in "Z-"]
        kept = list_checkpoints(run)
        found |= {"kept": int(kept[0].name.removeprefix("update-")) if kept else 0}
        found["weights"] = load_file(kept[0] / "model.safetensors") if kept else {}
        wait_for(lambda: len(updates(run)) >= found["kept"] + 2 and children(second.pid), second)
        found["killed"] = children(second.pid)[0]
        os.kill(found["killed"], signal.SIGKILL)
        found["second code"] = second.wait(PATIENCE)
    finally:
        for process in started:
            process.kill()
            process.wait()
    return found


def test_sigterm_ends_it_with_a_checkpoint_one_line_and_143(story):
    assert story["first code"] == 143
    said = story["errors"][0].read_text().splitlines()
    kept = story["kept"]
    expected = f"{story['run']} goes on after update {kept} when asked for again"
    assert said[-1] == f"terminated (SIGTERM): {expected}"
    assert [line for line in said if "Traceback" in line or "Error" in line] == []
    assert kept >= 2


def test_that_checkpoint_has_the_bits_of_an_undisturbed_run(story, asked, tiny_scenes, tmp_path):
    alone = train(asked, tiny_scenes, tmp_path, device="cpu", progress=False,
                  stop_after=story["kept"]).state_dict()  # fmt: skip
    assert list(story["weights"]) != []
    assert [n for n, w in story["weights"].items() if not torch.equal(w, alone[n])] == []


def test_its_loaders_processes_end_with_it(story):
    assert len(story["workers"]) == 1
    assert story["left"] == []


def test_who_trains_in_the_same_folder_waits_and_says_for_whom(story):
    said = story["errors"][1].read_text().splitlines()
    said = [line for line in said if "another process" not in line]  # who has not left its name yet
    assert said[0].startswith(f"waiting for {story['run']}: in use by process {story['first']} on ")


def test_the_next_goes_on_where_it_ended(story):
    done = updates(story["run"])
    assert done == list(range(1, len(done) + 1))
    assert len(done) >= story["kept"] + 2


def test_a_killed_loader_process_is_told_with_its_signal(story):
    assert story["second code"] == 1
    said = story["errors"][1].read_text().splitlines()[-1]
    how = "killed by SIGKILL (out of memory?)"
    assert said.startswith(f"error: loader process {story['killed']} ended: {how}; checkpoints")
