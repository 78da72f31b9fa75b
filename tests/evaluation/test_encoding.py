"""Whole data sets through a model: the same numbers in any batches."""

import pytest
import torch

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig
from bclip_core.data.images import normalise_images
from bclip_core.evaluation.encoding import encode_images, encode_texts


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(BackboneConfig("scene-tiny", context_length=30), None).eval()


def test_pictures_are_encoded_in_order_and_in_any_batches(model):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (7, 3, 64, 64), generator=generator, dtype=torch.uint8)
    image, patches = encode_images(model, pixels, batch_size=3)
    assert image.shape == (7, 64)
    assert patches.shape == (7, 64, 64)
    for row in range(7):
        with torch.no_grad():
            expected = model.backbone.encode_image(normalise_images(pixels[row : row + 1]))
        torch.testing.assert_close((image[row], patches[row]), (expected[0][0], expected[1][0]))


def test_texts_keep_their_order_and_equal_ones_are_equal(model):
    texts = ["a red circle", "two shapes", "a red circle", "a " * 50 + "cat", "A RED CIRCLE"]
    encoded = encode_texts(model, texts, batch_size=2)
    assert encoded.shape == (5, 64)
    assert torch.equal(encoded[0], encoded[2])
    for row, text in zip(encoded, texts, strict=True):
        with torch.no_grad():
            expected = model.backbone.encode_text(Tokenizer(30)([text]))[0]
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)


def test_no_gradient_is_kept(model):
    encoded = encode_texts(model, ["a circle"])
    assert not encoded.requires_grad


def test_a_model_whose_embeddings_are_no_numbers_is_not_measured():
    broken = build_model(BackboneConfig("scene-tiny", context_length=30), None).eval()
    with torch.no_grad():
        broken.backbone.clip.visual.proj[0, 0] = torch.nan
        broken.backbone.clip.text_projection[0, 0] = torch.inf
    pixels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    with pytest.raises(ValueError, match="model 'scene-tiny': the embeddings of 2 of 2 pictures"):
        encode_images(broken, pixels)
    with pytest.raises(ValueError, match="the embeddings of 1 of 1 texts are not finite"):
        encode_texts(broken, ["a star", "a star"])
