import dataclasses
import math

import pytest

from bclip_core.data.scenes import (
    ATTRIBUTES,
    COLOURS,
    DIFFICULTIES,
    SCENES_VERSION,
    SPLITS,
    describe,
    get_difficulty,
    render_scenes,
    sample_scene,
    sample_scenes,
    scenes_digest,
)

NAMES = list(DIFFICULTIES)
# Attributes, geometry and texts of 20 scenes, made by this code: a change must raise
# SCENES_VERSION, because stored data sets and trained models depend on them.
PINNED_VERSION = 4
PINNED = {
    "simple": "2ed106370353022ab5e18555f6af69bf9e8cd42955dfd892ca11461cd8ae704b",
    "patterned": "42001cd18c4da83666de475e48334809f2bbe3114223cb03a220cb4eff1f88f5",
    "full": "7be0737277baa6375044ee71658ab060a252d9e717d2a7d9e1bd76e9232dfa32",
}


@pytest.mark.parametrize("name", NAMES)
def test_attributes_and_texts_are_pinned(name):
    assert SCENES_VERSION == PINNED_VERSION
    assert scenes_digest(get_difficulty(name), seed=0, split="train", count=20) == PINNED[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_depends_on_its_own_number_only(name):
    difficulty = get_difficulty(name)
    together = sample_scenes(difficulty, 5, "test", 0, 12)
    assert together[7] == sample_scene(difficulty, 5, "test", 7)
    assert together[:4] == sample_scenes(difficulty, 5, "test", 0, 4)
    assert together[7] != sample_scene(difficulty, 6, "test", 7)


def test_splits_and_seeds_share_no_scene():
    difficulty = get_difficulty("simple")
    seen = set()
    for seed in (0, 1):
        for split in SPLITS:
            for scene in sample_scenes(difficulty, seed, split, 0, 300):
                seen.add((scene.objects, scene.background))
    assert len(seen) == 2 * len(SPLITS) * 300


@pytest.mark.parametrize("name", NAMES)
def test_objects_respect_the_difficulty(name):
    difficulty = get_difficulty(name)
    counts = set()
    used = {attribute: set() for attribute in ATTRIBUTES}
    for scene in sample_scenes(difficulty, 1, "train", 0, 200):
        counts.add(len(scene.objects))
        assert len({describe(item, difficulty) for item in scene.objects}) == len(scene.objects)
        for item in scene.objects:
            assert item.border != item.colour
            assert item.radius == pytest.approx(difficulty.radii[item.size], rel=0.041)
            for attribute in ATTRIBUTES:
                used[attribute].add(item.value(attribute))
    assert counts == set(range(difficulty.objects[0], difficulty.objects[1] + 1))
    assert used == {attribute: set(difficulty.values(attribute)) for attribute in ATTRIBUTES}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_clearly_apart(name):
    radii = list(get_difficulty(name).radii.values())
    assert all(b * 0.96 > 1.25 * a * 1.04 for a, b in zip(radii, radii[1:], strict=False))


def test_colours_are_well_apart():
    values = list(COLOURS.values())
    nearest = min(math.dist(a, b) for a in values for b in values if a != b)
    assert nearest > 70


@pytest.mark.parametrize("name", NAMES)
def test_at_least_70_percent_of_every_object_is_visible(name):
    scenes = sample_scenes(get_difficulty(name), 3, "train", 0, 100)
    _, together = render_scenes(scenes, 64)
    singles = [dataclasses.replace(s, objects=(item,)) for s in scenes for item in s.objects]
    _, alone = render_scenes(singles, 64)
    whole = iter((alone > 0).sum((1, 2)).tolist())
    for scene, instances in zip(scenes, together, strict=True):
        for number in range(len(scene.objects)):
            assert (instances == number + 1).sum().item() >= 0.7 * next(whole)


def test_errors_name_what_is_known():
    with pytest.raises(ValueError, match=r"'hard'.*simple, patterned, full"):
        get_difficulty("hard")
    with pytest.raises(ValueError, match=r"'dev'.*train, validation, test"):
        sample_scene(get_difficulty("simple"), 0, "dev", 0)
    with pytest.raises(ValueError, match="seed=-1"):
        sample_scene(get_difficulty("simple"), -1, "train", 0)
    with pytest.raises(ValueError, match=r"'weight'.*size, pattern, colour, shape, border"):
        get_difficulty("simple").values("weight")
