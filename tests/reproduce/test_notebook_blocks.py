"""The notebooks' page: every notebook once, with its question, its time and its picture."""

import re

import nbformat
import pytest

from bclip_core.config import PROFILES
from bclip_core.records.results import load_result
from bclip_core.reproduce import notebook_blocks, story


def write(path, first: str, *code: str):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell(first)]
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in code]
    nbformat.write(notebook, path)
    return path


def test_a_notebook_is_linked_from_both_pages_once():
    for block in (notebook_blocks.parts_block(), notebook_blocks.notebooks_block()):
        linked = re.findall(r"\]\((?:notebooks/)?(\d\d_\w+\.ipynb)\)", block)
        assert linked == [path.name for path in story.in_order()]


def test_times_are_those_of_the_record():
    values = load_result("collection", "cpu", reference=True)["values"]
    sections = notebook_blocks.notebooks_block().split("### ")[1:]
    shown = {re.search(r"\((\w+)\.ipynb\)", s)[1]: s for s in sections}
    for stem, section in shown.items():
        timed = re.search(r"^\*([\d,]+) s\*$", section, re.MULTILINE)
        if stem in values["notebooks"]:
            assert int(timed[1].replace(",", "")) == round(values["notebooks"][stem]), stem
        else:
            assert timed is None
            assert f"--only {stem[:2]}" in section
    minutes, seconds = re.search(r"took (\d+) min (\d\d) s", notebook_blocks.times_block()).groups()
    assert 60 * int(minutes) + int(seconds) == values["seconds"]


def test_sizes_are_those_of_the_profiles():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in notebook_blocks.profiles_block().splitlines()[2:]
    ]
    assert [row[0].strip("`") for row in rows] == list(PROFILES)
    cpu = next(row for row in rows if row[0] == "`cpu`")
    base = PROFILES["cpu"].base
    assert int(cpu[1]) == base.train.steps
    assert [int(part) for part in cpu[3].split(" + ")] == [
        1,
        base.texts.sentences,
        base.texts.phrases,
    ]


def test_questions_and_figures_are_read_from_the_notebook(tmp_path):
    path = write(
        tmp_path / "21_ask_why.ipynb",
        "# 21 · Ask\n\n**Question.** Why, and [how](x.md)?\n\n**Answer.** So.",
        'plotting.publish(figure, "one_two", {"a": 1}, profile)',
        'publish(\n    draw(shown), "three", {"b": 2}, profile\n)',
    )
    assert notebook_blocks.question(path) == "Why, and [how](x.md)?"
    assert notebook_blocks.figures(path) == ["one_two", "three"]
    assert notebook_blocks.title(path) == "21 Ask"


def test_a_notebook_without_a_question_is_named(tmp_path):
    path = write(tmp_path / "22_ask_nothing.ipynb", "# 22 · Nothing")
    with pytest.raises(ValueError, match=r"22_ask_nothing\.ipynb: .*Question"):
        notebook_blocks.question(path)
