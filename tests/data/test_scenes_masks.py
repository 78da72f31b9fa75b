"""Which pixels a text is about: by hand on a drawn instance map, and on every stored scene."""

import numpy as np

from bclip_core.data.scenes import linked_phrases, object_masks

SCENE = {
    "instances": [[0, 1, 1], [2, 0, 1]],
    "phrases": [["a dog", "it"], ["a cat", "a dog"]],
    "phrase_objects": [[[0], []], [[1], [0, 1]]],
}


def test_masks_are_the_objects_pixels_and_what_is_not_seen_is_left_out():
    links = {"both": [1, 0], "the first": [0], "hidden": [2], "nothing": []}
    found = object_masks(SCENE, links)
    assert list(found) == ["both", "the first"]
    assert found["both"].tolist() == [[False, True, True], [True, False, True]]
    assert found["the first"].tolist() == [[False, True, True], [False, False, True]]


def test_phrases_come_once_with_what_was_said_last():
    assert linked_phrases(SCENE) == {"a dog": [0, 1], "it": [], "a cat": [1]}


def test_an_object_is_masked_where_its_number_stands(held_out_scenes):
    for scene in held_out_scenes.select(range(4)):
        instances = np.array(scene["instances"])
        one = {str(number): [number] for number in range(len(scene["objects"]))}
        masks = object_masks(scene, one)
        for number, mask in masks.items():
            np.testing.assert_array_equal(mask.numpy(), instances == int(number) + 1)
        assert sum(int(mask.sum()) for mask in masks.values()) == (instances > 0).sum()
