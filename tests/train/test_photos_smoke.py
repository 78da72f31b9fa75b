"""The smallest experiment on photographs, whole, within the time and memory that it may take."""

import os
import subprocess
import sys

import pytest

from bclip_core.data.real.photographs import MissingPhotographsError, photographs, picture
from bclip_core.records import REPOSITORY
from bclip_core.train.resume import read_history

SECONDS = 180 * 2  # of two cores for three minutes
MEMORY = 5_000_000  # kilobytes


def test_three_updates_on_the_sample_photographs_are_bounded(tmp_path):
    try:
        for one in photographs():
            picture(one)
    except MissingPhotographsError as missing:
        pytest.skip(str(missing))
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "bclip_core.train", "--profile", "photos-smoke"]
    command += ["--method", "clip-ft", "--folder", str(folder), "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (tmp_path / "log").read_text(errors="replace")[-2000:]
    assert usage.ru_utime + usage.ru_stime < SECONDS
    assert usage.ru_maxrss < MEMORY
    assert [record["update"] for record in read_history(folder / "history.jsonl")] == [1, 2, 3]
    assert (folder / "model.safetensors").is_file()
