"""A training that goes on with the pooler and the heads of weights, and what cannot go on."""

import shutil

import pytest
import torch

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import export_hugging_face, export_open_clip, open_model, save
from bclip_core.config import BackboneConfig, ConfigError, RunConfig, change
from bclip_core.model import resolve
from bclip_core.train import create_model, train
from bclip_core.train.dry_run import dry_run
from bclip_core.train.resume import list_checkpoints

TINY = ["backbone.name=scene-tiny", "pooler.heads=4"]


def asked(method="beta-clip-ce", source="", *settings):
    source = [f"backbone.pretrained={source}", "pooler.init=weights"] if source else []
    return change(RunConfig(method, BackboneConfig("scene-tiny")), [*TINY, *source, *settings])


def start(*given):
    return create_model(resolve(asked(*given), check=True))


def learnt(method="beta-clip-ce", *settings):
    """A model that stands at no method's start."""
    model = create_model(asked(method, "", *settings))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            torch.manual_seed(number)
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


def differing(model, other):
    theirs = other.state_dict()
    return [
        name for name, value in model.state_dict().items() if not torch.equal(value, theirs[name])
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """By name a learnt model and the file that it was saved in."""
    folder = tmp_path_factory.mktemp("learnt")
    bias = "loss.sigmoid_bias=learnt"
    found = {
        "ce": learnt(),
        "bce": learnt("beta-clip-bce", bias),
        "word": learnt("beta-clip-word"),
        "captions": learnt("beta-clip-ce-captions"),
        "ft": create_model(change(asked("clip-ft"), ["pooler.heads=8"])),
        "fine": learnt("beta-clip-ce", "backbone.name=scene-tiny@96"),
    }
    return {name: (one, save(one, folder / f"{name}.safetensors")) for name, one in found.items()}


@pytest.mark.parametrize(
    ("name", "method", "settings"),
    [
        ("ce", "beta-clip-ce", ()),
        ("captions", "beta-clip-ce-captions", ()),
        ("bce", "beta-clip-bce", ("loss.sigmoid_bias=learnt",)),
        ("word", "beta-clip-word", ()),
        ("fine", "beta-clip-ce", ("backbone.name=scene-tiny@96", "data.image_size=96")),
    ],
)
def test_every_weight_goes_on(models, name, method, settings):
    model, path = models[name]
    assert differing(start(method, path, *settings), model) == []
    fresh = start(method, "", *settings)
    changed = differing(fresh, model)
    assert any(part.startswith("pooler.") for part in changed)  # so that the above says something


@pytest.mark.parametrize("layout", ["run", "hub", "open_clip", "hugging_face"])
@pytest.mark.filterwarnings("ignore")
def test_they_go_on_from_every_layout_that_has_them(models, layout, tmp_path):
    model, path = models["ce"]
    if layout == "run":
        shutil.copy(path, tmp_path / "model.safetensors")
    elif layout == "hub":
        open_model(path).save_pretrained(tmp_path)
    else:
        {"open_clip": export_open_clip, "hugging_face": export_hugging_face}[layout](
            model, tmp_path
        )
    found = start("beta-clip-ce", tmp_path)
    assert differing(found.pooler, model.pooler) == []
    assert found.pooler.logit_scale.item() == model.pooler.logit_scale.item()


@pytest.mark.parametrize("part", ["file", "folder"])
def test_they_go_on_at_another_resolution(models, part, tmp_path):
    model, path = models["fine"]
    shutil.copy(path, tmp_path / "model.safetensors")
    source = path if part == "file" else tmp_path
    found = start("beta-clip-ce", source, "backbone.name=scene-tiny@128", "data.image_size=128")
    assert found.backbone.grid == (16, 16)
    assert differing(found.pooler, model.pooler) == []


def test_keys_are_blurred_as_the_further_stage_asks(models):
    model, path = models["ce"]
    found = start("beta-clip-ce", path, "pooler.key_blur=0.8")
    assert differing(found, model) == []
    assert (model.pooler.config.key_blur, found.pooler.config.key_blur) == (0.0, 0.8)


REFUSED = [
    ("ft", "beta-clip-ce", (), "has no pooler; pooler.init='weights' needs it"),
    ("ce", "clip-ft", ("pooler.heads=8",), "pooler.init='weights': not read by method 'clip-ft'"),
    ("ce", "beta-clip-ce", ("pooler.heads=1",), "heads=4.*asked for is .*heads=1"),
    ("ce", "flair", (), "kind='beta_clip'.*asked for is .*kind='flair'"),
    ("ce", "beta-clip-ce", ("pooler.scale=20.0",), "scale=20.0: expected none with init='weights'"),
    ("bce", "beta-clip-bce", (), "learnt heads are beta_cal_bias, but the method's are none"),
    ("bce", "beta-clip-ce", (), "learnt heads are beta_cal_bias, but the method's are none"),
    ("ce", "beta-clip-bce", ("loss.sigmoid_bias=learnt",), "none, but the method's are beta_cal_b"),
    ("ce", "beta-clip-word", (), "learnt heads are none, but the method's are .*calibration"),
    ("word", "beta-clip-word", ("backbone.name=scene-tiny@96", "data.image_size=96"),
     "heads cannot go on here: .*size mismatch for calibrate_patches"),
    ("word", "beta-clip-word", ("heads.token_ratio=0.5",), "heads cannot go on here: .*size misma"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "method", "settings", "message"), REFUSED)
def test_what_has_no_place_is_refused_in_one_line(models, name, method, settings, message):
    with pytest.raises((CheckpointError, ConfigError), match=message) as refused:
        start(method, models[name][1], *settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("source", ["", "random", "openai", "missing.safetensors"])
def test_what_can_have_no_pooler_is_refused_by_its_name(source):
    config = change(asked("beta-clip-ce", source or "x"), [f"backbone.pretrained={source}"])
    expected = rf"pooler.init='weights': backbone.pretrained='{source}' has no pooler"
    with pytest.raises(ConfigError, match=expected):
        create_model(config)
    with pytest.raises(ConfigError, match=expected):
        dry_run(resolve(config, check=True), device="cpu")


def test_an_export_without_its_heads_is_refused(models, tmp_path):
    export_open_clip(models["bce"][0], tmp_path)
    with pytest.raises(
        CheckpointError, match="learnt heads are none, but the method's are beta_cal"
    ):
        start("beta-clip-bce", tmp_path, "loss.sigmoid_bias=learnt")


def test_a_run_that_goes_on_is_resumed_to_the_same_bits(models, tiny_config, tiny_scenes, tmp_path):
    backbone = tiny_config.backbone.replace(pretrained=str(models["ce"][1]))
    settings = [
        "pooler.init=weights",
        "pooler.heads=4",
        "train.steps=2",
        "train.checkpoint_every=1",
    ]
    config = change(tiny_config.replace(backbone=backbone), settings)
    how = {"device": "cpu", "progress": False}
    whole = train(config, tiny_scenes, tmp_path / "whole", **how)
    train(config, tiny_scenes, tmp_path / "parts", stop_after=1, **how)
    assert len(list_checkpoints(tmp_path / "parts")) == 1
    assert differing(train(config, tiny_scenes, tmp_path / "parts", **how), whole) == []
    assert differing(whole.pooler, models["ce"][0].pooler) != []
