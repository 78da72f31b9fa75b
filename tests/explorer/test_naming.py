"""What a text names in a scene, and which words no scene has."""

import pytest
import torch

from bclip_core.data.scenes import linked_phrases, object_masks
from bclip_core.explorer.naming import naming, scene_vocabulary, unknown_words


def objects_with(scene, **asked) -> list[int]:
    return [
        number for number, item in enumerate(scene["objects"])
        if all(item[name] == value for name, value in asked.items())
    ]  # fmt: skip


def test_phrases_made_of_attributes_name_the_objects_that_have_them(held_out_scenes):
    for scene in list(held_out_scenes)[:10]:
        named = naming(scene)
        for item in scene["objects"]:
            asked = {name: item[name] for name in ("colour", "shape")}
            text = f"the {item['colour']} {item['shape']}"
            expected = object_masks(scene, {text: objects_with(scene, **asked)}).get(text)
            found = named(text)
            assert (found is None) == (expected is None)
            assert found is None or torch.equal(found, expected)


def test_it_agrees_with_the_scenes_own_links_where_it_reads_them(held_out_scenes):
    read = 0
    for scene in list(held_out_scenes)[:20]:
        named, links = naming(scene), linked_phrases(scene)
        masks = object_masks(scene, links)
        for phrase in links:
            found = named(phrase)
            if found is not None:
                read += 1
                assert torch.equal(found, masks[phrase]), phrase
    assert read > 20


@pytest.mark.parametrize("text", ["", "a dog", "red", "circles", "red circle left of a star",
                                  "circle circle", "red blue circle", "a"])  # fmt: skip
def test_anything_else_names_nothing(held_out_scenes, text):
    assert naming(held_out_scenes[0])(text) is None


def test_words_that_no_scene_has(held_out_scenes):
    assert {"disc", "checkered", "orange", "outline", "below"} <= scene_vocabulary()
    assert unknown_words("a red dog on a Dog's sofa") == ("dog", "sofa")
    captions = [scene["caption"] for scene in held_out_scenes]
    assert unknown_words(" ".join(captions)) == ()
