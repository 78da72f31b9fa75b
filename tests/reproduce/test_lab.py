"""Notebooks are opened as copies: git stays clean, and nobody's changes are lost."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

from bclip_core.records import REPOSITORY
from bclip_core.reproduce import lab
from bclip_core.reproduce.notebooks import NOTEBOOKS


def test_copies_are_kept_and_missing_ones_made(tmp_path):
    new = lab.copy_notebooks(tmp_path / "lab")
    assert {path.name for path in new} == {
        path.name for path in NOTEBOOKS.iterdir() if path.suffix in (".ipynb", ".md")
    }
    first = tmp_path / "lab" / lab.FIRST
    assert first.read_bytes() == (NOTEBOOKS / lab.FIRST).read_bytes()
    first.write_text("changed by its reader")
    (tmp_path / "lab" / "README.md").unlink()
    assert [path.name for path in lab.copy_notebooks(tmp_path / "lab")] == ["README.md"]
    assert first.read_text() == "changed by its reader"


def test_git_ignores_the_copies_and_their_links_lead_somewhere():
    copied = str(lab.LAB / lab.FIRST)
    asked = subprocess.run(["git", "-C", str(REPOSITORY), "check-ignore", "-q", copied])
    assert asked.returncode == 0, f"{copied} would be committed"
    for path in NOTEBOOKS.glob("[0-9]*.ipynb"):
        for link in re.findall(r"\]\((\.\./[^)#]*)", path.read_text("utf-8")):
            assert (lab.LAB / link).resolve().exists(), f"{path.name}: {link}"


def test_jupyter_is_opened_on_a_copy(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lab, "LAB", tmp_path / "lab")
    monkeypatch.setattr(lab, "copy_notebooks", lambda: [])
    (tmp_path / "lab").mkdir()
    assert lab.main(["--version"]) == 0, "JupyterLab answers, and opens nothing"
    assert "0 new copies" in capsys.readouterr().out


def test_a_signal_ends_jupyter_with_the_command(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(lab, "LAB", tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def ask():
        while signal.getsignal(signal.SIGTERM) is before:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()
    waits = [sys.executable, "-c", "import time; time.sleep(99)"]
    assert lab._run(waits) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert capfd.readouterr().err == ""
