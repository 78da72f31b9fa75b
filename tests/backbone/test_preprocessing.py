"""Pictures for a model of other statistics, and the patches that attend."""

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from bclip_core.backbone import create_backbone
from bclip_core.backbone.preprocessing import own_statistics, renormalise
from bclip_core.config import BackboneConfig
from bclip_core.data.images import normalise_images

HALF = (0.5, 0.5, 0.5)


def test_pictures_are_normalised_as_the_model_was_trained():
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    config = BackboneConfig(mean=HALF, std=(0.25, 0.5, 1.0))
    found = renormalise(normalise_images(pixels), config)
    std = torch.tensor(config.std).view(3, 1, 1)
    torch.testing.assert_close(found, (pixels / 255 - 0.5) / std, atol=1e-5, rtol=0)
    assert renormalise(pixels, BackboneConfig()) is pixels


def test_openais_statistics_are_none_of_its_own():
    assert own_statistics(OPENAI_DATASET_MEAN, OPENAI_DATASET_STD) == ((), ())
    assert own_statistics(HALF, HALF) == (HALF, HALF)


@torch.no_grad()
def test_attending_patches_are_open_clips_tokens():
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig("scene-tiny", patches="attention")).eval()
    images = torch.randn(2, 3, 64, 64)
    image, patches = backbone.encode_image(images)
    visual = backbone.clip.visual
    tokens = visual._embeds(images)
    for block in visual.transformer.resblocks:
        tokens = block(tokens)
    expected = visual.ln_post(tokens) @ visual.proj
    torch.testing.assert_close(image, expected[:, 0], atol=1e-6, rtol=0)
    torch.testing.assert_close(patches, expected[:, 1:], atol=1e-6, rtol=0)
    torch.testing.assert_close(image, backbone.clip.encode_image(images), atol=1e-6, rtol=0)
