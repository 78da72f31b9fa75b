"""README's numbers come from results/reference and nowhere else."""

import re

import pytest

from bclip_core.records import REPOSITORY
from bclip_core.reproduce import pages as readme


def test_blocks_are_what_the_reference_results_say():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.fill(text) == text, "run `python -m bclip_core.reproduce.pages`"
    assert set(re.findall(r"<!-- (\w+) -->", text)) == set(readme.BLOCKS)


def test_a_changed_number_is_noticed():
    text = readme.README.read_text(encoding="utf-8")
    number = re.search(r"<!-- benchmark -->\n(?:.*\n){2}.*?(\d+\.\d) \[", text)
    tampered = text[: number.start(1)] + "99.9" + text[number.end(1) :]
    assert readme.fill(tampered) == text


def test_unknown_and_unfinished_blocks_are_named():
    with pytest.raises(ValueError, match="'nothing'.*benchmark"):
        readme.fill("<!-- nothing -->\n<!-- /nothing -->")
    with pytest.raises(ValueError, match="no end mark"):
        readme.fill("<!-- benchmark -->\n")


def test_links_and_figures_exist():
    text = readme.README.read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    assert len(targets) > 10
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []
