"""Phrases asked bare and in sentences: the bare ones are the protocol's own."""

import pytest
import torch

from bclip_core.data.images import decode_images
from bclip_core.evaluation.encoding import encode_images
from bclip_core.evaluation.protocols.scenes import phrase_scores
from bclip_core.records.files import read_json
from bclip_core.studies.pointing import measure_pointing, overall_hits
from bclip_core.studies.texts import wording
from bclip_core.studies.texts.wording import WORDINGS, measure_wordings, study, wording_rows


def test_the_bare_phrase_is_what_pointing_measures(pooled_model, held_out_scenes):
    found = measure_wordings(pooled_model, held_out_scenes)
    hits, chance = overall_hits(measure_pointing(pooled_model, held_out_scenes), places=False)
    assert 100 * found["attention/{}"] == pytest.approx(hits)
    assert 100 * found["chance"] == pytest.approx(chance)
    assert {f"{maps}/{one}" for maps in ("attention", "cosine") for one in WORDINGS} <= set(found)


def test_the_model_is_asked_the_wording(pooled_model, held_out_scenes):
    pixels, _ = decode_images(held_out_scenes, pooled_model.backbone.image_size[0])
    _, patches = encode_images(pooled_model, pixels)
    asked = ("{}", "not {} at all", "not {} at all")
    found = [phrase_scores(pooled_model, patches, held_out_scenes, one).scores for one in asked]
    told = [scores["cosine"].average_precision for scores in found]
    assert not torch.equal(told[0], told[1])
    assert torch.equal(told[1], told[2])


def test_rows_are_means_over_seeds():
    one = {"count": 4, "chance": 0.1} | {f"cosine/{w}": 0.5 for w in WORDINGS}
    other = one | {"cosine/{}": 0.25}
    rows = wording_rows({"mulclip": {"1000": {"0": one}, "100": {"0": one, "1": other}}})
    assert rows[1] == ["mulclip", "100", "2", "cosine", "37.5", "50.0", "50.0", "50.0", "10.0"]
    assert rows[2][:5] == ["mulclip", "1,000", "1", "cosine", "50.0"]
    assert len(rows) == 3


def test_a_study_adds_to_what_is_recorded(tiny_smoke, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    monkeypatch.setitem(wording.SERIES, "mine", ("clip-ft", ()))
    first = read_json(study(tiny_smoke, ["mine"], [2], [0]))["values"]
    both = read_json(study(tiny_smoke, ["mine"], [3], [0]))["values"]
    assert set(first["mine"]) == {"2"}
    assert set(both["mine"]) == {"2", "3"}
    assert both["mine"]["2"] == first["mine"]["2"]
