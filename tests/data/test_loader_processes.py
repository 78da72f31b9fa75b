"""What is told of a loader's process that died, whichever error its death meets first."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest
import torch

from bclip_core.data.loader_processes import LoaderProcessError, loader_deaths, watching_loader

SIGNALLED = "DataLoader worker (pid {}) is killed by signal: Killed. "
UNEXPECTED = "DataLoader worker (pid(s) {}) exited unexpectedly"


def read(error, death=lambda: None):
    """Reading a loader, where `death` happens and `error` is the first to meet it."""
    with loader_deaths():
        death()
        raise error


@pytest.fixture
def process():
    """A loader's process, as far as this process sees one."""
    with watching_loader():
        begun = multiprocessing.Process(target=time.sleep, args=(60,), daemon=True)
        begun.start()
    yield begun
    begun.kill()
    begun.join()


@pytest.mark.parametrize(
    "error",
    [
        lambda pid: RuntimeError(SIGNALLED.format(pid)),
        lambda pid: RuntimeError(UNEXPECTED.format(pid)),
        lambda _: ConnectionResetError(104, "Connection reset by peer"),  # handing a batch over
        lambda _: ConnectionRefusedError(111, "Connection refused"),
        lambda _: EOFError(),
    ],
)
def test_a_death_is_told_with_its_signal(process, error):
    with pytest.raises(LoaderProcessError) as told:
        read(error(process.pid), lambda: os.kill(process.pid, signal.SIGKILL))
    how = "killed by SIGKILL (out of memory?)"
    assert str(told.value).startswith(f"loader process {process.pid} ended: {how}; checkpoints")


def test_an_exit_code_is_told_too():
    with watching_loader():
        process = multiprocessing.Process(target=os._exit, args=(3,))
        process.start()
    error = RuntimeError(UNEXPECTED.format(process.pid))
    with pytest.raises(LoaderProcessError, match="ended: exit code 3;"):
        read(error, process.join)


@pytest.mark.parametrize("error", [ConnectionResetError("a server"), EOFError("a file")])
def test_a_broken_connection_elsewhere_stays_what_it_is(process, error):
    with pytest.raises(type(error)) as told:
        read(error)
    assert told.value is error


def test_another_error_stays_what_it_is_though_a_process_died(process):
    error = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError) as told:
        read(error, process.kill)
    assert told.value is error


@pytest.mark.parametrize("fails", ["first queue", "event", "second process", "thread"])
def test_a_loader_that_the_system_does_not_start_whole_is_ended_and_told(fails, monkeypatch):
    seen, calls = [], []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    owner, name, number = {
        "first queue": (torch.multiprocessing, "Queue", 1),
        "event": (torch.multiprocessing, "Event", 1),
        "second process": (os, "fork", 2),
        "thread": (threading.Thread, "start", 1),
    }[fails]
    real = getattr(owner, name)

    def called(*arguments):
        calls.append(arguments)
        if len(calls) < number:
            return real(*arguments)
        if fails == "thread":
            raise RuntimeError("can't start new thread")
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = multiprocessing.active_children()
    monkeypatch.setattr(owner, name, called)
    loader = torch.utils.data.DataLoader([1, 2, 3], num_workers=2)
    with pytest.raises(LoaderProcessError, match=r"no loader process can be started: (Reso|can't)"):
        with watching_loader():
            iter(loader)
    monkeypatch.setattr(owner, name, real)
    gc.collect()
    assert len(calls) == number
    assert seen == []
    assert sys.unraisablehook == seen.append, "others' errors are told as before"
    assert multiprocessing.active_children() == before


def test_another_error_at_the_start_of_a_loader_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"), watching_loader():
        raise RuntimeError("shapes do not fit")
