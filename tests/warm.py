"""Processes that begin with what takes seconds to import already imported.

A fresh interpreter needs five seconds of processor time for torch, open_clip and datasets, and the
tests and the notebooks need dozens of them. Here one process imports all of it, for all workers of
a pytest run, and forks whenever a module is to be run: the fork has the arguments, environment,
folder and output that were asked for, runs the module as `python -m` does, and ends as an
interpreter ends. What it does not show is that the module imports what it needs; tests that are
about starting have processes of their own.

pytest's own workers are such forks too.

As a program this file is one of:
    python tests/warm.py serve PID          the process that forks, as long as PID lives
    python tests/warm.py run PID MODULE …   stands for one fork: its signals, its exit code
    python tests/warm.py kernel PID FILE …  the same for a kernel, with the environment in FILE
    python tests/warm.py worker PID …       the same for a worker of pytest
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORTS = (
    "torch", "torchvision", "open_clip", "datasets", "accelerate", "scipy.stats", "statsmodels.api",
    "ipykernel.kernelapp", "ipywidgets", "tyro", "matplotlib.pyplot", "bclip_core.explorer",
    "bclip_core.studies.experiment", "bclip_core.train.loop", "bclip_core.evaluation.protocols",
    "bclip_core.reproduce.collection", "pytest", "hypothesis",
)  # fmt: skip
KERNEL = "ipykernel_launcher"
WATCHED = "BCLIP_TESTS_PID"
_BACKEND = "module://matplotlib_inline.backend_inline"  # what a kernel sets before all imports
_PATIENCE = 120  # seconds that the imports may take on a busy machine


def watched() -> int:
    """The process that outlives all who ask: pytest itself, also for its xdist workers."""
    return int(os.environ.get(WATCHED) or os.getpid())


def place(pid: int) -> Path:
    """The folder of the server that lives as long as `pid`."""
    folder = Path(tempfile.gettempdir()) / f"bclip-warm-{os.getuid()}-{pid}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder}: belongs to somebody else")
    return folder


def kernel_command(command, environment=None):
    """A kernel's command line, for a kernel that is forked: what follows `ipykernel_launcher`.

    Args:
        command: the usual one.
        environment: file of the kernel's environment (JSON); None is that of whoever starts it.
    """
    arguments = command[command.index(KERNEL) :]
    role = ["run", str(watched())]
    if environment:
        role = ["kernel", str(watched()), str(environment)]
    return [sys.executable, __file__, *role, *arguments]


def fork_command(module):
    """A command line that stands for `python -m module`: what follows it are its arguments."""
    return [sys.executable, __file__, "run", str(watched()), module]


def fork_workers(specs):
    """Let xdist's workers on this machine be forks, and tell them whom `watched` names.

    Args:
        specs: of the workers, as xdist's hook `pytest_xdist_setupnodes` gets them; changed.
    """
    os.environ[WATCHED] = pid = str(watched())
    for spec in specs:
        if spec.popen and not spec.python:
            spec.python = shlex.join([sys.executable, __file__, "worker", pid])


class WarmProcess:
    """One fork, as `subprocess.Popen` shows a process: `pid`, `poll`, `wait`, `send_signal`.

    Args:
        module: run as `python -m` runs it.
        arguments: what follows the module on the command line.
        env, cwd: as in `subprocess.Popen`; None is this process's.
        stdout, stderr: file descriptors; None is this process's.
        pid: see `watched`.

    Raises:
        TimeoutError: the imports took longer than two minutes.
    """

    def __init__(self, module, arguments=(), *, env=None, cwd=None, stdout=None, stderr=None,
                 pid=None):  # fmt: skip
        asked = {
            "argv": [module, *map(str, arguments)],
            "env": dict(os.environ if env is None else env),
            "cwd": str(cwd or Path.cwd()),
        }
        self.returncode = None
        self._server = connect(pid or watched())
        outputs = [0, 1 if stdout is None else stdout, 2 if stderr is None else stderr]
        message = json.dumps(asked).encode()
        size = len(message).to_bytes(4, "big")
        socket.send_fds(self._server, [size], outputs)
        self._server.sendall(message)
        self.pid = int.from_bytes(_read(self._server, 4), "big")

    def wait(self, timeout=None):
        """The exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it did not end within `timeout` seconds.
        """
        if self.returncode is None:
            if timeout is not None and not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            status = _read(self._server, 4)
            self._server.close()
            self.returncode = os.waitstatus_to_exitcode(int.from_bytes(status, "big"))
        return self.returncode

    def poll(self):
        """The exit code, or None as long as it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)

    def send_signal(self, kind):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, kind)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def _read(connection, size):
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise ConnectionError("the process that forks has ended")
        found += more
    return found


