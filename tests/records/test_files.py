"""Files: whatever goes wrong while one is written, the previous one stays whole."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bclip_core.records import REPOSITORY
from bclip_core.records.files import (
    folder_of,
    make_folder,
    naming,
    read_json,
    read_record,
    sha256,
    what_to_do,
    write_atomically,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_half_way(path):
    path.write_text("half")
    raise RuntimeError("power cut")


def test_a_failed_write_leaves_the_previous_file_and_nothing_else(tmp_path):
    target = write_atomically(tmp_path / "a.txt", lambda path: path.write_text("whole"))
    with pytest.raises(RuntimeError, match="power cut"):
        write_atomically(target, fail_half_way)
    assert target.read_text() == "whole"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_folder_leaves_the_previous_folder(tmp_path):
    def write(path, text):
        path.mkdir()
        (path / "part").write_text(text)
        if text == "bad":
            raise RuntimeError("power cut")

    target = write_atomically(tmp_path / "kept", lambda path: write(path, "good"))
    with pytest.raises(RuntimeError, match="power cut"):
        write_atomically(target, lambda path: write(path, "bad"))
    assert (target / "part").read_text() == "good"
    write_atomically(target, lambda path: write(path, "better"))
    assert (target / "part").read_text() == "better"
    assert names(tmp_path) == ["kept"]


def test_a_disk_that_takes_no_more_leaves_the_previous_file(tmp_path):
    target = write_json(tmp_path / "a.json", {"size": "small"})
    before = target.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            write_json(target, {"size": "x" * (1 << 20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == before
    assert names(tmp_path) == ["a.json"]


def test_a_kill_while_writing_leaves_the_previous_file(tmp_path):
    target = write_json(tmp_path / "a.json", {"version": 1})
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from bclip_core.records.files import write_atomically\n"
        "def write(path):\n"
        "    path.write_text('{')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
        "write_atomically(Path(sys.argv[1]), write)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(target)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    with process:
        assert process.stdout.readline() == "writing\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert read_json(target) == {"version": 1}
    assert read_json(write_json(target, {"version": 2})) == {"version": 2}


def test_a_file_is_complete_before_it_gets_its_name(tmp_path):
    target = tmp_path / "new" / "a.txt"

    def write(path):
        path.write_text("whole")
        assert not target.exists()
        assert path.parent == target.parent

    assert write_atomically(target, write).read_text() == "whole"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": [value]})
    assert names(tmp_path) == []


def test_json_is_sorted_and_readable(tmp_path):
    path = write_json(tmp_path / "a.json", {"β": 0.5, "a": [1, None]})
    assert path.read_text(encoding="utf-8") == '{\n "a": [\n  1,\n  null\n ],\n "β": 0.5\n}\n'
    assert read_json(path) == {"a": [1, None], "β": 0.5}


def test_broken_json_names_file_and_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(ValueError, match=r"a\.json: broken JSON at line 2"):
        read_json(path)


def test_sha256_is_that_of_the_content(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\x00" * 5000)
    assert sha256(path) == hashlib.sha256(b"\x00" * 5000).hexdigest()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_get_the_permissions_of_the_umask(tmp_path, mask, mode):
    def for_the_owner(path):
        path.write_text("weights")
        path.chmod(0o600)

    before = os.umask(mask)
    try:
        path = write_atomically(tmp_path / "a", for_the_owner)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_a_full_disk_is_named_and_what_to_do(tmp_path):
    with pytest.raises(OSError, match="a cannot be written: No space left") as found:  # noqa: SIM117
        with naming(tmp_path / "a"):
            raise OSError(28, "No space left on device")
    assert what_to_do(found.value).startswith("; free some space")
    with pytest.raises(FileNotFoundError) as kept, naming(tmp_path / "a"):
        (tmp_path / "missing").read_bytes()
    assert kept.value.filename == str(tmp_path / "missing")
    assert what_to_do(ValueError("x")) == ""


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file") as found:
            make_folder(path)
        assert "$BCLIP_RUNS" in what_to_do(found.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"[1]", b'{"a": 1}', b"{"])
def test_broken_records_are_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json: "):
        read_record(tmp_path / "a.json", "values")


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), r"values\.metrics\[1\]\.r=nan"),
        (float("-inf"), r"values\.metrics\[1\]\.r=-inf"),
        (Path("x"), r"values\.metrics\[1\]\.r=PosixPath\('x'\)"),
        ({1, 2}, r"values\.metrics\[1\]\.r=\{1, 2\}"),
        ({"a": [object]}, r"values\.metrics\[1\]\.r\.a\[0\]=<class 'object'>"),
        ({(1, 2): 3}, "keys must be str"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(tmp_path, value, place):
    path = write_json(tmp_path / "a.json", {"good": 1})
    with pytest.raises(ValueError, match=rf"a\.json: {place}.*: expected finite numbers"):
        write_json(path, {"values": {"metrics": [{"r": 1.0}, {"r": value}]}})
    assert read_json(path) == {"good": 1}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_not_read_as_one(tmp_path, number):
    (tmp_path / "a.json").write_text(f'{{"values": {number}}}')
    with pytest.raises(ValueError, match=rf"a\.json: {number} is no JSON"):
        read_record(tmp_path / "a.json", "values")


def test_a_mark_of_the_encoding_is_no_part_of_json(tmp_path):
    (tmp_path / "a.json").write_text('{"values": "é"}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == {"values": "é"}


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 0, "a": 1}}]'])
def test_a_field_that_is_there_twice_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json: field 'a' twice: expected it once"):
        read_json(tmp_path / "x.json")


def test_a_pipe_or_a_device_in_the_place_of_a_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait for ever
    (tmp_path / "zero.json").symlink_to("/dev/zero")  # and this one fill the memory
    for name in ("pipe", "zero"):
        with pytest.raises(ValueError, match=rf"{name}\.json: expected a file"):
            read_json(tmp_path / f"{name}.json")


@pytest.mark.parametrize("given", ["", "  ", None])
def test_a_blank_variable_names_no_folder(monkeypatch, given):
    monkeypatch.delenv("BCLIP_X", raising=False)
    if given is not None:
        monkeypatch.setenv("BCLIP_X", given)
    assert folder_of("BCLIP_X") is None


def test_a_folder_of_a_variable_is_below_the_repository_wherever_one_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for given in ("some where", "{x}/é", "./a"):
        monkeypatch.setenv("BCLIP_X", given)
        assert folder_of("BCLIP_X") == REPOSITORY / given
    monkeypatch.setenv("BCLIP_X", "~nobody_at_all/x")
    with pytest.raises(FileNotFoundError, match=r"\$BCLIP_X: .*~nobody_at_all/x"):
        folder_of("BCLIP_X")


def test_a_folder_of_a_variable_has_a_name_that_every_library_can_write(monkeypatch):
    monkeypatch.setitem(os.environ, "BCLIP_X", "/tmp/caf\udce9")
    with pytest.raises(
        OSError, match=r"\$BCLIP_X='/tmp/caf.udce9': expected a folder whose name i"
    ):
        folder_of("BCLIP_X")


def test_what_cannot_be_written_is_named_and_not_its_temporary(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/x cannot be written"):
        write_atomically(tmp_path / "file" / "x", lambda path: path.write_text(""))
