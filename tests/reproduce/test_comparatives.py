"""No comparative without its number: beside it stands a checked cell or a generated block.

A sentence that compares results has a word of comparison and a measure. In a notebook its section
must print a finding that nbval compares; on a page its section must hold a generated block.
"""

import re

import pytest

from bclip_core.records import REPOSITORY
from bclip_core.reproduce.notebooks import find_notebooks, read_notebook
from bclip_core.reproduce.pages import block_names, find_pages

COMPARES = re.compile(
    r"\b(better|worse|ahead|behind|beats?|outperforms?|gains?|loses|higher|lower|leads|level with"
    r"|as well as|(?:more|less|fewer) than|points (?:more|less))\b",
    re.IGNORECASE,
)
MEASURE = re.compile(
    r"\b(R@1|retriev\w*|regions?|pointing|attention|conditioned|leak\w*|share|accuracy)\b",
    re.IGNORECASE,
)
CHECKED = "nbval-check-output"


def comparatives(text):
    """The sentences of a Markdown text that compare measured things; code and quotes are none."""
    text = re.sub(
        r"```.*?```|`[^`]*`|<!--.*?-->|^\s*\|.*$", " ", text, flags=re.DOTALL | re.MULTILINE
    )
    sentences = re.split(r"(?<=[.!?])\s+|\n\s*\n", text)
    return [" ".join(s.split()) for s in sentences if COMPARES.search(s) and MEASURE.search(s)]


def sections(cells):
    """Cells from one heading to the next; exercises with their solutions are a section each."""
    found = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and re.match(r"#{1,3} |\*\*Exercise", cell.source):
            found.append([])
        found[-1].append(cell)
    return found


def checked(cells):
    return any(CHECKED in cell.metadata.get("tags", ()) for cell in cells)


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_a_notebook_computes_what_it_compares(path):
    notebook = read_notebook(path)
    told = []
    for number, cells in enumerate(sections(notebook.cells)):
        # The heading's answer is what the whole notebook finds.
        beside = notebook.cells if number <= 1 else cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        if not checked(beside):
            told += [sentence for text in texts for sentence in comparatives(text)]
    assert told == [], "sentences that compare, in sections without a checked cell"


@pytest.mark.parametrize(
    "path",
    [path for path in find_pages() if path.parent.name == "results" or path.name == "README.md"],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_a_page_stands_on_generated_numbers(path):
    text = path.read_text(encoding="utf-8")
    if path.parent == REPOSITORY / "results" or path.parent == REPOSITORY:
        parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
        told = []
        for number, part in enumerate(parts):
            conclusion = part.startswith("## What it says")  # of the tables right above it
            beside = "".join(parts[: number + 1]) if conclusion else part
            if not block_names(beside):
                told += comparatives(part)
        assert told == [], "sentences that compare, in sections without a generated block"


def test_comparatives_are_found_and_others_are_not():
    assert comparatives("One head points better than eight: its attention hits more often.")
    assert comparatives("Conditioned retrieval is 3 points lower.\nIt rains.") == [
        "Conditioned retrieval is 3 points lower."
    ]
    assert not comparatives("The better half. A region is a box. `attention is better`")
