"""The model: shapes, what a distinct text is, and that padding is no text."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.data.batches import collate_texts
from bclip_core.model.bclip import MAX_LOG_SCALE, text_identity

ROWS = [["A red circle.", "a circle", None], ["Two shapes.", None, None], ["a circle", "blue", "x"]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(BackboneConfig("scene-tiny"), PoolerConfig(init="xavier")).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_features_have_the_shapes_of_the_batch(model, images):
    texts = collate_texts(ROWS, Tokenizer())
    features = model(images, texts)
    assert features.image.shape == (3, 64)
    assert features.text.shape == features.conditioned.shape == (3, 3, 64)
    assert features.mask.tolist() == [[True, True, False], [True, False, False], [True] * 3]
    assert features.logit_scale.item() == pytest.approx(1 / 0.07)
    assert features.pooler_logit_scale.item() == pytest.approx(1 / 0.07)


@torch.no_grad()
def test_each_text_is_encoded_and_pooled_with_its_own_image_alone(model, images):
    features = model(images, collate_texts(ROWS, Tokenizer()))
    _, patches = model.backbone.encode_image(images)
    for b, k in features.mask.nonzero().tolist():
        text = model.backbone.encode_text(Tokenizer()([ROWS[b][k]]))
        conditioned, _ = model.pooler(patches[b : b + 1], text[None])
        torch.testing.assert_close(features.text[b, k], text[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            features.conditioned[b, k], conditioned[0, 0], atol=1e-5, rtol=1e-4
        )


@torch.no_grad()
def test_without_a_pooler_nothing_is_conditioned(images):
    plain = build_model(BackboneConfig("scene-tiny"), None).eval()
    features = plain(images, collate_texts(ROWS, Tokenizer()))
    assert features.conditioned is None
    assert features.pooler_logit_scale is None


def test_both_scales_are_kept_between_1_and_100():
    model = build_model(BackboneConfig("scene-tiny"), PoolerConfig())
    with torch.no_grad():
        model.backbone.logit_scale.fill_(7.0)
        model.pooler.logit_scale.fill_(-1.0)
    model.clamp_scales()
    assert model.backbone.logit_scale.exp().item() == pytest.approx(100, abs=0.01)
    assert model.pooler.logit_scale.exp().item() == 1.0
    assert pytest.approx(math.log(100), abs=1e-4) == MAX_LOG_SCALE


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.integers(1, 49407), min_size=1, max_size=8), min_size=1, max_size=6),
    st.integers(0, 5),
)
def test_identity_ignores_padding_and_tells_texts_apart(rows, padding):
    width = max(map(len, rows))
    narrow = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    wide = torch.nn.functional.pad(narrow, (0, padding))
    identity = text_identity(wide)
    assert torch.equal(identity, text_identity(narrow))
    for a, first in enumerate(rows):
        for b, second in enumerate(rows):
            assert (identity[a] == identity[b]).item() == (first == second)


def test_identity_of_the_same_words_in_another_order_differs():
    identity = text_identity(Tokenizer()(["red left of blue", "blue left of red"]))
    assert identity[0] != identity[1]