def connect(pid):
    """A connection to the server, which is started where there is none."""
    folder = place(pid)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in range(_PATIENCE * 20):
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(folder / "socket"))
            except OSError:
                connection.close()
            else:
                return connection
            if number == 0:
                _start(folder, pid)
            time.sleep(0.05)
    raise TimeoutError(f"{folder}: not ready after {_PATIENCE} s; see {folder / 'log'}")


def _start(folder, pid):
    (folder / "socket").unlink(missing_ok=True)
    command = [sys.executable, __file__, "serve", str(pid)]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("MPLBACKEND", None)  # each fork has its own
    with (folder / "log").open("wb") as log:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            start_new_session=True,
        )  # fmt: skip


class _Server:
    """Forks for who connects; tells each how its fork ended; kills the fork of who went away."""

    def __init__(self, pid):
        self.folder, self.pid, self.forks = place(pid), pid, {}
        self.listener = socket.socket(socket.AF_UNIX)

    def serve(self):
        """Returns in a fork only: the module to run."""
        for name in IMPORTS:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # or a fork would copy the pages of all this to collect it, at its end too
        self.listener.bind(str(self.folder / "socket"))
        self.listener.listen()
        woken, waker = os.pipe()
        for end in (woken, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while self._watched_lives():
            reading = [self.listener, woken, *self.forks.values()]
            for ready in select.select(reading, [], [], 1.0)[0]:
                if ready == woken:
                    os.read(woken, 4096)
                elif ready is not self.listener:
                    self._kill(ready)
                elif module := self._fork((woken, waker)):
                    return module
            self._tell_ends()
        for connection in list(self.forks.values()):
            self._kill(connection)
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()
        return None

    def _watched_lives(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _kill(self, connection):
        """Nobody writes to a connection once its fork runs: it can only have been closed."""
        [pid] = [pid for pid, one in self.forks.items() if one is connection]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.forks.pop(pid).close()

    def _tell_ends(self):
        for pid in list(self.forks):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self.forks.pop(pid) as connection, contextlib.suppress(OSError):
                    connection.sendall(status.to_bytes(4, "big"))

    def _fork(self, pipe):
        connection, _ = self.listener.accept()
        size, outputs, *_ = socket.recv_fds(connection, 4, 3)
        asked = json.loads(_read(connection, int.from_bytes(size, "big")))
        pid = os.fork()
        if pid:
            for number in outputs:
                os.close(number)
            self.forks[pid] = connection
            connection.sendall(pid.to_bytes(4, "big"))
            return None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (connection, self.listener, *self.forks.values()):
            other.close()
        for number, given in enumerate(outputs):
            os.dup2(given, number)
        for number in (*outputs, *pipe):
            os.close(number)
        os.setsid()
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        os.environ.pop("JPY_PARENT_PID", None)  # a kernel ends when its parent is another
        sys.argv = list(asked["argv"])
        backend = os.environ.get("MPLBACKEND") or (_BACKEND if sys.argv[0] == KERNEL else None)
        if backend:
            sys.modules["matplotlib"].rcParams["backend"] = backend
        return sys.argv[0]


def stand_for(pid, module, *arguments, env=None):
    """Start a fork, pass on to it what signals this process gets, and end as it ends."""
    process = WarmProcess(module, arguments, env=env, pid=int(pid))
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda number, _: process.send_signal(number))
    code = process.wait()
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other way to act
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "run":
        stand_for(*rest)
    if role == "kernel":
        pid, file, *command = rest
        stand_for(pid, *command, env=json.loads(Path(file).read_text()))
    if role == "worker":  # what follows would tell an interpreter what `tests.worker` does
        stand_for(rest[0], "tests.worker")
    sys.path[0] = ""  # as `python -m` has it; the fork's own folder
    module = _Server(int(rest[0])).serve()
    if module is not None:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
