"""Runs by configuration: asked for a second time, a run is loaded, not trained again.

A run lives in `results/runs/<method>-s<seed>-<key>/`. Its key covers those fields of the
configuration that differ from the defaults, so that a new field leaves the keys of earlier runs as
they are, and what the run silently depends on: the shipped weights it starts from and the version
of the scenes. What a run on photographs was trained and measured on is kept in its folder, by
SHA-256: with other training data it is refused, on other test data it is measured again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import datasets

from bclip_core.checkpoints.own import WEIGHTS
from bclip_core.config import ConfigError, DataConfig, RunConfig
from bclip_core.data.sources import load_split
from bclip_core.evaluation.held_out import HeldOut
from bclip_core.evaluation.protocols import scenes
from bclip_core.model import get_method
from bclip_core.records.files import read_json, write_json
from bclip_core.records.locks import lock
from bclip_core.records.machine import default_device
from bclip_core.records.processes import (
    PARENT_VARIABLE,
    end_with_caller,
    ends_on_request,
    how_it_ended,
)
from bclip_core.records.progress import progress_bar
from bclip_core.records.results import code_version, require_runs_folder
from bclip_core.train import train
from bclip_core.train.memory import KERNEL_CACHES
from bclip_core.train.resume import CHECKPOINTS
from bclip_core.train.run import EVALUATED, MEASURED_ON, Run, find

_PATIENCE = 10  # seconds that a worker has to end in


class Data:
    """What runs are trained and measured on: of runs that share a data set it is read once.

    Args:
        split: that they are measured on.
    """

    def __init__(self, split: str = "test") -> None:
        self.split = split
        self._rows = dict[DataConfig, datasets.Dataset]()
        self._held_out = dict[DataConfig, HeldOut]()

    def rows(self, config: DataConfig) -> datasets.Dataset:
        """To train on; errors as `load_split`."""
        if config not in self._rows:
            self._rows[config] = load_split(config, "train")
        return self._rows[config]

    def held_out(self, config: DataConfig) -> HeldOut:
        """Of photographs, to measure on; errors as `HeldOut.load`."""
        if config not in self._held_out:
            self._held_out[config] = HeldOut.load(config, self.split)
        return self._held_out[config]


def complete(run: Run, progress: bool = True, split: str = "test", data: Data | None = None) -> Run:
    """Train and evaluate a run, as far as that is not done yet.

    Checkpoints are taken away once the metrics are written.

    Two processes that ask for one run at a time (notebooks side by side) wait for each other.

    Args:
        run: any.
        progress: show a progress bar.
        split: "test" for all metrics, "validation" for `scenes.validate`.
        data: of that split; None reads it here.

    Raises:
        ConfigError: photographs cannot be read or have no such split, before any training.
    """
    data = data or Data(split)
    run.require_same_data(lambda: data.rows(run.config.data))
    held_out = _held_out(run, data)
    if run.has(split):
        return run
    code_version()  # of the code that trains, before somebody edits it meanwhile
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(run.folder):
        if not (run.folder / WEIGHTS).is_file():
            train(run.config, data.rows(run.config.data), run.folder, progress=progress)
        if not run.has(split):
            _evaluate(run, split, held_out)
        # six times the model's size, of use only to go on with training that is over
        shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
    return run


def _held_out(run: Run, data: Data) -> HeldOut | None:
    """What a run on photographs is measured on, read before it is trained; None for scenes.

    Metrics of other test data than those that lie there now are put aside, which is said.

    Raises:
        ConfigError: the data cannot be read or have no such split, and the run needs them.
    """
    split = data.split
    if run.config.data.name == "scenes":
        return None
    try:
        found = data.held_out(run.config.data)
    except ConfigError as error:
        if not run.has(split):
            raise
        print(f"run {run.folder.name}: whether its test data have changed is not known: {error}")
        return None
    if run.has(split) and run.measured_on().get("data") != found.identity():
        print(f"run {run.folder.name}: measured on other data before, and so measured again")
        (run.folder / EVALUATED[split]).unlink()
    return found


def _evaluate(run: Run, split: str, held_out: HeldOut | None) -> None:
    """Write the metrics of a trained run; those of photographs with what they were measured on."""
    if held_out is None:
        measure = scenes.evaluate if split == "test" else scenes.validate
        metrics = run.measured(measure, split)
    else:
        print(held_out.told)
        metrics, record = held_out.measure(run.model().to(default_device()))
        write_json(run.folder / MEASURED_ON, record)
    write_json(run.folder / EVALUATED[split], metrics)


def obtain(
    configs: Sequence[RunConfig],
    *,
    workers: int = 0,
    progress: bool = True,
    split: str = "test",
    finished: Callable[[Run], None] | None = None,
) -> list[Run]:
    """All runs, trained where they are missing.

    Args:
        configs: one per run.
        workers: so many processes of one thread each side by side; 0 trains in this process.
        progress: show progress bars.
        split: what they are evaluated on, see `complete`.
        finished: called with each run once it is there, those that were there before first.

    Raises:
        ConfigError: no such split or number of workers, a run that is to be trained has a setting
            that its method does not read, or photographs to train or to measure on cannot be read.
        RuntimeError: a worker failed; the message says how and ends with its last lines.
    """
    if type(workers) is not int or workers < 0:
        raise ConfigError(f"workers={workers!r}: expected a whole number, >= 0")
    runs, data = [find(config) for config in configs], Data(split)
    for run in runs:
        run.require_same_data(partial(data.rows, run.config.data))
        _held_out(run, data)
    missing = {run.folder: run for run in runs if not run.has(split)}
    if missing:
        require_runs_folder()
    for run in missing.values():
        if not (run.folder / WEIGHTS).is_file():
            get_method(run.config.method).check(run.config)
    for run in missing.values():  # built here once, not by every worker
        data.rows(run.config.data)
        if run.config.data.name == "scenes":
            load_split(run.config.data, split)
    tell = finished or (lambda _: None)
    for run in {run.folder: run for run in runs if run.folder not in missing}.values():
        tell(run)
    if not workers:
        for run in missing.values():
            tell(complete(run, progress, split, data))
    else:
        _complete_in_workers(list(missing.values()), workers, progress, split, tell)
    return runs


def _complete_in_workers(
    runs: list[Run], workers: int, progress: bool, split: str, finished: Callable[[Run], None]
) -> None:
    waiting, active, told = list(runs), dict[Path, subprocess.Popen[bytes]](), set[str]()
    by_folder, total = {r.folder: r for r in runs}, sum(r.config.planned_updates for r in runs)
    bar = progress_bar(total=total, desc=f"{len(runs)} runs", progress=progress and bool(runs))
    try:
        while waiting or active:
            while waiting and len(active) < workers:
                run = waiting.pop(0)
                active[run.folder] = _start_worker(run, split)
            time.sleep(0.5)
            for folder, process in list(active.items()):
                ended = process.poll() is not None
                log = _log(folder).read_text("utf-8", "replace")
                for line in set(re.findall("^waiting for .*", log, re.MULTILINE)) - told:
                    told.add(line)
                    print(f"run {folder.name}: {line}", file=sys.stderr, flush=True)
                if ended:
                    del active[folder]
                    os.replace(_log(folder), folder / "worker.log")
                    if process.returncode:
                        how = how_it_ended(process.returncode)
                        raise RuntimeError(f"run {folder.name} failed, {how}:\n{log[-2000:]}")
                    finished(by_folder[folder])
            bar.n = sum(len(run.history()) * run.config.train.log_every for run in runs)
            bar.refresh()
    finally:
        bar.close()
        for process in active.values():
            process.terminate()
        for process in active.values():
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for folder in active:
            with suppress(OSError):
                os.replace(_log(folder), folder / "worker.log")


def _log(folder: Path) -> Path:
    """What this process's worker says; another process may have one of the same run."""
    return folder / f".worker.{os.getpid()}.log"


def _start_worker(run: Run, split: str) -> subprocess.Popen[bytes]:
    run.folder.mkdir(parents=True, exist_ok=True)
    write_json(run.folder / "request.json", run.config.to_dict())
    command = [
        sys.executable,
        "-m",
        "bclip_core.studies.runs",
        str(run.folder / "request.json"),
        split,
    ]
    # Batches of ever new lengths fill the caches of kernels: a worker had grown to 2.6 GB after 15
    # updates; with a small cache of oneDNN's it had 2.1 GB.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"} | KERNEL_CACHES
    environment |= {PARENT_VARIABLE: str(os.getpid())}
    with _log(run.folder).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


if __name__ == "__main__":
    end_with_caller()
    with ends_on_request():
        if len(sys.argv) != 3:
            raise SystemExit(f"{sys.argv[1:]}: expected REQUEST SPLIT; `obtain` starts this")
        request, part = sys.argv[1:]
        complete(find(RunConfig.from_dict(read_json(Path(request)))), progress=False, split=part)
