"""Notebooks run on the sample photographs as `-m bclip_core.reproduce` does: without scenes."""

import copy
import json
import re

import nbformat
import pytest

from bclip_core.config import ConfigError
from bclip_core.data.real import photographs
from bclip_core.reproduce import collection
from bclip_core.reproduce.adapted import SCENES_ONLY, for_photographs
from bclip_core.reproduce.notebooks import NOTEBOOKS, NotebookError, read_notebook
from bclip_core.studies.asked import USUAL

PATHS = [path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) if path.name[:2] in USUAL]
TINY = ["backbone.name=scene-tiny", "train.batch_size=4", "data.test=6"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Parameters of a small run on COCO's layout, with boxes beside it."""
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    try:
        layouts = photographs.write_photographs(tmp_path / "photographs")
    except photographs.MissingPhotographsError as missing:
        pytest.skip(str(missing))
    root = str(layouts / "coco")
    return {"data_set": "coco", "root": root, "weights": "random", "settings": TINY}


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
    ("04", {"methods": ["clip-ft", "beta-clip-ce"], "steps": 2}),
    ("06", {"methods": ["clip", "beta-clip-ce"], "pictures_shown": 2}),
    ("07", {"methods": ["clip", "beta-clip-ce"], "steps": 2}),
    ("11", {"row": 1}),
])  # fmt: skip
def test_a_notebook_on_photographs_shows_nothing_of_scenes(photos, tmp_path, number, more):
    settings = photos["settings"] + ([] if "steps" in more else ["train.steps=2"])
    (copied,) = collection.run_collection(
        "smoke",
        only=number,
        parameters={**photos, "settings": settings, **more},
        notebooks=NOTEBOOKS,
        executed=tmp_path / "executed",
    )
    notebook = read_notebook(copied)
    text, figures = outputs(notebook)
    assert figures >= 1
    assert not re.search(r"\bscenes?\b(?!-)", text), text
    assert "../figures/" not in "".join(cell.source for cell in notebook.cells)
    runs = tmp_path / "runs"
    written = [path.stem for path in (runs / "figures").rglob("*.png")]
    assert written
    assert all("_coco_" in name and name.endswith("_smoke") for name in written), written
    assert not list((runs / "tables").glob("*.json")), "none that would be promoted"
    metrics = [json.loads(path.read_text()) for path in runs.glob("*/metrics.json")]
    assert metrics
    assert all("regions/dense/hard" in one for one in metrics)


def test_a_method_without_beta_is_refused_in_the_notebook_on_beta(photos, tmp_path):
    with pytest.raises(NotebookError, match="ConfigError: method='clip-ft': expected a method tha"):
        collection.run_collection(
            "smoke",
            only="05",
            parameters={**photos, "method": "clip-ft"},
            notebooks=NOTEBOOKS,
            executed=tmp_path / "executed",
        )


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
