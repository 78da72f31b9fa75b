"""Keys that are averaged with their neighbours."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch.autograd import gradcheck

from bclip_core.checkpoints import CheckpointError, build_model, load, save
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig, RunConfig, change
from bclip_core.model import METHODS
from bclip_core.poolers import TextConditionedPooler, build_pooler, describe_pooler
from bclip_core.poolers.text_conditioned import blurred

SIDE, WIDTH = 5, 8


@pytest.mark.parametrize("width", [0.3, 0.8, 2.0])
def test_it_is_scipys_gaussian_filter_of_every_coordinate(width):
    torch.manual_seed(0)
    patches = torch.randn(2, SIDE**2, 3, dtype=torch.float64)
    found = blurred(patches, width).view(2, SIDE, SIDE, 3)
    reach = math.ceil(3 * width)
    expected = gaussian_filter(
        patches.view(2, SIDE, SIDE, 3).numpy(), (0, width, width, 0), mode="nearest",
        radius=(0, reach, reach, 0),
    )  # fmt: skip
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-12)


def case(width):
    torch.manual_seed(1)
    pooler = TextConditionedPooler(WIDTH, heads=2, init="xavier", key_blur=width).double()
    patches = torch.randn(2, SIDE**2, WIDTH).double()
    return pooler, patches, torch.randn(2, 3, WIDTH).double()


@torch.no_grad()
def test_keys_alone_are_blurred_and_attention_is_the_one_that_pools():
    pooler, patches, text = case(0.8)
    pooled, weights = pooler(patches, text, need_weights=True)
    unit = F.normalize(patches, dim=-1)
    heads, size = 2, WIDTH // 2
    query, key, value = (
        F.linear(source, weight, bias).unflatten(-1, (heads, size)).transpose(1, 2)
        for source, weight, bias in zip(
            (F.normalize(text, dim=-1), blurred(unit, 0.8), unit),
            pooler.attn.in_proj_weight.chunk(3), pooler.attn.in_proj_bias.chunk(3), strict=True,
        )
    )  # fmt: skip
    expected = torch.softmax(query @ key.mT / size**0.5, -1)
    torch.testing.assert_close(weights, expected)
    joined = pooler.attn.out_proj((expected @ value).transpose(1, 2).flatten(-2))
    torch.testing.assert_close(pooled, joined + pooler.mlp(pooler.ln_2(joined)))
    fused, _ = pooler(patches, text)
    torch.testing.assert_close(fused, pooled)


@torch.no_grad()
def test_a_narrow_one_changes_nothing():
    pooler, patches, text = case(0.0)
    plain, _ = pooler(patches, text)
    pooler.config = pooler.config.replace(key_blur=0.05)
    torch.testing.assert_close(pooler(patches, text)[0], plain)


def test_gradients_are_exact():
    pooler, patches, text = case(0.8)
    inputs = (patches.requires_grad_(), text.requires_grad_())
    assert gradcheck(lambda *given: pooler(*given)[0], inputs)


def test_bad_settings_and_other_grids_are_named():
    with pytest.raises(ConfigError, match=r"key_blur=-0\.5: expected a number in \[0, 8\]"):
        PoolerConfig(key_blur=-0.5)
    pooler, patches, text = case(0.8)
    with pytest.raises(ValueError, match=r"\(2, 24, 8\), key_blur=0\.8: expected a square grid"):
        pooler(patches[:, :24], text)
    with pytest.raises(ConfigError, match=r"pooler.key_blur=0\.8: not read by method 'flair'"):
        METHODS["flair"].check(change(RunConfig("flair"), ["pooler.key_blur=0.8"]))
    METHODS["beta-clip-ce"].check(change(RunConfig("beta-clip-ce"), ["pooler.key_blur=0.8"]))


def test_it_is_told_and_stays_with_the_weights(tmp_path):
    config = PoolerConfig(key_blur=0.8)
    assert build_pooler(WIDTH, config).config.key_blur == describe_pooler(config)["key_blur"] == 0.8
    assert "key_blur" not in describe_pooler(PoolerConfig())
    spec = BackboneConfig("scene-tiny")
    stored = save(build_model(spec, config), tmp_path / "model.safetensors")
    assert load(stored).pooler.config == config
    asked = RunConfig("beta-clip-ce", backbone=spec)
    with pytest.raises(CheckpointError, match=r"pooler is .*key_blur=0\.8.*, but asked for is"):
        load(stored, asked)
    assert load(stored, change(asked, ["pooler.key_blur=0.8"])).pooler.config == config
