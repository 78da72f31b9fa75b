"""Notebooks run on the sample photographs as `-m bclip_core.reproduce` does: without scenes."""

import copy
import json
import os
import re
from pathlib import Path

import nbformat
import pytest

from bclip_core.config import ConfigError
from bclip_core.data.real import photographs
from bclip_core.reproduce import collection
from bclip_core.reproduce.adapted import SCENES_ONLY, for_photographs
from bclip_core.reproduce.notebooks import NOTEBOOKS, NotebookError, read_notebook
from bclip_core.studies.asked import USUAL
from bclip_core.studies.experiment import begin

PATHS = [path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) if path.name[:2] in USUAL]
pytestmark = pytest.mark.usefixtures("warm_kernels")
# The profile on its own data; one short training serves all of these notebooks. Its towers read
# the pictures and patches of its own ViT-B/16 at a fifth of the work; that one is trained whole by
# tests/train/test_photos_smoke.py.
SHORT = ["backbone.name=ViT-S-16-alt", "train.steps=1", "train.batch_size=2", "data.train=4",
         "data.test=2", "texts.sentences=1", "texts.phrases=2"]  # fmt: skip
ONE_STEP = {"profile": "photos-smoke", "weights": "random", "settings": SHORT}
TINY = ["backbone.name=scene-tiny", "train.batch_size=4", "data.test=6"]


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory):
    """Where the module's runs and figures go, so that no notebook trains what another has."""
    try:
        for one in photographs.photographs():
            photographs.picture(one)
    except photographs.MissingPhotographsError as missing:
        pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BCLIP_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield Path(os.environ["BCLIP_RUNS"])


@pytest.fixture
def on_coco(layouts, tmp_path, monkeypatch):
    """Parameters of a small run on COCO's layout, with boxes beside it."""
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    root = str(layouts / "coco")
    return {"data_set": "coco", "root": root, "weights": "random", "settings": TINY}


def run(number, tmp_path, parameters):
    """The executed copy of a notebook."""
    (copied,) = collection.run_collection(
        "smoke", only=number, parameters=parameters, notebooks=NOTEBOOKS,
        executed=tmp_path / "executed",
    )  # fmt: skip
    return read_notebook(copied)


def nothing_of_scenes(notebook):
    """What the notebook shows and says; its figures are counted."""
    text, figures = outputs(notebook)
    assert figures >= 1
    assert not re.search(r"\bscenes?\b(?!-)", text), text
    assert "../figures/" not in "".join(cell.source for cell in notebook.cells)
    return text


def outputs(notebook):
    """Text of all outputs, and how many figures there are."""
    found, figures = [], 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "application/vnd.jupyter.widget-view+json" in data:
                continue  # its text is the names of controls
            found += [output.get("text", ""), *(str(data[k]) for k in data if "image" not in k)]
            figures += "image/png" in data
    return "\n".join(found), figures


@pytest.mark.parametrize(("number", "more"), [
    ("04", {"methods": ["beta-clip-ce"]}),
    ("06", {"methods": ["beta-clip-ce"], "pictures_shown": 2, "texts_shown": 2}),
    ("07", {"methods": ["beta-clip-ce"], "repeated": []}),
    ("11", {"row": 1}),
])  # fmt: skip
def test_the_profile_of_photographs_runs_with_pictures_of_the_papers_size(
    shared_runs, tmp_path, number, more
):
    if number == "11":  # which else trains two; these are whatever has been trained
        weights = sorted(shared_runs.glob("beta-clip-ce-*/model.safetensors"))
        more = more | {"checkpoints": [str(path) for path in weights] or ["random"]}
    notebook = run(number, tmp_path, ONE_STEP | more)
    text = nothing_of_scenes(notebook)
    assert "photographs test, 2 pictures: retrieval and regions" in text
    written = [path.stem for path in (shared_runs / "figures").rglob("*.png")]
    assert written
    assert all("_photographs_" in n and n.endswith("_photos_smoke") for n in written), written
    if "methods" in more:
        (trained,) = shared_runs.glob("beta-clip-ce-*/metrics.json")
        backbone = json.loads((trained.parent / "config.json").read_text())["backbone"]
        assert (backbone["name"], backbone["context_length"]) == ("ViT-S-16-alt", 248)
        assert "regions/dense/hard" in json.loads(trained.read_text())
        assert "retrieval/conditioned/captions/t2i_R@1" in json.loads(trained.read_text())


