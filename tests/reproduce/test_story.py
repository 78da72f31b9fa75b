"""The notebooks as one story: every one is reached, every word is explained before it is used."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from bclip_core.records import REPOSITORY
from bclip_core.reproduce import story
from bclip_core.reproduce.notebooks import find_notebooks, read_notebook

LINK = re.compile(r"(Previous|Next): \[[^]]+\]\(([^)]+)\)")
NEEDED = (
    "R@1", "average precision", "class token", "pointing game", "pooler", "profile", "β", "β-CAL",
    "leak", "conditioned", "own caption", "chance", "phrase", "region", "late interaction",
)  # fmt: skip
"""Terms that no reader from another field can guess; the glossary has more."""


def links(path: Path) -> dict[str, str]:
    return dict(LINK.findall(read_notebook(path).cells[-1].source))


def test_the_links_lead_through_all_notebooks_once_and_back():
    paths = story.in_order()
    forward, place = [], paths[0].name
    while place and len(forward) <= len(paths):
        forward.append(place)
        place = links(story.NOTEBOOKS / place).get("Next", "")
    assert forward == [path.name for path in paths]
    assert sorted(forward) == [path.name for path in find_notebooks()]
    backward, place = [], paths[-1].name
    while place and len(backward) <= len(paths):
        backward.append(place)
        place = links(story.NOTEBOOKS / place).get("Previous", "")
    assert backward == forward[::-1]


def test_links_and_words_are_those_that_would_be_written():
    for path, terms in story.first_uses().items():
        cells = read_notebook(path).cells
        assert cells[-1].source == story.navigation(path), path.name
        shown = cells[1].source if cells[1].id == story.WORDS else ""
        assert shown == story.words(terms), f"{path.name}: python -m bclip_core.reproduce.story"


def test_no_other_cell_leads_to_the_next_notebook():
    for path in story.in_order():
        texts = [c.source for c in read_notebook(path).cells[:-1] if c.cell_type == "markdown"]
        assert not [text for text in texts if re.search(r"\*\*(Next|Back)", text)], path.name


def test_every_word_is_in_the_glossary_and_explained_where_the_story_first_uses_it():
    meanings = story.definitions()
    assert set(NEEDED) <= set(meanings)
    assert list(meanings) == sorted(meanings, key=lambda term: term.casefold().replace("β", "b"))
    explained = [term for terms in story.first_uses().values() for term in terms]
    assert sorted(explained) == sorted(meanings), "a word that no notebook uses"
    known: set[str] = set()
    for path, terms in story.first_uses().items():
        known.update(terms)
        text = story.prose(read_notebook(path))
        assert {term for term in meanings if story.uses(text, term)} <= known, path.name


@pytest.mark.parametrize(
    ("text", "term", "used"),
    [
        ("one pooler, two Poolers", "pooler", True),
        ("a text-conditioned pooler", "conditioned", False),
        ("R@10 alone", "R@1", False),
        ("k, the index", "K", False),
        ("K texts", "K", True),
        ("β-CAL", "β", False),
        ("at β = 0", "β", True),
    ],
)
def test_words_are_found_whole(text, term, used):
    assert story.uses(text, term) == used


def test_the_book_lists_every_notebook_in_the_storys_order():
    written = story.CONTENTS.read_text(encoding="utf-8")
    assert written == story.contents()
    toc = yaml.safe_load(written)
    files = [one["file"] for part in toc["parts"] for one in part["chapters"]]
    notebooks = [name for name in files if re.search(r"/\d\d_", name)]
    assert notebooks == [f"notebooks/{path.stem}" for path in story.in_order()]
    assert toc["root"] == "notebooks/README"
    for name in (toc["root"], *files):
        assert (REPOSITORY / f"{name}.md").is_file() or (REPOSITORY / f"{name}.ipynb").is_file()


def test_the_book_executes_nothing():
    settings = yaml.safe_load((story.CONTENTS.parent / "_config.yml").read_text(encoding="utf-8"))
    assert settings["execute"]["execute_notebooks"] == "off"
    assert settings["only_build_toc_files"] is True


def test_a_notebook_outside_the_story_is_named(monkeypatch):
    monkeypatch.setitem(story.PARTS, "Learn", story.PARTS["Learn"][1:])
    with pytest.raises(ValueError, match="each once in PARTS"):
        story.in_order()


@pytest.mark.parametrize(
    ("more", "odd"),
    [
        ("- **chance**: what guessing scores.\n", "'chance'"),
        ("- **odd** : a blank before the colon.\n", r"'- \*\*odd\*\* : a"),
        ("* **odd**: another mark.\n", r"'\* \*\*odd"),
        ("- odd: no bold.\n", "'- odd"),
    ],
)
def test_an_entry_of_the_glossary_that_would_be_lost_is_named(tmp_path, monkeypatch, more, odd):
    edited = tmp_path / "glossary.md"
    edited.write_text(story.GLOSSARY.read_text(encoding="utf-8") + more, encoding="utf-8")
    monkeypatch.setattr(story, "GLOSSARY", edited)
    with pytest.raises(ValueError, match=rf"glossary\.md: {odd}.*: expected each term once"):
        story.definitions()


@pytest.mark.parametrize("cells", [[], ["Train"], [""]])
def test_a_notebook_without_a_heading_is_named(cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(one) for one in cells])
    with pytest.raises(ValueError, match=r"a notebook begins with '.*': expected its heading"):
        story.heading(made)
