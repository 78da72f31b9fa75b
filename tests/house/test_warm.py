"""A forked process has what was asked for and ends as one that was started."""

import os
import signal
import subprocess
import time

import pytest

from tests.warm import WATCHED, WarmProcess, fork_command, fork_workers, watched

TELL = """
import multiprocessing, os, signal, sys, time
assert __name__ == "__main__"
print(sys.argv[1:], os.getcwd(), os.environ.get("ASKED"), "torch" in sys.modules, flush=True)
print(os.getpgid(0) == os.getpid(), multiprocessing.active_children(), flush=True)
{end}
"""
ENDS = {
    "sys.exit(3)": 3,
    "raise ValueError('bad')": 1,
    "": 0,
    "time.sleep(100)": -signal.SIGTERM,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_fork_is_run_and_ends_as_python_m_does(tmp_path, end):
    (tmp_path / "told.py").write_text(TELL.format(end=end))
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = WarmProcess(
            "told", ["a", 1], env=os.environ | {"ASKED": "yes"}, cwd=tmp_path,
            stdout=out.fileno(), stderr=err.fileno(),
        )  # fmt: skip
    if ENDS[end] < 0:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert process.poll() is None
        process.send_signal(-ENDS[end])
    assert process.wait(60) == ENDS[end] == process.poll()
    first, second = (tmp_path / "out").read_text().splitlines()
    assert first == f"['a', '1'] {tmp_path} yes True"
    assert second == "True []"
    said = (tmp_path / "err").read_text()
    assert said.endswith("ValueError: bad\n") if "raise" in end else said == ""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_who_goes_away_takes_its_fork_along(tmp_path):
    (tmp_path / "told.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(100)"
    )
    with subprocess.Popen(fork_command("told"), cwd=tmp_path, stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        os.kill(pid, 0)
        process.kill()
    ends = time.monotonic() + 60
    while os.path.isdir(f"/proc/{pid}") and time.monotonic() < ends:
        time.sleep(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_stand_in_ends_as_its_fork_does(tmp_path):
    (tmp_path / "told.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert subprocess.run(fork_command("told"), cwd=tmp_path).returncode == -signal.SIGKILL


def test_workers_of_pytest_are_forks_that_know_for_whom_and_end_when_asked(monkeypatch):
    execnet = pytest.importorskip("execnet", reason="pytest-xdist is not installed")
    monkeypatch.setenv(WATCHED, str(watched()))
    specs = [execnet.XSpec(f"popen//id={name}") for name in ("one", "two")]
    fork_workers(specs)
    group = execnet.Group(execmodel="main_thread_only")
    workers = [group.makegateway(spec) for spec in specs]
    ask = (
        "import os, sys\nfrom tests.warm import watched\n"
        "channel.send((os.getpid(), watched(), 'torch' in sys.modules))"
    )
    told = [worker.remote_exec(ask).receive(60) for worker in workers]
    assert [rest for _, *rest in told] == [[watched(), True]] * 2
    group.terminate(60)
    for pid, *_ in told:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