def test_the_towers_are_the_papers_unless_others_are_asked_for():
    asked = USUAL["04"] | ONE_STEP | {"settings": SHORT[1:]}
    assert begin("04", asked).sizes.run("beta-clip-ce").backbone.name == "ViT-B-16"


def test_another_data_set_of_another_folder_goes_into_a_notebook(on_coco, tmp_path):
    notebook = run("04", tmp_path, on_coco | {"methods": ["beta-clip-ce"], "steps": 2})
    assert "coco test, 6 pictures: retrieval and regions" in nothing_of_scenes(notebook)
    runs = tmp_path / "runs"
    written = [path.stem for path in (runs / "figures").rglob("*.png")]
    assert written
    assert all("_coco_" in name and name.endswith("_smoke") for name in written), written
    assert not list((runs / "tables").glob("*.json")), "none that would be promoted"
    (metrics,) = runs.glob("*/metrics.json")
    assert "regions/dense/hard" in json.loads(metrics.read_text())


def test_a_method_without_beta_is_refused_in_the_notebook_on_beta(on_coco, tmp_path):
    with pytest.raises(NotebookError, match="ConfigError: method='clip-ft': expected a method tha"):
        run("05", tmp_path, on_coco | {"method": "clip-ft"})


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name[:2])
def test_what_is_about_scenes_is_left_out(path):
    committed = read_notebook(path)
    before = copy.deepcopy(committed)
    adapted = for_photographs(committed, "pairs")
    assert committed == before
    nbformat.validate(adapted)
    assert not [c for c in adapted.cells if SCENES_ONLY in c.metadata.get("tags", [])]
    text = "".join(c.source for c in adapted.cells if c.cell_type == "markdown")
    assert "**This run** is on `pairs`" in text
    assert "**Answer.**" not in text
    assert "](../figures/" not in text
    told = [c.source for c in adapted.cells
            if c.cell_type == "markdown" and c.id not in ("this-run", "navigation")]  # fmt: skip
    assert not re.search(r"\bscenes?\b|\bcommitted\b|\bshipped model of", "\n".join(told), re.I)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name[:2])
def test_every_notebook_has_the_same_cell_on_pictures_of_ones_own(path):
    def cell(notebook):
        (found,) = [c.source for c in notebook.cells if c.id == "own-data"]
        return found

    assert cell(read_notebook(path)) == cell(read_notebook(PATHS[0]))


def test_notebooks_about_scenes_alone_are_passed_over(tmp_path, capsys, monkeypatch):
    for name in ("01_see_scenes", "04_train_methods"):
        book = nbformat.v4.new_notebook()
        source = 'profile: str = "smoke"\ndata_set: str = ""'
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
        book.cells = [nbformat.v4.new_markdown_cell("# Title"), cell]
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    found = collection.run_collection(
        "smoke",
        parameters={"data_set": "pairs"},
        notebooks=tmp_path,
        executed=tmp_path / "executed",
    )
    assert [copied.name for copied in found] == ["04_train_methods.ipynb"]
    assert "01_see_scenes     not about pairs" in capsys.readouterr().out


def test_a_folder_is_where_the_command_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    given = collection._from_here({"root": "mine", "weights": "openai", "phrase": "mine"})
    assert given == {"root": str(tmp_path / "mine"), "weights": "openai", "phrase": "mine"}
    for typed in ("['mine', 'openai']", ["mine", "openai"]):
        given = collection._from_here({"checkpoint": "mine", "checkpoints": typed})
        there = str(tmp_path / "mine")
        assert given == {"checkpoint": there, "checkpoints": [there, "openai"]}
    assert collection._from_here({"checkpoints": "mine"}) == {"checkpoints": "mine"}


def test_an_unknown_profile_is_refused():
    with pytest.raises((ConfigError, ValueError), match="no such"):
        collection.run_collection("no such", notebooks=NOTEBOOKS, executed=NOTEBOOKS / "never")
