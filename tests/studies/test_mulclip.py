"""MulCLIP's ablation and maps: variants differ in one part, gaps have intervals."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from bclip_core.backbone import Tokenizer
from bclip_core.config import BackboneConfig, ConfigError, get_profile
from bclip_core.losses import attend
from bclip_core.model import TokenCalibration, get_method
from bclip_core.records.results import save_result
from bclip_core.studies.mulclip import ablation
from bclip_core.studies.mulclip.maps import (
    attention_weights,
    scene_batch,
    scene_levels,
    sentence_masks,
)
from bclip_core.studies.papers import MULCLIP_ABLATION
from bclip_core.studies.search import comparison_configs
from bclip_core.studies.tables import verdict
from bclip_core.train import create_model


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """The smoke profile with two seeds and a search's choice on this machine."""
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    choice = {"mulclip": {"chosen": {"rate": 2.0, "weight": 3.0, "score": 0.5}}}
    save_result("search", "smoke", {"methods": choice})
    return dataclasses.replace(get_profile("smoke"), seeds=(0, 1))


def test_variants_differ_from_the_full_method_in_the_part_they_are_named_after(profile):
    found = ablation.configurations(profile, list(ablation.VARIANTS), seeds=2)
    full = found["full"]
    assert full == comparison_configs(profile, ["mulclip"])["mulclip"]
    assert [config.train.seed for config in full] == [0, 1]
    assert full[0].train.lr == 2 * profile.base.train.lr
    terms = {name: set(get_method(several[0].method).terms) for name, several in found.items()}
    assert terms["full"] - terms["without words"] == {"word"}
    assert terms["full"] - terms["without sub-captions"] == {"subcaption"}
    assert terms["full"] - terms["global only"] == {"word", "subcaption"}
    assert not get_method(found["without calibration"][0].method).calibrate
    assert terms["without calibration"] == terms["batch-wise words"] == terms["full"]
    assert found["batch-wise words"][1].loss == full[1].loss.replace(word_negatives="batch")
    for name, several in found.items():
        for config, whole in zip(several, full, strict=True):
            read = set(get_method(config.method).weights)
            assert config.replace(method="mulclip", loss=whole.loss, heads=whole.heads) == whole
            assert (config.heads == whole.heads) == ("apart" not in name)
            assert all(getattr(config.loss, w) == getattr(whole.loss, w) for w in read), name


