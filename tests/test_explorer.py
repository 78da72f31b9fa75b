"""The explorer, driven as a reader would: every control redraws, and nothing breaks it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core.attention_maps import phrase_masks
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.explorer import AttentionExplorer


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(BackboneConfig("scene-tiny"), PoolerConfig())


@pytest.fixture
def explorer(model, held_out_scenes):
    return AttentionExplorer(model, held_out_scenes)


def drawing(explorer) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(explorer.view.value)))


def differs(before: np.ndarray, after: np.ndarray) -> bool:
    return before.shape != after.shape or not np.array_equal(before, after)


def test_it_opens_with_a_phrase_of_the_first_picture(explorer, held_out_scenes):
    assert explorer.text.value in phrase_masks(held_out_scenes[0])
    assert set(explorer.text.options) == set(phrase_masks(held_out_scenes[0]))
    assert explorer.text.value in explorer.message.value
    assert "pooled under this text" in explorer.message.value
    assert differs(drawing(explorer)[:, :300], drawing(explorer)[:, -300:])


@pytest.mark.parametrize(
    ("control", "value"),
    [("picture", 1), ("text", "a dog"), ("kind", "head 8"), ("kind", "cosine"), ("opacity", 0.2)],
)
def test_every_control_redraws(explorer, control, value):
    before = drawing(explorer)
    getattr(explorer, control).value = value
    assert differs(before, drawing(explorer))
    assert "Error" not in explorer.message.value


def test_a_new_picture_keeps_the_text_and_offers_its_own_phrases(explorer, held_out_scenes):
    explorer.text.value = "my own words"
    explorer.picture.value = 3
    assert explorer.text.value == "my own words"
    assert "my own words" in explorer.message.value
    assert set(explorer.text.options) == set(phrase_masks(held_out_scenes[3]))


def test_text_is_escaped(explorer):
    explorer.text.value = "<img src=x onerror=alert(1)> & $\\frac{$ 'quoted'"
    assert "<img" not in explorer.message.value
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; $\\frac{$" in explorer.message.value


@pytest.mark.parametrize("text", ["", "   "])
def test_an_error_is_shown_in_place_and_leaves_no_map_of_another_text(explorer, text):
    with_map = drawing(explorer).shape
    explorer.text.value = text
    assert "ValueError" in explorer.message.value
    assert "at least one word" in explorer.message.value
    assert drawing(explorer).shape[1] < with_map[1]  # the picture alone
    explorer.text.value = "red star"
    assert "Error" not in explorer.message.value
    assert drawing(explorer).shape == with_map


def test_an_error_of_the_model_is_escaped_too(explorer, monkeypatch):
    def fail(*_):
        raise RuntimeError("<script>")

    monkeypatch.setattr(explorer.model.backbone, "encode_text", fail)
    explorer.text.value = "anything"
    assert explorer.message.value == "<b>RuntimeError:</b> &lt;script&gt;"


def test_a_text_beyond_the_context_is_read_in_part_and_says_so(explorer):
    explorer.text.value = "red " * 100
    assert "only 77 of the text's 102 tokens are read" in explorer.message.value
    explorer.text.value = "red " * 75  # with start and end token just 77
    assert "only" not in explorer.message.value


@pytest.mark.parametrize("text", ["красный круг", "红色圆圈", "🔴", "a\nb\tc", "x" * 2000])
def test_any_text_can_be_typed(explorer, text):
    explorer.text.value = text
    assert "Error" not in explorer.message.value


def test_without_a_pooler_it_shows_cosines(held_out_scenes):
    explorer = AttentionExplorer(build_model(BackboneConfig("scene-tiny"), None), held_out_scenes)
    assert explorer.kind.options == ("cosine",)
    assert "Error" not in explorer.message.value
    assert "pooled" not in explorer.message.value
