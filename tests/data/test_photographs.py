"""Sample photographs: whole texts, in the official formats, which every loader reads."""

import json
import re

import pytest

from bclip_core.captions import RuleBasedExtractor, split_sentences
from bclip_core.data import real
from bclip_core.data.real import photographs as samples

PHOTOGRAPHS = samples.photographs()
REGIONS = [region for one in PHOTOGRAPHS for region in one["regions"]]


@pytest.fixture(scope="module")
def root(layouts):
    return layouts


@pytest.mark.parametrize("one", PHOTOGRAPHS, ids=lambda one: one["path"])
def test_every_photograph_has_origin_licence_and_texts(one):
    assert one["origin"]
    assert one["author"]
    assert one["licence"]
    assert len(split_sentences(one["caption"])) >= 5
    assert len(set(one["short_captions"])) == 5
    assert max(map(len, one["short_captions"])) < len(one["caption"])
    width, height = one["size"]
    for region in one["regions"]:
        x, y, w, h = region["box"]
        assert x >= 0 <= y
        assert x + w <= width
        assert y + h <= height


@pytest.mark.parametrize("region", REGIONS, ids=samples.true_expression)
@pytest.mark.parametrize("changed", [1, 2, 3])
def test_false_expressions_change_so_many_attributes(region, changed):
    true, false = samples.true_expression(region), samples.false_expressions(region, changed)
    assert len(set(false)) == 10
    assert true not in false
    assert false == samples.false_expressions(region, changed), "the same ones every time"
    values = [several[0] for several in region["attributes"]]
    for text in false:
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text), text
        ways = [
            sum(a != b for a, b in zip(way, values, strict=True))
            for way in candidates(region)
            if region["expression"].format(*way) == text
        ]
        assert changed in ways, text


def candidates(region):
    first, second, third = region["attributes"]
    return [(a, b, c) for a in first for b in second for c in third]


def test_every_loader_reads_what_was_laid_out(root):
    short = real.load_captions("coco", root / "coco", "test")
    assert [item.captions for item in short.items] == [
        tuple(one["short_captions"]) for one in PHOTOGRAPHS
    ]
    long = real.load_captions("docci", root / "docci", "test")
    assert [item.captions[0] for item in long.items] == [one["caption"] for one in PHOTOGRAPHS]
    assert not short.left_out
    assert not long.left_out
    for level in real.get("fgovd").splits:
        regions = real.load_regions("fgovd", root / "fgovd", level, images=root / "coco")
        assert len(regions.items) == len(REGIONS)
        assert {len(item.captions) for item in regions.items} == {11}
        assert [item.captions[0] for item in regions.items] == list(
            map(samples.true_expression, REGIONS)
        )


def test_pairs_become_training_rows(root):
    found = real.load_captions("pairs", root / "pairs", "train")
    rows = real.training_rows(found, RuleBasedExtractor())
    assert len(rows) == len(PHOTOGRAPHS)
    assert all(len(row["sentences"]) >= 5 and row["phrases"] for row in rows)


def test_a_picture_that_changed_is_named_and_nothing_is_written(tmp_path, root):
    changed = PHOTOGRAPHS[0] | {"sha256": "0" * 64}
    with pytest.raises(samples.MissingPhotographsError, match=r"astronaut\.png: another picture"):
        samples.picture(changed)
    absent = PHOTOGRAPHS[0] | {"path": "no_such_package/x.png", "package": "no-such-package"}
    with pytest.raises(samples.MissingPhotographsError, match="no-such-package: not installed"):
        samples.picture(absent)


def test_the_repository_holds_texts_alone():
    folder = samples.TEXTS.parent
    assert {path.suffix for path in folder.iterdir()} == {".json"}
    assert json.loads(samples.TEXTS.read_text(encoding="utf-8"))["photographs"] == PHOTOGRAPHS
