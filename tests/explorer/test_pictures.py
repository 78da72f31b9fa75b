"""Pictures on offer: ground truth of scenes, captions of one's own, words and false texts."""

import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core.captions import decompose
from bclip_core.data.images import image_to_pixels
from bclip_core.evaluation.maps import phrase_masks
from bclip_core.explorer.cache import BoundedCache
from bclip_core.explorer.pictures import LONGEST_CAPTION, MOST_TEXTS, own_picture, scene_picture


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_a_scene_offers_its_own_texts_and_masks(held_out_scenes):
    scene = held_out_scenes[0]
    picture = scene_picture(scene, "scene 0")
    phrases = [phrase for texts in scene["phrases"] for phrase in texts]
    assert picture.texts[0] == scene["caption"]
    assert set(picture.texts) == {scene["caption"], *scene["sentences"], *phrases}
    assert len(picture.texts) == len(set(picture.texts))
    for phrase, mask in phrase_masks(scene).items():
        assert torch.equal(picture.mask(phrase.upper(), 64), mask)
    assert picture.mask("a dog", 64) is None
    assert torch.equal(picture.pixels(64), image_to_pixels(scene["image"], 64))


def test_a_mask_follows_the_picture_to_another_size(held_out_scenes):
    picture = scene_picture(held_out_scenes[0], "scene 0")
    small, large = picture.mask(picture.suggestion, 64), picture.mask(picture.suggestion, 128)
    assert large.shape == (128, 128)
    blocks = large.reshape(64, 2, 64, 2).float().mean((1, 3))
    assert ((blocks > 0.5) == small).float().mean() > 0.99


def test_false_descriptions_are_of_no_object(held_out_scenes):
    for row in range(5):
        scene = held_out_scenes[row]
        picture = scene_picture(scene, f"scene {row}")
        assert len(picture.others) >= len(scene["objects"])
        assert not set(picture.others) & set(picture.texts)


def test_words_are_distinct_and_say_something():
    picture = own_picture(noise(8, 8), "x", "The RED cat is on a red mat, and it is not 7.")
    assert picture.words == ("red", "cat", "mat", "not")


def test_a_caption_is_taken_apart_and_may_be_taken_away():
    caption = "A dog sleeps on the mat. A red ball lies next to it."
    picture = own_picture(noise(90, 60), "x", caption)
    assert (picture.sentences, picture.phrases) == (
        decompose(caption).sentences,
        decompose(caption).phrases,
    )
    bare = picture.with_caption("  ")
    assert (bare.texts, bare.words, bare.key) == ((), (), picture.key)


def test_a_long_caption_is_bounded():
    caption = " ".join(f"The cat{number} sits on mat{number}." for number in range(4_000))
    picture = own_picture(noise(8, 8), "x", caption)
    assert len(picture.caption) == LONGEST_CAPTION
    counts = [len(texts) for texts in (picture.sentences, picture.phrases, picture.words)]
    assert counts == [MOST_TEXTS] * 3


def test_pictures_are_told_apart_by_their_pixels():
    one, other = noise(8, 6), noise(6, 8)
    assert own_picture(one, "x").key != own_picture(other, "x").key
    assert own_picture(one, "x") == own_picture(noise(8, 6), "x")


def test_the_cache_keeps_what_was_asked_for_last():
    cache: BoundedCache[int, int] = BoundedCache(2)
    made = []

    def make(value):
        return lambda: made.append(value) or value

    for key in (1, 2, 1, 3, 1, 2):
        assert cache.get(key, make(key)) == key
        assert len(cache) <= 2
    assert made == [1, 2, 3, 2]
    with pytest.raises(ZeroDivisionError):
        cache.get(9, lambda: 1 // 0)
    assert 9 not in cache
    with pytest.raises(ValueError, match="limit=0: expected >= 1"):
        BoundedCache(0)
