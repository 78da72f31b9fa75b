"""What every committed notebook keeps to, so that a reader and nbval find it as it should be."""

import ast
import copy
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from bclip_core.plotting.files import TABLE_WIDTH
from bclip_core.reproduce.notebooks import (
    NOTEBOOKS,
    NotebookError,
    clean,
    declared_parameters,
    read_notebook,
)

PATHS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
# Error output is never committed, so nbval-raises-exception has no place here: catch and print.
TAGS = {"parameters", "nbval-check-output", "nbval-ignore-output", "nbval-skip", "remove-input",
        "scenes-only", "hide-cell"}  # fmt: skip
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|tmp|mnt|opt|usr|var|content)/")
LARGEST = 600 * 1024  # bytes
CELL_LINES, FUNCTION_LINES, CHECKED_CELLS = 30, 15, 3
AS_TEXT = ("print(plotting.aligned_markdown", "print(plotting.table_markdown")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def definitions(notebook: NotebookNode) -> list[ast.stmt]:
    """Every function and class of a notebook."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    trees = [ast.parse(cell.source) for cell in code_cells(notebook)]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]


def texts(notebook: NotebookNode) -> list[str]:
    """Sources and textual outputs; a picture's base64 is no text."""
    found = [cell.source for cell in notebook.cells]
    for cell in code_cells(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            found += [str(data[kind]) for kind in data if not kind.startswith("image/")]
            found.append(output.get("text", ""))
    return found


def exercise_problems(notebook: NotebookNode) -> list[str]:
    """What is wrong with the exercises: two to four, each with a folded and a checked solution."""
    cells = notebook.cells
    asked = [n for n, cell in enumerate(cells) if cell.source.find("**Exercise ") >= 0]
    found = []
    if not 2 <= len(asked) <= 4:
        found.append(f"{len(asked)} exercises, expected 2 to 4")
    for number, place in enumerate(asked, 1):
        task, solution = cells[place], cells[place + 1] if place + 1 < len(cells) else None
        if f"**Exercise {number}.**" not in task.source or "<details><summary>" not in task.source:
            found.append(f"exercise {number} has no number or no folded answer")
        if solution is None or solution.cell_type != "code":
            found.append(f"exercise {number} is not followed by its solution")
        elif not {"nbval-check-output", "hide-cell"} <= set(solution.metadata.get("tags", [])):
            found.append(
                f"the solution of exercise {number} is not checked, or not folded in books"
            )
        elif not solution.metadata.get("jupyter", {}).get("source_hidden"):
            found.append(f"the solution of exercise {number} is not folded")
    return found


def problems(path: Path) -> list[str]:
    """What is wrong with one notebook, in words."""
    notebook = read_notebook(path)
    code = code_cells(notebook)
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    found = []
    if not re.fullmatch(r"\d\d_[a-z]+(_[a-z0-9]+)+\.ipynb", path.name):
        found.append("name is not NN_verb_object.ipynb")
    number = path.name[:2]
    if number.isdigit() and not re.match(rf"# {number} · \w", notebook.cells[0].source):
        found.append(f"the first cell is not a heading '# {number} · ...'")
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("not executed once from top to bottom")
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        found.append("an error is stored")
    cleaned = copy.deepcopy(notebook)
    clean(cleaned)
    if cleaned != notebook:
        found.append("not clean: run `make notebooks`")
    if unknown := set(tags) - TAGS:
        found.append(f"unknown tags {sorted(unknown)}")
    if any("NBVAL_" in cell.source for cell in code):
        found.append("an nbval marker in a comment instead of a tag")
    if sum(tag == "nbval-check-output" for tag in tags) < CHECKED_CELLS:
        found.append(f"fewer than {CHECKED_CELLS} cells tagged nbval-check-output")
    checked = [c for c in code if "nbval-check-output" in c.metadata.get("tags", [])]
    if any(not cell.outputs for cell in checked):
        found.append("a checked cell without output checks nothing")
    try:
        if declared_parameters(path).get("profile") != "smoke":
            found.append("parameter profile is not 'smoke'")
    except NotebookError as error:
        found.append(str(error))
    if path.stat().st_size > LARGEST:
        found.append(f"larger than {LARGEST} bytes")
    if any(len(cell.source.splitlines()) > CELL_LINES for cell in code):
        found.append(f"a cell of more than {CELL_LINES} lines")
    if any(node.end_lineno - node.lineno >= FUNCTION_LINES for node in definitions(notebook)):
        found.append(f"a definition of more than {FUNCTION_LINES} lines")
    if any(call in cell.source for cell in code for call in AS_TEXT):
        found.append("a table printed as text: use plotting.show_table")
    rows = [line for text in texts(notebook) for line in text.splitlines() if line[:1] == "|"]
    if wide := max((len(row) for row in rows), default=0) - TABLE_WIDTH:
        if wide > 0:
            found.append(f"a table {wide} characters wider than {TABLE_WIDTH}")
    found += exercise_problems(notebook)
    if any(ABSOLUTE_PATH.search(text) for text in texts(notebook)):
        found.append("an absolute path")
    return found


@pytest.mark.skipif(not PATHS, reason="no notebook is committed yet")
def test_committed_notebooks_have_no_problems():
    assert {path.name: problems(path) for path in PATHS if problems(path)} == {}


@pytest.mark.skipif(not PATHS, reason="no notebook is committed yet")
def test_nothing_is_defined_in_two_notebooks():
    names = [{node.name for node in definitions(read_notebook(path))} for path in PATHS]
    counts = Counter(name for defined in names for name in defined)
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.skipif(not PATHS, reason="no notebook is committed yet")
def test_every_number_belongs_to_one_notebook():
    assert len({path.name[:2] for path in PATHS}) == len(PATHS)


SOLUTION = ("nbval-check-output", "hide-cell")

# The checks themselves, on a good notebook made here and on one spoilt in each way.


def good_notebook() -> NotebookNode:
    def cell(number: int, source: str, *tags: str, text: str = "") -> NotebookNode:
        stream = [nbformat.v4.new_output("stream", text=text)] if text else []
        metadata = {"tags": list(tags)} if tags else {}
        return nbformat.v4.new_code_cell(
            source, id=f"c{number}", execution_count=number, outputs=stream, metadata=metadata
        )

    cells = [cell(1, 'profile: str = "smoke"', "parameters")]
    cells += [cell(i, f"print({i})", "nbval-check-output", text=f"{i}\n") for i in (2, 3, 4)]
    heading = nbformat.v4.new_markdown_cell("# 01 · Make sense", id="c0")
    for number in (1, 2):
        text = f"**Exercise {number}.** Look.\n\n<details><summary>Solution</summary>So.</details>"
        cells.append(nbformat.v4.new_markdown_cell(text, id=f"exercise-{number}"))
        solution = cell(4 + number, f"print({number})", *SOLUTION, text=f"{number}\n")
        solution.metadata["jupyter"] = {"source_hidden": True}
        cells.append(solution)
    notebook = nbformat.v4.new_notebook(cells=[heading, *cells])
    clean(notebook)
    return notebook


def spoil(notebook: NotebookNode, how: str) -> None:
    heading, first, second = notebook.cells[:3]
    match how:
        case "heading":
            heading.source = "# # 01 · Make sense"
        case "order":
            second.execution_count = 7
        case "error":
            second.outputs.append(
                nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
            )
        case "widgets":
            notebook.metadata["widgets"] = {}
        case "papermill":
            second.metadata["papermill"] = {"duration": 1.0}
        case "tag":
            second.metadata["tags"] = ["nbval_check_output"]
        case "injected":
            second.metadata["tags"].append("injected-parameters")
        case "comment":
            second.source = "# NBVAL_IGNORE_OUTPUT\nprint(2)"
        case "silent":
            second.outputs = []
        case "profile":
            first.source = 'profile: str = "gpu"'
        case "computed":
            first.source += "\nn: int = len(profile)"
        case "size":
            second.outputs[0].text = "x" * LARGEST
        case "long cell":
            second.source = "\n".join(f"print({i})" for i in range(CELL_LINES + 1))
        case "long function":
            second.source = "def f(x):\n" + "    x += 1\n" * FUNCTION_LINES
        case "printed table":
            second.source = "print(plotting.aligned_markdown(rows))"
        case "wide table":
            second.outputs[0].text = "| " + "x" * TABLE_WIDTH + " |\n"
        case "one exercise":
            del notebook.cells[-2:]
        case "unfolded answer":
            notebook.cells[-2].source = "**Exercise 2.** Look. So."
        case "no solution":
            del notebook.cells[-1]
        case "unchecked solution":
            notebook.cells[-1].metadata["tags"] = ["hide-cell"]
        case "shown solution":
            del notebook.cells[-1].metadata["jupyter"]
        case "path":
            second.outputs[0].text = "saved to /home/me/bclip/figures/a.png\n"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("heading", "the first cell is not a heading '# 01 · ...'"),
        ("order", "not executed"),
        ("error", "an error is stored"),
        ("widgets", "not clean"),
        ("papermill", "not clean"),
        ("tag", "unknown tags"),
        ("injected", "unknown tags"),
        ("comment", "nbval marker"),
        ("silent", "without output"),
        ("profile", "not 'smoke'"),
        ("computed", "expected `name: type = literal`"),
        ("size", "larger than"),
        ("long cell", "a cell of more"),
        ("long function", "a definition of more"),
        ("path", "an absolute path"),
        ("printed table", "use plotting.show_table"),
        ("wide table", "4 characters wider than 110"),
        ("one exercise", "1 exercises, expected 2 to 4"),
        ("unfolded answer", "exercise 2 has no number or no folded answer"),
        ("no solution", "exercise 2 is not followed by its solution"),
        ("unchecked solution", "exercise 2 is not checked"),
        ("shown solution", "exercise 2 is not folded"),
    ],
)
def test_a_spoilt_notebook_is_noticed(tmp_path, how, expected):
    path = tmp_path / "01_make_sense.ipynb"
    notebook = good_notebook()
    nbformat.write(notebook, path)
    assert problems(path) == []
    spoil(notebook, how)
    nbformat.write(notebook, path)
    assert any(expected in problem for problem in problems(path))


def test_a_name_without_number_and_verb_is_noticed(tmp_path):
    path = tmp_path / "1-Untitled.ipynb"
    nbformat.write(good_notebook(), path)
    assert problems(path) == ["name is not NN_verb_object.ipynb"]
