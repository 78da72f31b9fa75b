"""The protocol on scenes: every metric, chance where nothing was learnt, more where it was."""

import math

import numpy as np
import pytest
import torch

from bclip_core.checkpoints import build_model, load
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.data.scenes import LEVELS, get_difficulty, load_scenes
from bclip_core.evaluation.protocols.scenes import evaluate, grounding_items
from bclip_core.train import train

KS = (1, 5, 10)
WAYS = [f"{way}_R@{k}" for way in ("t2i", "i2t") for k in KS]


def names(pooler):
    varying = get_difficulty("simple").varying
    protocols = ["global", "conditioned", "own_caption"] if pooler else ["global"]
    regions = ["dense", "pooled"] if pooler else ["dense"]
    maps = ["attention", "cosine"] if pooler else ["cosine"]
    return {
        *(f"retrieval/{p}/{c}/{w}" for p in protocols for c in ("long", "short") for w in WAYS),
        *(f"regions/{kind}/{level}" for kind in regions for level in LEVELS),
        *(f"attributes/{kind}/{attribute}" for kind in regions for attribute in varying),
        *(f"grounding/{m}/{x}" for m in maps for x in ("pointing", "average_precision", "iou")),
    }


@pytest.fixture(scope="module")
def untrained(held_out_scenes):
    torch.manual_seed(0)
    model = build_model(BackboneConfig("scene-tiny"), PoolerConfig(init="xavier"))
    return evaluate(model, held_out_scenes)


def test_every_metric_has_its_interval_chance_and_count(untrained, held_out_scenes):
    assert set(untrained) == names(pooler=True)
    for name, metric in untrained.items():
        assert set(metric) == {"mean", "low", "high", "chance", "count"}, name
        assert 0 <= metric["low"] <= metric["mean"] <= metric["high"] <= 1, name
        assert 0 < metric["chance"] < 1, name
        if name.startswith("retrieval"):
            assert metric["count"] == len(held_out_scenes)
            assert metric["chance"] == pytest.approx(int(name.split("@")[1]) / 24)
        if name.startswith("regions"):
            assert metric["chance"] == pytest.approx(1 / 11)


def test_what_was_not_trained_is_at_chance(untrained):
    for name, metric in untrained.items():
        if name.startswith("grounding"):
            continue
        chance = metric["chance"]
        spread = math.sqrt(chance * (1 - chance) / metric["count"])
        assert abs(metric["mean"] - chance) < 4 * spread, name
        # With few hits the bootstrap's interval is too short; with many it has chance inside.
        if name.startswith("retrieval/global") and name.endswith("R@10"):
            assert metric["low"] <= chance <= metric["high"], name


def test_what_was_learnt_by_heart_is_found(tiny_config, held_out_scenes, tmp_path):
    scenes = held_out_scenes.select(range(12))
    settings = tiny_config.train.replace(steps=50, batch_size=12, lr=2e-3, checkpoint_every=0)
    config = tiny_config.replace(method="clip-ft", train=settings)
    texts = tiny_config.texts.replace(sentences=50)  # every caption as it is written
    model = train(config.replace(texts=texts), scenes, tmp_path, device="cpu", progress=False)
    metrics = evaluate(model, scenes)
    assert set(metrics) == names(pooler=False)
    for way in ("t2i_R@1", "i2t_R@1"):
        assert metrics[f"retrieval/global/long/{way}"]["mean"] >= 0.9
        assert metrics[f"retrieval/global/long/{way}"]["low"] > 1 / 12
    assert metrics == evaluate(load(tmp_path / "model.safetensors"), scenes)


def test_scenes_of_another_size_are_asked_about_in_their_own_pixels(tiny_config, untrained):
    large = load_scenes(tiny_config.data.replace(image_size=128), "test", progress=False)
    torch.manual_seed(0)
    metrics = evaluate(
        build_model(BackboneConfig("scene-tiny"), PoolerConfig(init="xavier")), large
    )
    assert set(metrics) == set(untrained)
    assert max(max(box) for boxes in large["boxes"] for box in boxes) > 64
    name = "grounding/cosine/average_precision"
    assert metrics[name]["chance"] == pytest.approx(untrained[name]["chance"], rel=0.1)


def test_grounding_masks_are_the_pixels_of_what_a_phrase_names(held_out_scenes):
    rows, phrases, masks = grounding_items(held_out_scenes, per_scene=4)
    assert len(rows) == len(phrases) == len(masks)
    assert masks.dtype == torch.bool
    seen = dict.fromkeys(rows, 0)
    for row, phrase, mask in zip(rows, phrases, masks, strict=True):
        seen[row] += 1
        scene = held_out_scenes[row]
        places = [
            objects
            for texts, links in zip(scene["phrases"], scene["phrase_objects"], strict=True)
            for text, objects in zip(texts, links, strict=True)
            if text == phrase
        ]
        instances = np.array(scene["instances"])
        for objects in places:
            expected = np.zeros(instances.shape, bool)
            for number in objects:
                expected |= instances == number + 1
            assert np.array_equal(mask.numpy(), expected), (row, phrase)
        assert 0 < mask.sum() < (instances > 0).sum(), "true of every object"
    assert len(seen) == len(held_out_scenes)
    assert max(seen.values()) <= 4


def test_a_phrase_of_all_objects_is_asked_only_where_there_is_no_other(held_out_scenes):
    everything = "two shapes"
    scene = next(s for s in held_out_scenes if len(s["boxes"]) == 2)
    only = held_out_scenes.select([held_out_scenes["id"].index(scene["id"])])
    only = only.remove_columns(["phrases", "phrase_objects"])
    only = only.add_column("phrases", [[[everything]]]).add_column("phrase_objects", [[[[0, 1]]]])
    rows, phrases, masks = grounding_items(only)
    assert (rows, phrases) == ([0], [everything])
    assert masks[0].sum() == int((np.array(scene["instances"]) > 0).sum())


def test_means_are_fractions_of_the_items(untrained):
    for name, metric in untrained.items():
        if not name.startswith("grounding"):
            hits = metric["mean"] * metric["count"]
            assert math.isclose(hits, round(hits), abs_tol=1e-6), name