def test_without_a_search_nothing_is_scaled(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    assert ablation.settled_factors("smoke") == (1.0, 1.0)


def test_what_cannot_be_ablated_is_refused(profile):
    for variants, seeds, message in (
        (["full", "x"], 1, "variant='x': expected one of full, global only"),
        (["global only"], 1, "expected 'full'"),
        (["full"], 3, "seeds=3: expected 1 to 2"),
        (["full"], 0, "seeds=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            ablation.configurations(profile, variants, seeds)


def metrics(mean: float, reach: float = 0.03) -> dict[str, dict[str, float]]:
    value = {"mean": mean, "low": mean - reach, "high": mean + 2 * reach, "chance": 0.1, "count": 9}
    return {name: value for name in ablation.METRICS.values()}


def test_a_gap_of_one_seed_adds_the_reach_of_both_runs_as_squares():
    found = ablation.gaps({"full": [metrics(0.5, 0.04)], "global only": [metrics(0.4, 0.03)]})
    assert list(found) == ["global only"]
    for gap in found["global only"].values():
        assert gap["mean"] == pytest.approx(-0.1)
        assert gap["low"] == pytest.approx(-0.1 - math.hypot(0.03, 0.08))
        assert gap["high"] == pytest.approx(-0.1 + math.hypot(0.06, 0.04))
        assert verdict(gap, ablation.WORDS) == "worse"


def test_gaps_of_several_seeds_are_taken_seed_by_seed():
    full = [metrics(0.5), metrics(0.7), metrics(0.6)]
    less = [metrics(0.45), metrics(0.64), metrics(0.56)]
    (by_title,) = ablation.gaps({"full": full, "without words": less}).values()
    gap = by_title["regions, medium"]
    assert gap["mean"] == pytest.approx(-0.05)
    assert gap["high"] < 0, "seeds differ far more than the gaps do"


def test_a_verdict_needs_an_interval_without_zero():
    for low, high, expected in ((-2, -1, "worse"), (1, 2, "better"), (-1, 2, "not told")):
        assert verdict({"low": low, "high": high}, ablation.WORDS) == expected


def test_a_record_comes_back_from_a_file_in_order(profile):
    names = list(ablation.VARIANTS)
    configs = ablation.configurations(profile, names)
    lives = {name: [[{"word": 2.5, "loss": 5.0}, {"word": 2.4}]] for name in names}
    lives["without words"] = [[{"loss": 2.0}]]
    record = ablation.summary(configs, {name: [metrics(0.1)] for name in names}, lives)
    assert record["word_loss"]["full"] == [[2.5, 2.4]]
    assert record["word_loss"].keys() == {*names} - {"without words"}
    stored = json.loads(json.dumps(record, sort_keys=True))
    assert list(stored["variants"]) != names
    found = ablation.in_order(stored)
    assert list(found["variants"]) == list(found["configs"]) == names
    assert list(found["gaps"]) == names[1:]
    assert list(found["gaps"]["without words"]) == list(ablation.METRICS)
    assert found["seeds"] == [0]
    assert found == stored


def test_published_variants_are_ours_by_name():
    assert set(MULCLIP_ABLATION) < set(ablation.VARIANTS)


# Maps


@pytest.fixture
def mulclip(tiny_config):
    torch.manual_seed(0)
    config = tiny_config.replace(method="mulclip")
    return config, create_model(config)


@torch.no_grad()
def test_weights_are_those_behind_the_averages():
    torch.manual_seed(0)
    queries, tokens = torch.randn(3, 8), torch.randn(5, 8)
    weights = attention_weights(queries, tokens, 0.1)
    unit = torch.nn.functional.normalize(tokens, dim=-1)
    torch.testing.assert_close(weights @ unit, attend(queries[None], tokens[None], None, 0.1)[0])
    layer = TokenCalibration(8, 2)
    layer.scale.data.fill_(1.5)
    shares = layer.shares(tokens[None])[0]
    torch.testing.assert_close(shares, (1.5 * layer.weight(tokens)).softmax(0).T)
    torch.testing.assert_close(shares @ tokens, layer(tokens[None])[0])


def test_a_batch_of_scenes_has_the_first_texts_of_each(mulclip, held_out_scenes):
    config, _ = mulclip
    rows = [held_out_scenes[n] for n in range(3)]
    images, batch, written = scene_batch(rows, config)
    assert images.shape == (3, 3, 64, 64)
    assert batch.index.shape == (3, 2 + config.texts.sentences)
    for row, texts in zip(rows, written, strict=True):
        assert texts[0] == " ".join(row["sentences"][: config.texts.sentences])
        assert texts[1] == row["short_captions"][0]


def test_sentences_outline_what_they_name(held_out_scenes):
    row = held_out_scenes[0]
    instances = np.array(row["instances"])
    found = sentence_masks(row, 64)
    assert found
    for sentence, mask in found.items():
        objects = row["sentence_objects"][row["sentences"].index(sentence)]
        assert 0 < len(objects) < len(row["objects"])
        np.testing.assert_array_equal(mask.numpy(), np.isin(instances, np.array(objects) + 1))


def test_levels_of_a_scene(mulclip, held_out_scenes):
    _, model = mulclip
    rows = [held_out_scenes[n] for n in range(3)]
    found = scene_levels(model, rows, 1, sentences=2)
    rows_columns = model.backbone.grid[0] * model.backbone.grid[1]
    tokens = model.heads.calibrate_patches.weight[-1].out_features
    assert tokens == int(0.2 * rows_columns)
    assert found.long.shape == found.short.shape == (3, 3)
    assert len(found.sentences) == 2
    assert all(item.hit in (True, False) for item in found.sentences)
    assert len(found.patch_tokens) == len(found.word_tokens) == len(found.word_peaks) == tokens
    for matrix in (found.patch_words, found.word_patches):
        assert matrix.shape == (tokens, tokens)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)
    said = set(Tokenizer().pieces(rows[1]["caption"]))
    assert {word for label in found.word_tokens for word in label.split()} <= said
    assert min(found.word_peaks) >= 1
    numbers = json.loads(json.dumps(found.numbers()))
    assert numbers["patch_words"] == np.round(found.patch_words, 3).tolist()
    np.testing.assert_array_equal(found.image, np.array(rows[1]["image"]))


def test_levels_need_calibration_and_a_sentence_about_some_objects(mulclip, held_out_scenes):
    config, model = mulclip
    row = held_out_scenes[0]
    empty = {**row, "sentence_objects": [[] for _ in row["sentences"]]}
    with pytest.raises(ValueError, match="no sentence names some of its objects"):
        scene_levels(model, [empty])
    bare = create_model(config.replace(method="clip-ft", backbone=BackboneConfig("scene-tiny")))
    with pytest.raises(ValueError, match="without token calibration"):
        scene_levels(bare, [row])


def test_pieces_are_the_words_of_a_text():
    assert Tokenizer().pieces("A red  circle, tiny.") == ["a", "red", "circle", ",", "tiny", "."]
    assert "".join(Tokenizer().pieces("zxqvbrt")) == "zxqvbrt"
