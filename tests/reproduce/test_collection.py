"""The runner of the collection, on small notebooks made here and executed by real kernels."""

import ast
import os
import signal
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import bclip_core
from bclip_core.records.processes import ends_on_request
from bclip_core.reproduce import collection as reproduce
from bclip_core.reproduce import notebooks
from bclip_core.reproduce.notebooks import NotebookError

PARAMETERS = 'profile: str = "smoke"  # smoke | cpu | gpu\nsteps: int = 3\nlr: float = 0.1\n'


def write_notebook(path: Path, *sources: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a parameters cell and code cells, not yet executed."""
    cells = [nbformat.v4.new_code_cell(parameters, id="p", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(s, id=f"c{i}") for i, s in enumerate(sources)]
    kernelspec = {"name": "elsewhere", "display_name": "someone's environment"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    nbformat.write(notebook, path)
    return path


def printed(notebook: NotebookNode) -> str:
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    return "".join(o.get("text", "") for c in cells for o in c.outputs)


def test_collection_runs_in_order_with_the_parameters_given(tmp_path, capsys):
    environment = (
        "import os, sys\nfrom pathlib import Path\nimport bclip_core\n"
        "print(sys.executable, Path(bclip_core.__file__).parent, Path.cwd(), sep='\\n')\n"
        "Path('seen').write_text(profile)"
    )
    write_notebook(tmp_path / "02_read_it.ipynb", "print(open('seen').read(), steps, lr)")
    write_notebook(tmp_path / "01_write_it.ipynb", environment)

    found = reproduce.run_collection(
        "cpu",
        parameters={"steps": "5", "lr": 1},
        notebooks=tmp_path,
        executed=tmp_path / "executed",
    )

    copies = list(found)
    assert [p.name for p in copies] == ["01_write_it.ipynb", "02_read_it.ipynb"]
    assert all(seconds > 0 for seconds in found.values())
    assert printed(notebooks.read_notebook(copies[0])).split() == [
        sys.executable,
        str(Path(bclip_core.__file__).parent),
        str(tmp_path),
    ]
    assert printed(notebooks.read_notebook(copies[1])).split() == ["cpu", "5", "1.0"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["01_write_it", "02_read_it"]
    assert all(line.endswith(" s") for line in lines)


def test_a_failure_names_notebook_cell_and_error_and_keeps_the_copy(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path / "01_fail_here.ipynb", "print('so far')", "1 / 0", "print('never')")
    untouched = write_notebook(tmp_path / "02_never_run.ipynb", "print('never')")
    committed = (tmp_path / "01_fail_here.ipynb").read_bytes()
    monkeypatch.setattr(reproduce, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(reproduce, "EXECUTED", tmp_path / "executed")

    assert reproduce.main(["--profile", "smoke", "--in-place"]) == 1

    message = capsys.readouterr().err
    assert "01_fail_here.ipynb" in message
    assert "cell [3]" in message
    assert "ZeroDivisionError: division by zero" in message
    copy = tmp_path / "executed" / "smoke" / "01_fail_here.ipynb"
    assert "so far" in printed(notebooks.read_notebook(copy))
    assert (tmp_path / "01_fail_here.ipynb").read_bytes() == committed
    assert not (copy.parent / untouched.name).exists()


def test_a_dead_kernel_is_named_too(tmp_path):
    path = write_notebook(tmp_path / "01_die_now.ipynb", "import os\nos._exit(3)")
    with pytest.raises(NotebookError, match=r"01_die_now.ipynb, cell 1 of 2: the kernel died"):
        notebooks.execute(path, tmp_path / "copy.ipynb")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_a_signal_ends_the_kernel_in_one_line_and_the_copy_is_whole(tmp_path, capfd):
    noted, output = tmp_path / "noted", tmp_path / "copy.ipynb"
    work = f"import os, time\nopen({str(noted)!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)"
    path = write_notebook(tmp_path / "01_wait_long.ipynb", "print('so far')", work)

    def ask():
        while not (noted.exists() and noted.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()
    with pytest.raises(SystemExit) as end, ends_on_request():
        notebooks.execute(path, output)
    assert end.value.code == 143
    assert capfd.readouterr().err == "terminated (SIGTERM)\n"
    assert not Path("/proc", noted.read_text()).exists()
    assert "so far" in printed(notebooks.read_notebook(output))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # nbclient's loop takes it away


def test_in_place_twice_gives_the_same_clean_bytes(tmp_path):
    work = (
        "import matplotlib.pyplot as plt\nfrom ipywidgets import IntSlider\n"
        "plt.plot([1, 2])\nplt.show()\nIntSlider()"
    )
    path = write_notebook(tmp_path / "01_draw_it.ipynb", work)
    notebooks.execute_in_place(path, tmp_path / "copy.ipynb")
    first = path.read_bytes()
    notebooks.execute_in_place(path, tmp_path / "copy.ipynb")
    assert path.read_bytes() == first

    raw, cleaned = notebooks.read_notebook(tmp_path / "copy.ipynb"), notebooks.read_notebook(path)
    assert "widgets" in raw.metadata
    assert "widgets" not in cleaned.metadata
    assert cleaned.metadata.kernelspec.name == "python3"
    assert [c.execution_count for c in cleaned.cells] == [1, 2]
    assert [c.id for c in cleaned.cells] == ["p", "c0"]
    assert {k for c in cleaned.cells for k in c.metadata} == {"tags"}
    kinds = [set(o.data) for o in cleaned.cells[1].outputs]
    assert {"image/png", "text/plain"} in kinds
    assert {"text/plain"} in kinds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stepz": 3}, r"01_a_b.ipynb: unknown parameters \['stepz'\]: expected .*profile, steps"),
        ({"steps": "1.5"}, "steps='1.5': expected int"),
        ({"steps": True}, "steps=True: expected int"),
        ({"lr": "fast"}, "lr='fast': expected float"),
        ({"profile": 3}, "profile=3: expected str"),
        ({"show": "1"}, "show='1': expected bool"),
        ({"betas": "0.5"}, "betas='0.5': expected list"),
    ],
)
def test_unknown_or_mistyped_parameters_are_refused(tmp_path, given, message):
    more = PARAMETERS + "show: bool = False\nbetas: list[float] = [0.0, 0.5]\n"
    path = write_notebook(tmp_path / "01_a_b.ipynb", parameters=more)
    with pytest.raises(NotebookError, match=message):
        notebooks.check_parameters(path, given)


def test_text_becomes_the_type_of_the_default(tmp_path):
    more = PARAMETERS + "show: bool = False\nbetas: list[float] = [0.0, 0.5]\n"
    path = write_notebook(tmp_path / "01_a_b.ipynb", parameters=more)
    typed = {"steps": "-2", "lr": "1e-3", "profile": "3", "show": "true", "betas": "[1.0]"}
    checked = notebooks.check_parameters(path, typed)
    assert checked == {"steps": -2, "lr": 1e-3, "profile": "3", "show": True, "betas": [1.0]}


@pytest.mark.parametrize(
    "line",
    [
        "steps = 3",
        "steps: int = 1.5",
        "steps: int",
        "import os",
        "x: int = len('a')",
        "x: dict = {}",
    ],
)
def test_a_parameters_cell_of_another_form_is_refused(tmp_path, line):
    path = write_notebook(tmp_path / "01_a_b.ipynb", parameters=line)
    with pytest.raises(NotebookError, match="expected `name: type = literal`"):
        notebooks.declared_parameters(path)


def test_a_notebook_without_parameters_cell_is_refused(tmp_path):
    path = tmp_path / "01_a_b.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(NotebookError, match="0 cells tagged 'parameters', expected 1"):
        notebooks.declared_parameters(path)


def test_selection_by_number_or_name(tmp_path):
    for name in ("01_a_b", "02_c_d", "10_c_e"):
        write_notebook(tmp_path / f"{name}.ipynb")
    write_notebook(tmp_path / "_template.ipynb")

    def chosen(only: str) -> list[str]:
        return [path.stem for path in notebooks.find_notebooks(only, tmp_path)]

    assert chosen("") == ["01_a_b", "02_c_d", "10_c_e"]
    assert chosen("1") == chosen("01") == ["01_a_b"]
    assert chosen("c_") == ["02_c_d", "10_c_e"]
    with pytest.raises(NotebookError, match="only='zz': expected a number or name part of: 01_a_b"):
        chosen("zz")


def test_everything_is_checked_before_anything_runs(tmp_path):
    write_notebook(tmp_path / "01_a_b.ipynb")
    write_notebook(tmp_path / "02_c_d.ipynb", parameters='profile: str = "smoke"')
    with pytest.raises(NotebookError, match="02_c_d.ipynb: unknown parameters"):
        reproduce.run_collection(
            "smoke", parameters={"steps": 1}, notebooks=tmp_path, executed=tmp_path / "executed"
        )
    assert not (tmp_path / "executed").exists()


def test_in_place_refuses_anything_but_the_defaults(tmp_path):
    write_notebook(tmp_path / "01_a_b.ipynb")
    with pytest.raises(NotebookError, match="in place, .* must be the committed defaults"):
        reproduce.run_collection("cpu", in_place=True, notebooks=tmp_path, executed=tmp_path / "e")


def test_an_unknown_profile_lists_the_known(capsys):
    assert reproduce.main(["--profile", "huge"]) == 1
    assert "profile='huge': expected one of smoke, cpu" in capsys.readouterr().err


def test_a_notebook_on_request_runs_only_when_named(tmp_path, capsys):
    path = write_notebook(tmp_path / "01_take_hours.ipynb", "print('ran')")
    notebook = notebooks.read_notebook(path)
    notebook.metadata["bclip"] = {"on_request": ["cpu"]}
    nbformat.write(notebook, path)
    places = {"notebooks": tmp_path, "executed": tmp_path / "executed"}

    assert reproduce.run_collection("cpu", **places) == {}
    assert "on request: --only 01" in capsys.readouterr().out
    assert len(reproduce.run_collection("cpu", only="01", **places)) == 1
    assert len(reproduce.run_collection("smoke", **places)) == 1


def test_an_unknown_profile_among_the_parameters_is_refused_too(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path / "01_a_b.ipynb", "open('ran', 'w')")
    monkeypatch.setattr(reproduce, "NOTEBOOKS", tmp_path)
    assert reproduce.main(["--profile", "smoke", "-p", "profile", "nonsense"]) == 1
    assert "profile='nonsense': expected one of smoke, cpu" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["01_a_b.ipynb"]


def test_every_notebook_refuses_an_unknown_profile_in_its_first_cell():
    """Papermill alone checks no profile, and figures of any but smoke are saved."""
    for path in notebooks.find_notebooks():
        first = [c.source for c in notebooks.read_notebook(path).cells if c.cell_type == "code"][1]
        calls = [node for node in ast.walk(ast.parse(first)) if isinstance(node, ast.Call)]
        checks = {"get_profile(profile)", f"begin({path.name[:2]!r}, globals())"}
        assert checks & set(map(ast.unparse, calls)), path.name


@pytest.mark.usefixtures("warm_kernels")
def test_executed_notebooks_follow_the_runs_folder(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path / "01_a_b.ipynb", "from bclip_core.records.results import runs_folder\n"
                   "from bclip_core.plotting.files import figures_folder\n"
                   "print(runs_folder(), figures_folder())")  # fmt: skip
    monkeypatch.setattr(reproduce, "NOTEBOOKS", tmp_path)
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "elsewhere"))
    assert reproduce.main(["--profile", "cpu", "--only", "01", "-p", "profile", "smoke"]) == 0
    copy = tmp_path / "elsewhere" / "notebooks" / "smoke" / "01_a_b.ipynb"
    runs = tmp_path / "elsewhere"
    assert printed(notebooks.read_notebook(copy)).split() == [str(runs), str(runs / "figures")]
    assert str(copy.parent) in capsys.readouterr().out


def test_a_runs_folder_that_cannot_be_written_is_said_before_anything_runs(
    tmp_path, monkeypatch, capsys
):
    write_notebook(tmp_path / "01_a_b.ipynb", "open('ran', 'w')")
    monkeypatch.setattr(reproduce, "NOTEBOOKS", tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "file"))
    assert reproduce.main(["--profile", "smoke"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line
    assert "$BCLIP_RUNS for runs" in line
    assert not (tmp_path / "ran").exists()


def test_whatever_stops_a_notebook_it_is_listed_as_failed_and_nothing_half_written_stays(
    tmp_path, monkeypatch, capsys
):
    write_notebook(tmp_path / "01_a_b.ipynb", "1")
    monkeypatch.setattr(reproduce, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(reproduce, "EXECUTED", tmp_path / "executed")

    def full_disk(source, output, **_):
        Path(output).write_text('{"cells": [')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notebooks.papermill, "execute_notebook", full_disk)
    assert reproduce.main(["--profile", "smoke"]) == 1
    found = capsys.readouterr()
    assert found.out.startswith("01_a_b  FAILED after ")
    assert found.err.startswith("reproduce: 01_a_b.ipynb, writing ")
    assert "No space left on device; free some space" in found.err
    assert list((tmp_path / "executed" / "smoke").iterdir()) == []


def test_a_damaged_notebook_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "01_a_b.ipynb").write_text('{"cells": [')
    monkeypatch.setattr(reproduce, "NOTEBOOKS", tmp_path)
    assert reproduce.main(["--profile", "smoke"]) == 1
    assert "01_a_b.ipynb: no notebook: " in capsys.readouterr().err


@pytest.mark.usefixtures("warm_kernels")
def test_a_missing_checkpoint_fails_the_table_by_its_name(tmp_path):
    (path,) = notebooks.find_notebooks("10")
    given = {"checkpoint": "/nowhere/weights.pt", "column": "mine"}
    with pytest.raises(NotebookError, match="/nowhere/weights.pt"):
        notebooks.execute(path, tmp_path / "copy.ipynb", given)


@pytest.mark.usefixtures("warm_kernels")
def test_a_table_of_which_nothing_could_be_measured_fails(tmp_path):
    (path,) = notebooks.find_notebooks("10")
    given = {"checkpoint": "scenes", "column": "mine", "root": str(tmp_path)}
    with pytest.raises(NotebookError, match="scenes was measured on none of .*urban1k"):
        notebooks.execute(path, tmp_path / "copy.ipynb", given)


@pytest.mark.parametrize("name", ["{profile}", "runs {2024} a{b"])
def test_braces_in_a_folders_name_are_no_parameters(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    write_notebook(folder / "01_say_it.ipynb", "print(profile)")
    (copy,) = reproduce.run_collection("cpu", notebooks=folder, executed=folder / "out")
    assert copy.is_relative_to(folder / "out")
    assert printed(notebooks.read_notebook(copy)).split() == ["cpu"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
