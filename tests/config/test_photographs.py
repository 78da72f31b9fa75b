"""The papers' experiments, number by number, and the ways to say how long a run is."""

import pytest

from bclip_core.config import ConfigError, TrainConfig, change, configure, get_profile
from bclip_core.train.options import parse

# What the β-CLIP authors' scripts say of ViT-B/16, each number once.
RECIPE = {
    "method": "beta-clip-ce",
    "backbone.name": "ViT-B-16",
    "backbone.pretrained": "openai",
    "backbone.quick_gelu": True,
    "backbone.context_length": 248,
    "backbone.frozen_positions": 20,
    "data.name": "sharegpt4v",
    "data.image_size": 224,
    "data.crop": [0.5, 1.0],
    "texts.sentences": 5,
    "texts.phrases": 30,
    "texts.phrase_tokens": 30,
    "loss.beta": 0.5,
    "train.epochs": 10,
    "train.steps": 0,
    "train.batch_size": 64 * 4,
    "train.accumulation": 8,
    "train.adam_betas": [0.9, 0.98],
    "train.lr": 1e-5,
    "train.pooler_lr": 1e-3,
    "train.warmup_epochs": 0.01,
    "train.warmup_steps": 0,
    "train.warmup_lr": 1e-9,
    "train.pooler_warmup": False,
    "train.weight_decay": 0.01,
    "train.clip_norm": 0.0,
    "train.precision": "fp16",
    "train.keep_epochs": [5, 10],
}


def at(config, name):
    value = config.to_dict()
    for part in name.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("name", RECIPE)
def test_paper_b16_is_the_recipe_field_by_field(name):
    assert at(parse(["--profile", "paper-b16", "--dry-run"]).run, name) == RECIPE[name]


def test_the_recipe_reaches_its_last_rates_and_has_36_texts():
    config = get_profile("paper-b16").base
    train = config.train
    assert train.lr * train.final_lr_fraction == pytest.approx(1e-7)
    assert train.pooler_lr * train.pooler_final_lr_fraction == pytest.approx(1e-4)
    assert config.texts.texts_per_image == 36
    assert train.images_per_update == 64 * 8 * 4


def test_the_other_papers_differ_in_what_is_known_and_name_what_is_not():
    base, large = get_profile("paper-b16"), get_profile("paper-l14")
    assert large.base.replace(backbone=base.base.backbone) == base.base
    assert large.base.backbone.name == "ViT-L-14"
    assert "Open are its batch a GPU" in large.about
    mulclip = get_profile("mulclip-docci")
    assert (mulclip.base.method, mulclip.base.data.name) == ("mulclip", "docci")
    assert parse(["--profile", "mulclip-docci", "--dry-run"]).run.method == "mulclip"
    assert "Open, and set here: learning rates" in mulclip.about


def test_photos_smoke_is_the_recipe_made_small():
    config = get_profile("photos-smoke").base
    assert (config.backbone.name, config.backbone.pretrained) == ("ViT-B-16", "")
    assert (config.train.steps, config.train.batch_size) == (3, 4)
    assert config.texts.texts_per_image == 12
    assert config.data.name == "photographs"


def test_the_start_of_the_pooler_is_left_to_the_methods_that_read_it():
    profile = get_profile("paper-b16")
    assert profile.run("beta-clip-bce").pooler.init == "xavier"
    assert profile.run("clip-ft").pooler.init == "identity"


@pytest.mark.parametrize(
    ("epochs", "rows", "batch", "accumulation", "updates"),
    [(1, 20, 6, 1, 4), (3, 20, 6, 1, 10), (3, 20, 20, 1, 3), (2, 20, 4, 3, 4), (1, 5, 5, 2, 1)],
)
def test_epochs_are_so_many_updates(epochs, rows, batch, accumulation, updates):
    config = TrainConfig(steps=0, epochs=epochs, batch_size=batch, accumulation=accumulation)
    assert config.updates(rows) == updates
    assert (updates - 1) * batch * accumulation < epochs * rows <= updates * batch * accumulation


def test_either_steps_or_epochs():
    with pytest.raises(ConfigError, match="epochs=3 and steps=140: expected one of them, and 0"):
        TrainConfig(epochs=3)
    with pytest.raises(ConfigError, match="epochs=3 and steps=5: expected one"):
        configure("cpu", "clip-ft", ["train.epochs=3", "train.steps=5"])
    with pytest.raises(ConfigError, match="warmup_epochs=0.5 and warmup_steps=10: expected one"):
        TrainConfig(warmup_epochs=0.5)
    with pytest.raises(ConfigError, match=r"keep_epochs=\(5,\): .* at most 3"):
        TrainConfig(steps=0, epochs=3, keep_epochs=(5,))
    with pytest.raises(ConfigError, match="steps=0: expected >= 1"):
        TrainConfig(steps=0)


def test_the_one_that_is_asked_for_alone_switches_the_other_off():
    by_epochs = configure("cpu", "clip-ft", ["train.epochs=3", "train.warmup_epochs=0.1"]).train
    assert (by_epochs.steps, by_epochs.epochs, by_epochs.warmup_steps) == (0, 3, 0)
    paper = get_profile("paper-b16").run("clip-ft")
    by_steps = change(paper, ["train.steps=100", "train.warmup_steps=5"]).train
    assert (by_steps.steps, by_steps.epochs, by_steps.warmup_epochs) == (100, 0, 0.0)
    assert TrainConfig.from_dict({"epochs": 2}).steps == 0
    assert TrainConfig.from_dict(by_epochs.to_dict()) == by_epochs
