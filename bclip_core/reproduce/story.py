"""The notebooks as one story: their order, links from each to its neighbours, words, the book.

`python -m bclip_core.reproduce.story` writes the links and words into the notebooks, and the book's
table of contents; outputs and all other cells stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from bclip_core.config.command_line import read_options, run_command
from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_atomically
from bclip_core.reproduce.notebooks import NOTEBOOKS, find_notebooks, read_notebook

PARTS = {
    "Learn": ("00", "01", "02", "03", "12", "06", "11"),
    "Measure": ("04", "05", "07"),
    "Research": ("14", "18", "15", "13"),
    "Appendix": ("08", "09", "10", "16", "17"),
}
"""The notebooks' numbers by part, in reading order."""

ABOUT = {
    "Learn": "how it works, from a scene to a loss to a map; nothing has to be trained",
    "Measure": "train the methods, choose β, compare",
    "Research": "relatives, the sigmoid form, the leak and its cure, ablations",
    "Appendix": "what it stands on: pretraining, captions, published tables, speed, weights",
}

GLOSSARY = NOTEBOOKS / "glossary.md"
CONTENTS = REPOSITORY / "book" / "_toc.yml"
NAVIGATION, WORDS = "navigation", "words"
"""Ids of the cells that are written here: the last one, and the second where there are words."""


def in_order() -> list[Path]:
    """The notebooks' files in the story's order.

    Raises:
        ValueError: a notebook without a part, or a number without a notebook.
    """
    paths = {path.name[:2]: path for path in find_notebooks()}
    told = [number for numbers in PARTS.values() for number in numbers]
    if sorted(told) != sorted(paths):
        raise ValueError(f"notebooks {sorted(paths)}: expected each once in PARTS, found {told}")
    return [paths[number] for number in told]


def heading(notebook: NotebookNode) -> str:
    """The number and heading of a notebook, such as `04 Train the methods`.

    Raises:
        ValueError: it has none.
    """
    first: str = "".join(cell.source for cell in notebook.cells[:1]).partition("\n")[0]
    if not first.startswith("# "):
        raise ValueError(f"a notebook begins with {first!r}: expected its heading, # NN · Title")
    return first.removeprefix("# ").replace(" · ", " ", 1)


def navigation(path: Path) -> str:
    """The line below a notebook: its place in the story, and the links to its neighbours."""
    paths = in_order()
    part, numbers = next(one for one in PARTS.items() if path.name[:2] in one[1])
    place = paths.index(path)
    links = []
    for name, number in (("Previous", place - 1), ("Next", place + 1)):
        if 0 <= number < len(paths):
            other = paths[number]
            links.append(f"{name}: [{heading(read_notebook(other))}]({other.name})")
    links += ["[all notebooks](README.md)", "[words](glossary.md)"]
    where = f"**{part}, {numbers.index(path.name[:2]) + 1} of {len(numbers)}.**"
    return f"{where} {' · '.join(links)}"


def definitions() -> dict[str, str]:
    """The glossary: each term and what it means, in the page's order.

    Raises:
        ValueError: a term twice, or an entry of another form; it is named.
    """
    text = GLOSSARY.read_text(encoding="utf-8")
    found = re.findall(r"^- \*\*(.+?)\*\*: (.+?)(?=\n- \*\*|\Z)", text, re.MULTILINE | re.DOTALL)
    terms = [term for term, _ in found]
    odd = [line for line in re.findall(r"^[-*+] .*", text, re.MULTILINE)
           if not any(line.startswith(f"- **{term}**: ") for term in terms)]  # fmt: skip
    odd += sorted({term for term in terms if terms.count(term) > 1})
    if odd:
        raise ValueError(f"{GLOSSARY}: {odd[0]!r}: expected each term once, as - **term**: meaning")
    return {term: " ".join(meaning.split()) for term, meaning in found}


def uses(text: str, term: str) -> bool:
    """Whether a text has the term as whole words, in any case; a plural of it, too."""
    return bool(re.search(rf"(?<![\w-]){re.escape(term)}(?:e?s)?(?![\w-])", text, _flags(term)))


def _flags(term: str) -> int:
    return 0 if len(term) == 1 else re.IGNORECASE  # K is no k


def prose(notebook: NotebookNode) -> str:
    """What a reader reads of a notebook, less the cells that are written here: texts and strings.

    Of code only the strings that are no names: `patch` as a variable explains nothing.
    """
    own = (NAVIGATION, WORDS)
    found = []
    for cell in (cell for cell in notebook.cells if cell.id not in own):
        if cell.cell_type == "markdown":
            found.append(cell.source)
        else:
            strings = re.findall(r'"([^"\n]*)"', cell.source)
            found += [text for text in strings if not text.isidentifier()]
    return "\n\n".join(found)


def first_uses() -> dict[Path, list[str]]:
    """For each notebook the glossary's terms that it uses and none before it in the story does."""
    left = list(definitions())
    found = {}
    for path in in_order():
        text = prose(read_notebook(path))
        found[path] = [term for term in left if uses(text, term)]
        left = [term for term in left if term not in found[path]]
    return found


def words(terms: list[str]) -> str:
    """The second cell of a notebook: its new terms and their meanings; "" where there are none."""
    meanings = definitions()
    lines = [f"- **{term}**: {meanings[term]}" for term in terms]
    summary = "<details open><summary>Words that come up here for the first time</summary>"
    return "\n".join([summary, "", *lines, "", "</details>"]) if lines else ""


def contents() -> str:
    """The book's table of contents, in jupyter-book's format."""
    lines = ["# Written by python -m bclip_core.reproduce.story", "format: jb-book"]
    lines += ["root: notebooks/README", "parts:"]
    paths = iter(in_order())
    for part, numbers in PARTS.items():
        lines += [f"  - caption: {part}", "    chapters:"]
        lines += [f"      - file: notebooks/{next(paths).stem}" for _ in numbers]
    lines += ["  - caption: Results", "    chapters:"]
    pages = sorted(REPOSITORY.glob("results/*.md"), key=lambda page: (page.stem != "README", page))
    lines += [f"      - file: results/{page.stem}" for page in pages]
    lines += ["  - caption: Words", "    chapters:", "      - file: notebooks/glossary"]
    return "\n".join(lines) + "\n"


def written(path: Path, terms: list[str]) -> NotebookNode:
    """A notebook with its links, and the words that are new in it, as they should be."""
    notebook = read_notebook(path)
    notebook.cells = [cell for cell in notebook.cells if cell.id not in (NAVIGATION, WORDS)]
    if text := words(terms):
        notebook.cells.insert(1, _markdown(text, WORDS))
    notebook.cells.append(_markdown(navigation(path), NAVIGATION))
    return notebook


def _markdown(source: str, name: str) -> NotebookNode:
    cell: NotebookNode = nbformat.v4.new_markdown_cell(source, id=name)  # type: ignore[no-untyped-call]
    return cell


def _as_text(notebook: NotebookNode) -> str:
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    return text + "\n"


def update() -> list[Path]:
    """Write all of it anew; returns the files that changed."""
    texts = {path: _as_text(written(path, terms)) for path, terms in first_uses().items()}
    texts[CONTENTS] = contents()
    changed = []
    for path, text in texts.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, partial(Path.write_text, data=text, encoding="utf-8"))
            changed.append(path)
    return changed


@dataclass(frozen=True)
class Options:
    """Write the links between the notebooks and the book's contents anew."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: write what has changed, and say which files."""
    read_options(Options, arguments, "python -m bclip_core.reproduce.story")
    for path in update():
        print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    run_command(main, ValueError)
