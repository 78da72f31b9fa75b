"""One writer at a time; who waits says for whom; a killed holder leaves no lock."""

import errno
import json
import multiprocessing
import os
import socket
import threading
from pathlib import Path

import pytest

from bclip_core.records.locks import holder, lock

CONTEXT = multiprocessing.get_context("spawn")


def hold(path, taken, leave):
    with lock(path):
        taken.set()
        leave.wait(60)


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    taken, leave = CONTEXT.Event(), CONTEXT.Event()
    process = CONTEXT.Process(target=hold, args=(tmp_path / "run.v1", taken, leave))
    process.start()
    assert taken.wait(60)
    yield process, leave
    process.kill()
    process.join()


def test_who_waits_says_for_whom_and_goes_on(other, tmp_path, capsys):
    process, leave = other
    threading.Timer(0.5, leave.set).start()
    with lock(tmp_path / "run.v1"):
        assert holder(tmp_path / "run.v1").startswith(f"process {os.getpid()} on ")
    said = capsys.readouterr().err
    assert f"waiting for {tmp_path / 'run.v1'}: in use by process {process.pid} on " in said
    assert " since 20" in said
    assert [path.suffix for path in tmp_path.iterdir()] in ([".lock"], [])


def test_a_killed_holder_leaves_no_lock(other, tmp_path, capsys):
    other[0].kill()
    other[0].join()
    with lock(tmp_path / "run.v1"), lock(tmp_path / "run.v1"):  # and the same thread may ask again
        pass
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"run\.lock cannot be locked"), lock(tmp_path / "file/run"):
        pass


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="writes to /proc, which nobody can")
def test_where_no_lock_can_be_made_nobody_waits_for_it():
    with pytest.raises(OSError, match=r"/proc/run\.lock cannot be locked"), lock(Path("/proc/run")):
        pass


def test_a_folder_in_the_place_of_the_lock_is_named(tmp_path):
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(OSError, match=r"run\.lock cannot be locked"), lock(tmp_path / "run"):
        pass


def test_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="loop/run: Too many levels") as error:
        with lock(tmp_path / "loop" / "run"):
            pass
    assert error.value.errno == errno.ELOOP


def test_a_holder_that_is_gone_is_called_so(tmp_path):
    who = {"pid": 2**30, "host": socket.gethostname(), "since": "then"}
    (tmp_path / "run.lock.holder").write_text(json.dumps(who))
    assert holder(tmp_path / "run").endswith("which has ended: a process that it started has not")
