"""Profiles and single settings from the command line."""

import pytest

from bclip_core.config import PROFILES, ConfigError, RunConfig, configure, get_profile
from bclip_core.model import METHODS


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(ConfigError, match="profile='tpu': expected one of smoke, cpu, long, gpu"):
        get_profile("tpu")


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_run_every_method(name):
    profile = get_profile(name)
    assert profile.name == name
    pretraining = [profile.pretraining] if profile.pretraining else []
    for config in [*pretraining, *(profile.run(method) for method in METHODS)]:
        settings, rows = config.train, config.data.train
        assert RunConfig.from_dict(config.to_dict()) == config
        assert settings.batch_size <= rows
        assert settings.warmup_updates(rows) < settings.updates(rows)
    assert 0.5 in profile.betas
    assert bool(pretraining) == (profile.base.data.name == "scenes")
    for config in pretraining:
        assert config.method == "clip-pretrain"
        assert config.backbone.pretrained == ""


def test_the_long_profile_differs_from_cpu_in_its_length_alone():
    cpu, long = get_profile("cpu"), get_profile("long")
    assert long.base.train.steps == 10 * cpu.base.train.steps
    same = long.base.replace(train=long.base.train.replace(steps=cpu.base.train.steps))
    assert same == cpu.base
    assert (long.seeds, long.betas, long.pretraining) == (cpu.seeds, cpu.betas, cpu.pretraining)


def test_a_run_of_a_profile_varies_method_seed_and_beta_only():
    profile = get_profile("cpu")
    run = profile.run("beta-clip-bce", seed=2, beta=0.25)
    assert (run.method, run.train.seed, run.loss.beta) == ("beta-clip-bce", 2, 0.25)
    back = run.replace(method=profile.base.method, train=profile.base.train, loss=profile.base.loss)
    assert back == profile.base
    assert profile.run("clip-ft").train.seed == profile.seeds[0]


def test_single_settings_are_read_as_json_else_as_text():
    settings = ["loss.beta=0.25", "train.steps=20", "backbone.pretrained=", "texts.caption=short"]
    settings += ["loss.mask_padding=false", "train.adam_betas=[0.9, 0.95]", "method=clip-ft"]
    config = configure("smoke", "beta-clip-ce", settings)
    assert (config.loss.beta, config.train.steps, config.backbone.pretrained) == (0.25, 20, "")
    assert (config.texts.caption, config.loss.mask_padding) == ("short", False)
    assert (config.train.adam_betas, config.method) == ((0.9, 0.95), "clip-ft")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("loss.beta", "expected NAME=VALUE"),
        ("loss.beta=2", r"beta=2.*: expected a number in \[0, 1\]"),
        ("loss.zzzz=1", "--loss.zzzz: no such setting"),
        ("loss.gamma=1", "--loss.gamma: no such setting; did you mean --loss.beta"),
        ("losses.beta=1", "--losses.beta: no such setting; did you mean --loss.beta"),
        ("train.steps=ten", "steps='ten': expected a whole number"),
        ("train=5", "--train: no such setting"),
        ("method.name=x", "--method.name: no such setting"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        configure("smoke", "beta-clip-ce", [setting])
