"""What is shown in words: escaped, short, and the numbers of the view."""

import html
import re

import pytest

from bclip_core.explorer import View
from bclip_core.explorer.tables import (
    answers_html,
    error_html,
    escaped,
    message_html,
    panel_html,
    plain,
    scores_html,
)

NASTY = "<img src=x onerror=alert(1)> & \"quoted\" 'single' </bdi><script>"


def tags(content: str) -> set[str]:
    return set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", content))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x1b[31m\ud800c", "a�b�[31m�c"),
        ("  two\n\n lines\t", "two lines"),
        ("x" * 100, "x" * 69 + "…"),
        ("🔴 красный", "🔴 красный"),
    ],
)
def test_a_text_becomes_one_plain_line(text, expected):
    assert plain(text) == expected
    plain(text).encode()  # can be sent


def test_escaping_leaves_no_tag_and_no_way_out_of_an_attribute():
    content = escaped(NASTY)
    assert tags(content) == {"bdi"}
    [title] = re.findall(r'title="([^"]*)"', content)
    assert html.unescape(title) == NASTY


def test_nothing_of_a_users_text_becomes_a_tag(workbench):
    view = View("scene 0", NASTY, ("pooled",), caption=f"{NASTY}. A dog. {NASTY}")
    shown = workbench.compute(view)
    ours = {
        "div",
        "i",
        "ul",
        "li",
        "bdi",
        "b",
        "br",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    for make in (message_html, scores_html, answers_html):
        assert tags(make(shown)) <= ours | {"span"}
    assert tags(panel_html(shown.panels[0])) <= ours
    assert tags(error_html(ValueError(NASTY))) <= ours


def test_tables_have_the_views_numbers_and_heads_for_screen_readers(workbench):
    shown = workbench.compute(View("scene 0", "red", ("pooled",)))
    content = scores_html(shown)
    assert content.count('scope="row"') == len(shown.scores)
    assert content.count('scope="col"') == 2 + len(shown.scored)
    for score in shown.scores:
        for value in score.values:
            assert f" {value:.3f}</td>" in content
    assert f"number {shown.rank} of {shown.compared}" in content
    assert answers_html(shown).count("<table") == len(shown.panels)


def test_bars_stay_in_their_place(workbench):
    shown = workbench.compute(View("scene 0", "red", ("pooled",)))
    for content in (scores_html(shown), answers_html(shown)):
        for left, width in re.findall(r"margin-left:([\d.-]+)%;width:([\d.-]+)%", content):
            assert 0 <= float(left) <= 100
            assert 0 <= float(width) <= 100.1 - float(left)
