"""Sizes spelt out in a name: the same model as a name of the list, and what makes no model."""

import pytest

from bclip_core.backbone import create_backbone
from bclip_core.backbone.architectures import architecture, towers
from bclip_core.backbone.unnamed import architecture_of
from bclip_core.checkpoints.recognition import name_of, recognise, shape_of_architecture
from bclip_core.config import BackboneConfig, ConfigError

B16 = "vit-d512-v768x12h12m3072p16s224-t512x12h8m2048n49408"


def test_a_known_shape_spelt_out_is_that_architecture():
    assert towers(*architecture(B16)) == towers(*architecture("ViT-B-16"))
    assert shape_of_architecture(B16) == shape_of_architecture("ViT-B-16")
    assert name_of(*architecture(B16)) == "ViT-B-16"


def test_odd_sizes_come_out_as_they_went_in():
    backbone = create_backbone(BackboneConfig("vit-d6-v12x1h3m25p8s16-t10x2h5m23n49408"))
    state = backbone.clip.state_dict()
    assert state["visual.transformer.resblocks.0.mlp.c_fc.weight"].shape == (25, 12)
    assert state["transformer.resblocks.1.mlp.c_fc.weight"].shape == (23, 10)
    assert backbone.clip.visual.transformer.resblocks[0].attn.num_heads == 3
    assert recognise(state, (3, 5)) == backbone.config.name
    assert recognise(state, (2, 1)).startswith("vit-d6-v12x1h2")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (B16.replace("h12", "h7"), "7 heads: expected a number that divides the image tower's 768"),
        (B16.replace("h8", "h0"), "0 heads: expected a number that divides the text tower's 512"),
        (B16.replace("p16", "p17"), "image_size=224: expected a multiple of 17"),
        (B16.replace("x12h12", "x999h12"), "parameters: expected at most 1,500,000,000"),
        (B16.replace("d512", "d0"), "dim=0: expected a positive number"),
    ],
)
def test_sizes_that_make_no_model_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        architecture(name)


def test_other_names_are_not_read_as_sizes():
    assert architecture_of("ViT-B-16") is None
    assert architecture_of(B16 + "x") is None
