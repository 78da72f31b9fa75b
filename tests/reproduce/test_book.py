"""The book is built for real, from the committed outputs, and its links lead somewhere."""

import re

import pytest
import yaml

from bclip_core.records import REPOSITORY
from bclip_core.reproduce import book, story


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The folder of the book's pages."""
    pytest.importorskip("jupyter_book", reason="the extra `book` is not installed")
    return book.build(tmp_path_factory.mktemp("book"))


def test_every_page_of_the_contents_is_there(html):
    contents = yaml.safe_load(story.CONTENTS.read_text(encoding="utf-8"))
    names = [one["file"] for part in contents["parts"] for one in part["chapters"]]
    assert len(names) > 20
    for name in (*names, contents["root"], "index"):
        assert (html / f"{name}.html").is_file(), name


def test_outputs_are_the_committed_ones_and_solutions_are_folded(html):
    page = (html / "notebooks" / "05_ablate_beta.html").read_text(encoding="utf-8")
    assert "β = ½ above β = 0: True" in page
    assert page.count("<details") >= 6  # an answer and a solution's code for each exercise
    assert re.search(r'<img[^>]+src="[^"]+\.png"', page)
    assert "<table" in page


def test_mathematics_is_mathematics(html):
    page = (html / "notebooks" / "03_compute_beta_cal.html").read_text(encoding="utf-8")
    assert re.search(r'class="math[^"]*"', page)
    assert "mathjax" in page.lower()


def test_links_lead_to_pages_pictures_and_places(html):
    assert book.broken_links(html) == []
    pictures = set(
        re.findall(r"figures/(\w+\.png)", (REPOSITORY / "notebooks/README.md").read_text())
    )
    assert pictures <= {path.name for path in (html / "_images").iterdir()}


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "one.html").write_text(
        '<p id="here"><a href="#here">a</a><a href="#gone">b</a><a href="two.html#there">c</a>'
        '<img src="no.png"><a href="https://example.org/x">d</a><a href="two.html#gone">e</a>',
        encoding="utf-8",
    )
    (tmp_path / "two.html").write_text('<h1 id="there">x</h1>', encoding="utf-8")
    assert book.broken_links(tmp_path) == [
        "one.html: #gone", "one.html: no.png", "one.html: two.html#gone",
    ]  # fmt: skip


def test_contents_that_cannot_be_read_are_an_error(tmp_path):
    pytest.importorskip("jupyter_book", reason="the extra `book` is not installed")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: notebooks/none\n", encoding="utf-8")
    with pytest.raises(book.BookError, match="failed"):
        book.build(tmp_path / "out", tmp_path / "_toc.yml")
