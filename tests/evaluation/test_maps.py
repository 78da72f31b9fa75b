"""Maps of one picture: what the model computes, and verdicts that agree with the protocol."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.evaluation import grounding_scores
from bclip_core.evaluation.encoding import encode_images, encode_texts
from bclip_core.evaluation.maps import choose_phrases, phrase_masks, picture_maps, text_maps

TEXTS = ["red circle", "a blue star in the upper left", "dog"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(BackboneConfig("scene-tiny"), PoolerConfig())


@pytest.fixture(scope="module")
def pixels():
    return torch.randint(256, (3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()


@pytest.fixture(scope="module")
def maps(model, pixels):
    return picture_maps(model, pixels, TEXTS)


def scene(phrases, objects, instances):
    return {"phrases": phrases, "phrase_objects": objects, "instances": np.array(instances)}


def test_maps_are_what_the_model_computes(model, pixels, maps):
    image, patches = encode_images(model, pixels[None])
    text = encode_texts(model, TEXTS)
    for number in range(len(TEXTS)):  # one text at a time
        with torch.no_grad():
            pooled, weights = model.pooler(patches, text[None, number : number + 1], True)
        torch.testing.assert_close(maps.attention[number], weights[0, :, 0])
        expected = functional.cosine_similarity(pooled[0, 0], text[number], dim=0)
        torch.testing.assert_close(maps.pooled_score[number], expected)
        expected = functional.cosine_similarity(patches[0], text[number, None])
        torch.testing.assert_close(maps.cosine[number], expected)
        expected = functional.cosine_similarity(image[0], text[number], dim=0)
        torch.testing.assert_close(maps.score[number], expected)


def test_kinds_and_their_values(maps):
    heads = [f"head {number}" for number in range(1, 9)]
    assert maps.kinds == ("mean", *heads, "cosine")
    torch.testing.assert_close(maps.values("head 3"), 64 * maps.attention[:, 2])
    by_head = torch.stack([maps.values(head) for head in heads])
    torch.testing.assert_close(maps.values("mean"), by_head.mean(0))
    torch.testing.assert_close(maps.values("mean").mean(1), torch.ones(3))  # 1 is an even share
    with pytest.raises(ValueError, match="kind='head 9': expected one of mean, head 1"):
        maps.values("head 9")


def test_without_a_pooler_there_is_the_cosine(pixels):
    maps = picture_maps(build_model(BackboneConfig("scene-tiny"), None), pixels, TEXTS)
    assert maps.kinds == ("cosine",)
    assert maps.attention is None
    assert maps.pooled_score is None
    assert [item.note[:7] for item in text_maps(maps, "cosine")] == ["cosine "] * 3


@pytest.mark.parametrize("texts", [[], [""], ["red", "  "]])
def test_texts_without_a_word_are_refused(model, pixels, texts):
    with pytest.raises(ValueError, match="at least one word"):
        picture_maps(model, pixels, texts)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(3, 32, 64).byte(), torch.zeros(64, 64, 3).byte(), torch.zeros(3, 64, 64)]
)
def test_pictures_of_another_kind_are_refused(model, wrong):
    with pytest.raises(ValueError, match=r"expected uint8 \[3, 64, 64\]"):
        picture_maps(model, wrong, TEXTS)


def test_hottest_patch_and_verdict_follow_the_pointing_game(maps):
    found = []
    for row, column in ((0, 0), (2, 5), (7, 7)):
        values = torch.zeros(3, 8, 64)
        values[..., 8 * row + column] = 1.0
        hot = maps._replace(attention=values)
        masks = torch.zeros(3, 64, 64, dtype=torch.bool)
        masks[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = True
        masks[1, 8 * row + 4, 8 * column + 4] = True  # the centre alone
        masks[2] = ~masks[1]
        items = text_maps(hot, "mean", list(masks))
        assert {item.hottest for item in items} == {(8.0 * column, 8.0 * row, 8.0, 8.0)}
        assert {item.note for item in items} == {"64.0 × even"}
        found.append([item.hit for item in items])
        scores = grounding_scores(hot.values("mean"), (8, 8), masks)
        assert found[-1] == (scores.pointing == 1).tolist()
    assert found == [[True, True, False]] * 3


def test_heat_has_the_pictures_resolution_and_keeps_the_mean(maps):
    for item, values in zip(text_maps(maps), maps.values(), strict=True):
        assert item.heat.shape == (64, 64)
        assert item.heat.min() >= values.min() - 1e-6
        assert item.heat.max() <= values.max() + 1e-6
        assert item.mask is None
        assert item.hit is None


def test_masks_have_to_be_one_per_text(maps):
    with pytest.raises(ValueError, match="1 masks for 3 texts"):
        text_maps(maps, masks=[torch.ones(64, 64, dtype=torch.bool)])


INSTANCES = [[1, 1, 0], [0, 2, 2]]  # object 2 (number 3 here) is hidden


def test_phrase_masks_cover_what_is_visible():
    made = phrase_masks(
        scene(
            [["red star", "star"], ["grey background", "blue circle"]],
            [[[0], [0, 1]], [[], [2]]],
            INSTANCES,
        )
    )
    assert {phrase: mask.int().tolist() for phrase, mask in made.items()} == {
        "red star": [[1, 1, 0], [0, 0, 0]],
        "star": [[1, 1, 0], [0, 1, 1]],
    }


def test_objects_take_turns_and_short_phrases_come_first():
    row = scene(
        [["large red star", "star", "red star"], ["blue star", "grey background", "hidden circle"]],
        [[[0], [0, 1], [0]], [[1], [], [2]]],
        INSTANCES,
    )
    phrases, masks = choose_phrases(row, 4)
    assert phrases == ["red star", "blue star", "large red star"]
    assert [int(mask.sum()) for mask in masks] == [2, 2, 2]
    assert [bool(mask[0, 0]) for mask in masks] == [True, False, True]
    assert choose_phrases(row, 2)[0] == phrases[:2]


def test_phrases_of_real_scenes_name_one_object(held_out_scenes):
    for row in held_out_scenes:
        links = {
            phrase: objects
            for texts, linked in zip(row["phrases"], row["phrase_objects"], strict=True)
            for phrase, objects in zip(texts, linked, strict=True)
        }
        phrases, masks = choose_phrases(row, 4)
        assert len(phrases) == len(masks) == 4
        assert len({links[phrase][0] for phrase in phrases}) >= 2
        for phrase, mask in zip(phrases, masks, strict=True):
            (number,) = links[phrase]
            assert torch.equal(mask, torch.from_numpy(np.array(row["instances"])) == number + 1)
