"""Commands whose output is closed, has no reader any more, or cannot be written."""

import os
import subprocess
import sys

import pytest

from bclip_core.records import REPOSITORY

CODE = """
import os, sys
from contextlib import suppress
from bclip_core.records.processes import ends_on_request
path, code, lines, *both = sys.argv[1:]
with ends_on_request():
    try:
        file = open(path, "w")
        for number in range(int(lines)):
            print("a line", number)
            print("a line", number, file=sys.stderr if both else sys.stdout)
        with suppress(OSError):
            os.write(1, b"what other languages print")
        file.write("done")
        file.close()
    except OSError as error:
        sys.exit(f"error: {error}")
    sys.exit(int(code))
"""
MESSAGE = "standard output cannot be written: No space left on device"


def run(folder, code=0, *both, lines=3000, flags=(), **streams):
    """Exit code, lines of standard error, and what stands in the file that was to be written."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", CODE, str(folder / "file"), str(code), str(lines), *both],
        cwd=REPOSITORY, check=False, text=True, **{"stderr": subprocess.PIPE} | streams,
    )  # fmt: skip
    written = (folder / "file").read_text()
    return done.returncode, (done.stderr or "").splitlines(), written


@pytest.mark.parametrize("flags", [(), ("-u",)])
@pytest.mark.parametrize("code", [0, 3])
def test_work_goes_on_when_nobody_reads_what_it_prints(tmp_path, code, flags):
    reader, writer = os.pipe()
    os.close(reader)
    assert run(tmp_path, code, flags=flags, stdout=writer) == (code, [], "done")
    both = {"stdout": writer, "stderr": writer}
    assert run(tmp_path, code, "both", flags=flags, **both) == (code, [], "done")
    os.close(writer)


@pytest.mark.parametrize("closed", [(1,), (0, 1), (0, 1, 2)])
def test_a_closed_stream_takes_what_is_printed_and_no_file_gets_its_number(tmp_path, closed):
    def close():
        for number in closed:
            os.close(number)

    assert run(tmp_path, preexec_fn=close) == (0, [], "done")


@pytest.mark.parametrize("flags", [(), ("-u",)])
@pytest.mark.parametrize("lines", [3, 3000])
def test_output_that_is_lost_is_no_success(tmp_path, flags, lines):
    with open("/dev/full", "w") as full:
        code, told, _ = run(tmp_path, lines=lines, flags=flags, stdout=full)
    assert code == 1
    assert [MESSAGE in line for line in told] == [True]
