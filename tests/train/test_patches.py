"""The kind of patches is the method's where it names one, else the weights'; runs know which."""

import pytest

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import load
from bclip_core.config import BackboneConfig, LossConfig, RunConfig, TrainConfig, get_profile
from bclip_core.records.results import load_result
from bclip_core.train import create_model, find, train
from tests.checkpoints import relatives


def config(method, **more):
    return RunConfig(method, BackboneConfig("scene-small", pretrained="scenes", **more))


def test_flair_starts_from_weights_of_the_other_kind():
    kinds = {name: create_model(config(name)).backbone for name in ("flair", "flair-value")}
    assert kinds["flair"].config.patches == "attention"
    assert kinds["flair-value"].config.patches == "value"
    first, second = (one.state_dict() for one in kinds.values())
    assert all((first[name] == second[name]).all() for name in first)


def test_patches_that_attend_are_a_setting_of_any_method_on_weights_of_the_other_kind():
    attend = create_model(config("clip-ft", patches="attention")).backbone
    usual = create_model(config("clip-ft")).backbone
    assert (attend.config.patches, usual.config.patches) == ("attention", "value")
    first, second = attend.state_dict(), usual.state_dict()
    assert all((first[name] == second[name]).all() for name in first)
    assert find(config("clip-ft", patches="attention")).folder != find(config("clip-ft")).folder


def test_a_run_on_the_other_patches_is_not_taken_for_one_of_today():
    """The committed runs called flair are from before it had its authors' patches."""
    stored = load_result("methods", "cpu", reference=True)["values"]
    found = {}
    for name, entry in (("flair", "flair-value"), ("mulclip", "mulclip")):
        parts = {"train": TrainConfig, "loss": LossConfig}
        kept = {n: kind.from_dict(stored[entry][n]) for n, kind in parts.items()}
        run = get_profile("cpu").run(name).replace(**kept)
        found[name] = (find(run).folder.name, stored[entry]["runs"][0])
    assert found["mulclip"][0] == found["mulclip"][1]
    assert found["flair"][0] != found["flair"][1]
    assert found["flair"][1].startswith("flair-s0-")


def test_released_flair_stays_on_its_patches_unless_the_method_says_otherwise():
    path = relatives.path("flair")
    backbone = relatives.open_golden("flair").backbone.config.replace(pretrained=str(path))
    assert create_model(RunConfig("flair", backbone)).backbone.config.patches == "attention"
    assert create_model(RunConfig("flair-value", backbone)).backbone.config.patches == "value"
    with pytest.raises(CheckpointError, match="patches is 'attention', but 'value' was asked for"):
        create_model(RunConfig("clip-ft", backbone.replace(patches="value")))


def test_a_trained_flair_comes_back_with_its_patches(tiny_config, tiny_scenes, tmp_path):
    run = tiny_config.replace(method="flair")
    train(run, tiny_scenes, tmp_path, progress=False)
    again = load(tmp_path / "model.safetensors", run)
    assert again.backbone.config.patches == "attention"
    with pytest.raises(CheckpointError, match="patches is 'attention', but 'value' was asked for"):
        load(tmp_path / "model.safetensors", run.replace(method="flair-value"))
