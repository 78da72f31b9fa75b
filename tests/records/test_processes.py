"""Who works for another ends with it, and says what ended it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bclip_core.records import REPOSITORY
from bclip_core.records.processes import (
    PARENT_VARIABLE,
    TERMINATED,
    TerminatedError,
    end_asked,
    end_postponed,
    ends_on_request,
    how_it_ended,
    nothing_stays,
)

CHILD = (
    "import time\nfrom bclip_core.records.processes import end_with_caller\n"
    "end_with_caller()\ntime.sleep(120)"
)
PARENT = (
    "import os, subprocess, sys, time\n"
    f"os.environ[{PARENT_VARIABLE!r}] = str(os.getpid())\n"
    f"child = subprocess.Popen([sys.executable, '-c', {CHILD!r}])\n"
    "print(child.pid, flush=True)\ntime.sleep(120)"
)


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_killed_parent(kind):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    with parent:
        child = int(parent.stdout.readline())
        assert lives(child)
        parent.send_signal(kind)
    ends = time.monotonic() + 20
    while lives(child) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not lives(child)


def test_sigterm_ends_a_command_in_one_line(capsys):
    cleaned = []

    def work():
        try:
            with end_postponed():
                os.kill(os.getpid(), signal.SIGTERM)
                assert end_asked()  # and nothing is interrupted
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("not interrupted")
        finally:
            cleaned.append(True)

    with pytest.raises(SystemExit) as end, ends_on_request():
        work()
    assert end.value.code == TERMINATED == 143
    assert cleaned == [True]
    assert capsys.readouterr().err == "terminated (SIGTERM)\n"
    assert not end_asked()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_nobody_is_sent_to_a_folder_that_goes():
    with pytest.raises(TerminatedError) as end, nothing_stays():
        raise TerminatedError(": /tmp/x goes on after update 2 when asked for again")
    assert str(end.value) == ""


def test_an_end_is_told_in_words():
    assert how_it_ended(TERMINATED) == "ended by SIGTERM"
    assert how_it_ended(3) == "exit code 3"
    assert how_it_ended(-signal.SIGKILL) == "killed by SIGKILL (out of memory?)"
    assert how_it_ended(-signal.SIGTERM) == "killed by SIGTERM"


def postponed_then_interrupted(number):
    with end_postponed():
        os.kill(os.getpid(), number)
        assert end_asked()
    os.kill(os.getpid(), number)
    pytest.fail("not interrupted")


@pytest.mark.parametrize(
    ("kind", "told"), [("SIGINT", "interrupted (SIGINT)"), ("SIGHUP", "hung up (SIGHUP)")]
)
def test_whoever_waits_no_longer_ends_a_command_in_one_line(kind, told, capsys):
    number = signal.Signals[kind]
    before = signal.getsignal(number)
    signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as end, ends_on_request():
            postponed_then_interrupted(number)
    finally:
        signal.signal(number, before)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"{told}\n"
    assert how_it_ended(128 + number) == f"ended by {kind}"


def test_ctrl_c_twice_waits_for_no_update(capsys):
    def work():
        os.kill(os.getpid(), signal.SIGINT)
        assert end_asked()
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("not interrupted")

    with pytest.raises(SystemExit) as end, ends_on_request(), end_postponed():
        work()
    assert end.value.code == 130


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with ends_on_request():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
