"""Learnt scalars, token calibration, and how they travel with a model."""

import math

import pytest
import torch

from bclip_core import checkpoints
from bclip_core.backbone import CheckpointError
from bclip_core.config import BackboneConfig, ConfigError, HeadsConfig, RunConfig
from bclip_core.model import Heads, TokenCalibration
from bclip_core.train import create_model


def test_calibration_equals_a_loop_over_slots():
    torch.manual_seed(0)
    layer = TokenCalibration(16, 3).double()
    layer.scale.data.fill_(1.7)
    tokens = torch.randn(2, 5, 16).double()
    mask = torch.tensor([[1, 1, 1, 0, 1], [0, 1, 0, 0, 0]]).bool()
    found = layer(tokens, mask)
    norm, first, gelu, last = layer.weight
    for b in range(2):
        kept = tokens[b][mask[b]]
        for slot in range(3):
            logits = torch.stack([last(gelu(first(norm(token))))[slot] * 1.7 for token in kept])
            torch.testing.assert_close(found[b, slot], logits.softmax(0) @ kept)
    assert found.shape == (2, 3, 16)
    assert torch.equal(layer(tokens), layer(tokens, torch.ones_like(mask)))


def test_calibration_ignores_what_is_masked_and_its_gradient_is_exact():
    torch.manual_seed(0)
    layer = TokenCalibration(10, 2).double()
    tokens, mask = torch.randn(1, 4, 10).double(), torch.tensor([[1, 0, 1, 1]]).bool()
    other = tokens.clone()
    other[~mask] = 9.0
    assert torch.equal(layer(tokens, mask), layer(other, mask))
    given = tokens.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, mask), (given,))


def test_heads_have_what_is_asked_and_exponentiate_scales():
    starts = {"word_scale": math.log(1 / 0.07), "sigmoid_bias": -10}
    heads = Heads(starts, 16, 64, True, HeadsConfig(token_ratio=0.25))
    values = heads.values()
    assert values.keys() == {"word_scale", "sigmoid_bias"}
    assert values["word_scale"].item() == pytest.approx(1 / 0.07)
    assert values["sigmoid_bias"].item() == -10
    assert list(heads.scalars) == ["sigmoid_bias", "word_scale"]
    assert heads.calibrate_patches(torch.randn(1, 64, 16)).shape == (1, 16, 16)
    assert Heads({}, 16, 64, False, HeadsConfig()).calibrate_words is None
    assert Heads({}, 16, 64, True, HeadsConfig()).calibrate_words.weight[-1].out_features == 12


@pytest.mark.parametrize("ratio", [0.0, 1.1])
def test_a_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(ConfigError, match=f"token_ratio={ratio}: expected a number in"):
        HeadsConfig(token_ratio=ratio)


def asked(method, **changes):
    return RunConfig(method, BackboneConfig("scene-tiny")).replace(**changes)


def test_heads_are_saved_loaded_and_checked(tmp_path):
    config = asked("mulclip", heads=HeadsConfig(token_ratio=0.5))
    model = create_model(config)
    with torch.no_grad():
        model.heads.scalars["word_scale"].fill_(1.25)
    path = checkpoints.save(model, tmp_path / "model.safetensors")
    again = checkpoints.load(path, config)
    assert again.heads.to_dict() == model.heads.to_dict()
    assert again.heads.values()["word_scale"].item() == pytest.approx(math.exp(1.25))
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    with pytest.raises(CheckpointError, match="heads are .*calibrate|heads are .*asked is"):
        checkpoints.load(path, asked("mulclip"))
    with pytest.raises(CheckpointError, match="heads are .*, but asked is None"):
        checkpoints.load(path, asked("clip-ft"))


def test_a_pooler_of_another_kind_is_refused(tmp_path):
    path = checkpoints.save(create_model(asked("flair-value")), tmp_path / "m.safetensors")
    assert checkpoints.load(path, asked("flair-value")).pooler.config.kind == "flair"
    with pytest.raises(CheckpointError, match="pooler is .*'flair'.*asked for is .*'beta_clip'"):
        checkpoints.load(path, asked("beta-clip-ce"))


def test_every_learnt_scale_is_kept_between_1_and_100_and_biases_are_free():
    model = create_model(asked("beta-clip-bce-cross"))
    with torch.no_grad():
        model.heads.scalars["cross_scale"].fill_(9.0)
        model.heads.scalars["cross_bias"].fill_(-9.0)
    model.clamp_scales()
    values = model.heads.values()
    assert values["cross_scale"].item() == pytest.approx(100, abs=0.01)
    assert values["cross_bias"].item() == -9
