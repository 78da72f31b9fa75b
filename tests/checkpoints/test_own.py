"""Weights on disk: what is saved comes back, and what does not fit is refused with both values."""

import json
import os
import resource

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bclip_core import checkpoints
from bclip_core.backbone import CheckpointError, Tokenizer, stretch_positions
from bclip_core.checkpoints import build_model, load, save
from bclip_core.config import BackboneConfig, PoolerConfig, RunConfig, TrainConfig
from bclip_core.train import create_model

TINY = BackboneConfig("scene-tiny")


def make(backbone=TINY, pooler=None, seed=0):
    torch.manual_seed(seed)
    return build_model(backbone, pooler)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A saved model with a pooler of 8 heads."""
    model = make(pooler=PoolerConfig(8, "xavier"))
    return model, save(model, tmp_path_factory.mktemp("stored") / "model.safetensors")


def asked(backbone=TINY, pooler=None, method="beta-clip-ce"):
    return RunConfig(method, backbone, pooler or PoolerConfig())


def test_what_is_saved_comes_back(stored):
    model, path = stored
    again = load(path, asked())
    assert again.backbone.config == TINY
    assert again.pooler.config == PoolerConfig(8, "xavier")
    assert list(again.state_dict()) == list(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_header_tells_what_the_weights_are(stored):
    with safe_open(stored[1], "pt") as file:
        header = json.loads(file.metadata()["bclip"])
    assert header["backbone"] == TINY.to_dict()
    assert PoolerConfig.from_dict(header["pooler"]) == PoolerConfig(heads=8, init="xavier")
    assert (header["format"], header["version"]) == (1, "0.1.0")


def test_half_precision_is_half_the_size_and_loads_as_float32(stored, tmp_path):
    model, path = stored
    half = save(model, tmp_path / "half.safetensors", dtype=torch.float16)
    assert half.stat().st_size < 0.51 * path.stat().st_size
    for name, value in load(half).state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, model.state_dict()[name].half().float()), name


MISMATCHES = [
    (asked(BackboneConfig("scene-small")), "backbone name is 'scene-tiny', but 'scene-small'"),
    (asked(TINY.replace(quick_gelu=False)), "backbone quick_gelu is True, but False"),
    (asked(TINY.replace(context_length=248)), "backbone context_length is 77, but 248"),
    (asked(pooler=PoolerConfig(4)), r"pooler is .*heads=8.*asked for is .*heads=4"),
    (asked(method="clip-ft"), "pooler is .*heads=8.*asked for is None"),
]


@pytest.mark.parametrize(("expected", "message"), MISMATCHES)
def test_a_difference_is_refused_with_both_values(stored, expected, message):
    with pytest.raises(CheckpointError, match=message):
        load(stored[1], expected)


def test_a_model_without_pooler_is_refused_where_one_is_asked_for(tmp_path):
    path = save(make(), tmp_path / "plain.safetensors")
    assert load(path, asked(method="clip-ft")).pooler is None
    with pytest.raises(CheckpointError, match=r"pooler is None, but asked for is .*heads=8"):
        load(path, asked())


def test_files_that_are_none_of_ours_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.safetensors: no such file"):
        load(tmp_path / "no.safetensors")
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="no 'bclip' header"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged or not safetensors"):
        load(path)


def test_a_cut_file_is_damaged(stored, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(stored[1].read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="damaged or not safetensors"):
        load(path)


def test_missing_and_surplus_weights_are_named(stored, tmp_path):
    with safe_open(stored[1], "pt") as file:
        metadata = file.metadata()
    state = stored[0].state_dict()
    state["pooler.extra"] = state.pop("pooler.logit_scale")
    path = tmp_path / "renamed.safetensors"
    save_file(state, path, metadata)
    with pytest.raises(CheckpointError, match=r"(?s)pooler.logit_scale.*pooler.extra"):
        load(path)


def test_a_full_disk_leaves_the_previous_file_whole(stored, tmp_path):
    path = save(make(), tmp_path / "model.safetensors")
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises((OSError, SafetensorError), match="too large"):
            save(stored[0], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_fresh_weights_depend_on_the_seed_alone():
    def fresh(seed):
        return create_model(asked().replace(train=TrainConfig(seed=seed))).state_dict()

    torch.manual_seed(1)
    first = fresh(0)
    torch.manual_seed(2)
    assert all(torch.equal(value, first[name]) for name, value in fresh(0).items())
    name = "backbone.clip.visual.conv1.weight"
    assert not torch.equal(fresh(1)[name], first[name])


def started_from(path, **changes):
    return asked(BackboneConfig("scene-tiny", pretrained=str(path)).replace(**changes))


def test_a_run_starts_from_saved_weights_with_a_fresh_pooler(stored):
    model, path = stored
    started = create_model(started_from(path))
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(started.backbone.state_dict()[name], value), name
    assert started.pooler.config == PoolerConfig(8, "identity")


def test_a_longer_context_stretches_the_positions(stored):
    model, path = stored
    table = model.backbone.clip.positional_embedding.detach()
    started = create_model(started_from(path, context_length=248))
    stretched = started.backbone.clip.positional_embedding
    assert torch.equal(stretched, stretch_positions(table))
    assert started.backbone.config.context_length == 248
    short, long = "a red circle", "a red circle and a blue square " * 30
    tokens = Tokenizer(248)([short, long])
    assert tokens.shape == (2, 212)
    with torch.no_grad():
        features = started.eval().backbone.encode_text(tokens)
        plain = model.eval().backbone.encode_text(Tokenizer()([short]))
    torch.testing.assert_close(features[:1], plain, atol=1e-5, rtol=1e-4)  # the first 20 are kept


@pytest.mark.parametrize("changes", [{"name": "scene-small"}, {"quick_gelu": False}])
def test_weights_of_another_architecture_start_no_run(stored, changes):
    (name, value), *_ = changes.items()
    with pytest.raises(CheckpointError, match=f"backbone {name} is .*, but {value!r} was asked"):
        create_model(started_from(stored[1], **changes))


def test_own_weights_are_told_from_open_clips(stored, tmp_path):
    other = tmp_path / "open_clip.safetensors"
    save_file({"a": torch.zeros(3)}, other)
    assert checkpoints.own_weights("scenes") == checkpoints.SHIPPED["scenes"]
    assert checkpoints.own_weights(str(stored[1])) == stored[1]
    assert [checkpoints.own_weights(name) for name in ("", "openai", str(other))] == [None] * 3


def test_the_tag_that_weights_came_from_is_remembered_but_not_fetched(tmp_path):
    model = make()
    model.backbone.config = TINY.replace(pretrained="openai")
    again = load(save(model, tmp_path / "model.safetensors"))
    assert again.backbone.config.pretrained == "openai"
