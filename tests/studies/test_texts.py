"""Lengths of captions: counted by hand, described, and the committed record of the real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bclip_core.captions import RuleBasedExtractor
from bclip_core.config import ConfigError
from bclip_core.records.files import read_json
from bclip_core.studies.texts import lengths as text_lengths
from bclip_core.studies.texts.figure import text_lengths as text_lengths_figure
from bclip_core.studies.texts.lengths import (
    PERCENTILES,
    RECORD,
    SETS,
    available_extractors,
    describe,
    measure_set,
    measure_texts,
    share_above,
)

CAPTION = "A red bus is parked next to a tree. Two dogs sit."


def test_a_caption_counted_by_hand() -> None:
    found = measure_texts([CAPTION, "A cat."], RuleBasedExtractor())
    assert found.tokens == [16, 5]  # 14 words and stops, start and end
    assert found.sentences == [2, 1]
    phrases = RuleBasedExtractor()("A red bus is parked next to a tree.")
    assert phrases == ["A red bus", "next to", "a tree"]
    assert found.phrases == [4, 1]  # and "Two dogs"
    assert found.phrase_tokens == [5, 4, 4, 4, 4]


def test_a_description_by_hand() -> None:
    found = describe([1, 2, 3, 10])
    assert (found["count"], found["mean"], found["median"], found["largest"]) == (4, 4.0, 2.5, 10)
    assert len(found["percentiles"]) == len(PERCENTILES)
    assert found["percentiles"][PERCENTILES.index(50)] == 2.5
    assert found["percentiles"] == sorted(found["percentiles"])
    assert share_above([1, 2, 3, 10], 2) == 0.5
    with pytest.raises(ValueError, match=r"values=\[\]"):
        describe([])


def test_an_extractor_that_is_missing_is_said_not_replaced() -> None:
    extractors, unavailable = available_extractors()
    assert "rules" in extractors
    assert ("spacy" in extractors) != ("spacy" in unavailable)
    assert all(extractors[name].name.startswith(name) for name in extractors)


def test_a_set_is_measured_from_its_official_file(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "caption": [CAPTION] * 5}]
    (tmp_path / "flickr30k").mkdir()
    (tmp_path / "flickr30k" / "flickr30k_val.json").write_text(json.dumps(rows))
    found = measure_set("flickr30k", "validation", tmp_path)
    assert (found["captions"], found["data"]["items"], found["data"]["texts"]) == (5, 1, 5)
    assert found["tokens"]["mean"] == 16
    assert found["longer_than"] == {"77": 0.0, "248": 0.0}
    assert found["rules"]["phrases"]["median"] == 4
    assert found["rules"]["more_than_30"] == 0.0


def test_the_record_holds_every_set_and_says_what_was_not_available() -> None:
    values = read_json(RECORD)["values"]
    assert list(values["sets"]) == sorted(title for title, _, _ in SETS)
    assert values["absent"] == {}
    expected = {"Urban-1K": 999, "DCI": 1999, "DOCCI": 5100, "COCO": 25000, "Flickr30k": 5070}
    assert {title: one["captions"] for title, one in values["sets"].items()} == expected
    for one in values["sets"].values():
        kinds = {"rules"} | ({"spacy"} - set(values["unavailable"]))
        assert kinds <= set(one)


def test_the_figure_draws_every_set_in_every_panel() -> None:
    values = read_json(RECORD)["values"]
    points = {"phrases of a caption": {50: 41.0, 99: 68.0}}
    figure = text_lengths_figure(
        values["sets"], PERCENTILES, "rules", points, {"tokens of a caption": (77, 248)}
    )
    panels = figure.axes
    assert [len(panel.get_lines()) for panel in panels] == [7, 5, 6, 5]
    titles = [panel.get_xlabel() for panel in panels]
    assert titles[0] == "tokens of a caption"
    line = panels[0].get_lines()[0]
    assert list(line.get_ydata()) == list(PERCENTILES)
    with pytest.raises(ValueError, match="expected at least one data set"):
        text_lengths_figure({}, PERCENTILES, "rules")


def test_absent_data_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.json"
    monkeypatch.setattr(text_lengths, "RECORD", record)
    arguments = ["--root", str(tmp_path)]
    with pytest.raises(ConfigError, match="expected some data set there"):
        text_lengths.main(arguments)
    assert not record.exists()
    assert "Urban-1K: " in capsys.readouterr().out
    measured = text_lengths.measure_set

    def only_flickr(name: str, *rest: Any, **more: Any) -> dict[str, Any]:
        return {"captions": 5} if name == "flickr30k" else measured(name, *rest, **more)

    monkeypatch.setattr(text_lengths, "measure_set", only_flickr)
    text_lengths.main(arguments)
    before = record.read_bytes()
    values = read_json(record)["values"]
    assert list(values["sets"]) == ["Flickr30k"]
    assert set(values["absent"]) == {title for title, _, _ in SETS} - {"Flickr30k"}
    monkeypatch.setattr(text_lengths, "measure_set", measured)
    with pytest.raises(ConfigError, match=r"record\.json is left as it was"):
        text_lengths.main(arguments)
    assert record.read_bytes() == before
