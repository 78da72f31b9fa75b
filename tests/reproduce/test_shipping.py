"""The shipped models are what their records say, and a run becomes one whole or not at all."""

import json

import pytest
import torch

from bclip_core import checkpoints
from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import open_model
from bclip_core.config import ConfigError, DataConfig, RunConfig
from bclip_core.data.sources import load_split
from bclip_core.evaluation import grounding_metric, region_metric, retrieval_metric
from bclip_core.evaluation.protocols import scenes
from bclip_core.records.files import read_json, sha256
from bclip_core.records.together import promotion_of
from bclip_core.reproduce import shipping
from bclip_core.reproduce.shipping import (
    BETA_CLIP,
    CHECKED_SCENES,
    record_of,
    ship_pretrained,
    shipped_runs,
)
from bclip_core.studies.runs import obtain

LARGEST = 40e6  # bytes of all shipped weights together
HEADLINES = (
    retrieval_metric("global"),
    retrieval_metric("conditioned"),
    region_metric("hard"),
    region_metric("medium"),
    grounding_metric("attention", "pointing"),
    grounding_metric("cosine", "pointing"),
)
SOME_HITS = 0.015  # of 200 scenes three; another machine's rounding moves a hit or two


@pytest.mark.parametrize("name", checkpoints.SHIPPED)
def test_weights_and_record_go_together(name):
    record, weights = read_json(record_of(name)), checkpoints.SHIPPED[name]
    assert record["sha256"] == sha256(weights)
    model = open_model(name)
    assert model.backbone.config.name == record["config"]["backbone"]["name"]
    assert (model.pooler is None) == (name == "scenes")


def test_shipped_weights_are_small():
    assert sum(path.stat().st_size for path in checkpoints.SHIPPED.values()) <= LARGEST


def test_the_fine_tuned_model_reaches_again_what_its_record_says():
    record, model = read_json(record_of(BETA_CLIP)), open_model(BETA_CLIP)
    data = DataConfig.from_dict(record["config"]["data"]).replace(test=CHECKED_SCENES)
    measured = scenes.evaluate(model, load_split(data, "test"))
    for name in HEADLINES:
        assert measured[name]["mean"] == pytest.approx(
            record["checked"][name]["mean"], abs=SOME_HITS
        ), name
        low, high = (record["metrics"][name][end] for end in ("low", "high"))
        share = measured[name]["mean"]
        assert 0 < low < high < 1
        assert share > record["metrics"][name]["chance"], name


def test_the_fine_tuned_model_is_made_by_its_recipe():
    first, *later = shipped_runs(BETA_CLIP)
    record, pooler = read_json(record_of(BETA_CLIP)), open_model(BETA_CLIP).pooler
    assert pooler.config.key_blur == record["key_blur"] == shipping.KEY_BLUR
    assert first.backbone.pretrained == "scenes"
    assert {one.backbone.pretrained for one in later} == {BETA_CLIP}
    found, stages = record, []
    while found:
        stages.append((RunConfig.from_dict(found["config"]), found["sha256"]))
        found = found.get("before")
    assert [config for config, _ in reversed(stages)] == [first, *later]
    assert len({digest for _, digest in stages}) == len(stages)
    with pytest.raises(ConfigError, match="name='x': expected one of scenes, scenes-beta-clip"):
        shipped_runs("x")


def test_a_run_becomes_a_shipped_model(tiny_smoke, tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    place = tmp_path / "mine.safetensors"
    monkeypatch.setitem(checkpoints.SHIPPED, "mine", place)
    monkeypatch.setattr(shipping, "CHECKED_SCENES", 20)
    (run,) = obtain([tiny_smoke.run("beta-clip-ce")])
    assert ship_pretrained(run, "mine") == place
    record, model = json.loads((tmp_path / "mine.json").read_text()), open_model("mine")
    assert record["sha256"] == sha256(place)
    assert set(record["checked"]) == set(record["metrics"])
    assert 0 <= record["leak"]["share/text"] <= 1
    half = run.model().state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, half[name].half().float(), rtol=0, atol=0)
    shown = (path.name for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert sorted(shown) == [
        "mine.json", "mine.safetensors", "runs"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="name='other': expected one of scenes, "):
        ship_pretrained(run, "other")
    ship_pretrained(run, "mine", key_blur=0.5)
    assert json.loads((tmp_path / "mine.json").read_text())["key_blur"] == 0.5
    assert (record["key_blur"], open_model("mine").pooler.config.key_blur) == (0.0, 0.5)


def test_half_a_pair_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setitem(checkpoints.SHIPPED, "mine", tmp_path / "mine.safetensors")
    promotion_of(tmp_path / "mine.safetensors")[1].mkdir(parents=True)
    with pytest.raises(CheckpointError, match="broken off: run python -m bclip_core.reproduce.shi"):
        open_model("mine")
