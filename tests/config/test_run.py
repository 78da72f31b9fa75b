"""Configurations: what is refused, and with which words; the round trip through JSON."""

import json

import pytest

from bclip_core.config import (
    BackboneConfig,
    ConfigError,
    DataConfig,
    LossConfig,
    PoolerConfig,
    RunConfig,
    TextConfig,
    TrainConfig,
)

REFUSED = [
    (LossConfig, "beta", 1.5, "a number in [0, 1]"),
    (LossConfig, "beta", -0.1, "a number in [0, 1]"),
    (LossConfig, "beta", float("nan"), "a finite number"),
    (LossConfig, "beta_cal_weight", -1.0, ">= 0"),
    (LossConfig, "duplicates", "keep", "one of negatives, ignore"),
    (LossConfig, "mask_padding", 1, "a value of type bool"),
    (BackboneConfig, "name", "", "the name of an architecture"),
    (BackboneConfig, "context_length", 7, ">= 8"),
    (BackboneConfig, "pretrained", None, "a value of type str"),
    (PoolerConfig, "heads", 0, ">= 1"),
    (PoolerConfig, "init", "zeros", "one of identity, xavier, weights"),
    (TextConfig, "caption", "medium", "one of long, short"),
    (TextConfig, "sentences", 0, ">= 1"),
    (TextConfig, "phrases", -1, ">= 0"),
    (DataConfig, "train", 0, ">= 1"),
    (DataConfig, "image_size", 8, ">= 16 pixels"),
    (DataConfig, "seed", -1, ">= 0"),
    (DataConfig, "crop", (0.5,), "two finite numbers, or none"),
    (DataConfig, "crop", (0.5, 1.5), "two shares, 0 < least <= largest <= 1, or none"),
    (DataConfig, "crop", (0.9, 0.5), "two shares, 0 < least <= largest <= 1, or none"),
    (TextConfig, "phrase_tokens", 2, "0, or >= 3 (start, word, end)"),
    (TrainConfig, "steps", 0, ">= 1"),
    (TrainConfig, "steps", 2.5, "a whole number"),
    (TrainConfig, "steps", "many", "a whole number"),
    (TrainConfig, "batch_size", True, "a whole number"),
    (TrainConfig, "lr", 0.0, "> 0"),
    (TrainConfig, "lr", float("inf"), "a finite number"),
    (TrainConfig, "pooler_lr", -1e-3, "> 0"),
    (TrainConfig, "final_lr_fraction", 1.1, "a number in [0, 1]"),
    (TrainConfig, "pooler_final_lr_fraction", -0.5, "a number in [0, 1], or -1"),
    (TrainConfig, "warmup_epochs", -0.1, ">= 0"),
    (TrainConfig, "warmup_lr", 1.0, "<= lr and pooler_lr, (0.0007, 0.002)"),
    (TrainConfig, "keep_epochs", (0,), "whole numbers >= 1"),
    (TrainConfig, "keep_epochs", 5, "whole numbers >= 1"),
    (TrainConfig, "weight_decay", -0.1, ">= 0"),
    (TrainConfig, "adam_betas", (0.9,), "two numbers in [0, 1)"),
    (TrainConfig, "adam_betas", (0.9, 1.0), "two numbers in [0, 1)"),
    (TrainConfig, "precision", "fp8", "one of fp32, bf16, fp16, bf16-products"),
    (TrainConfig, "seed", -1, ">= 0"),
    (RunConfig, "train", 5, "a value of type TrainConfig"),
]


@pytest.mark.parametrize(("kind", "name", "value", "expected"), REFUSED)
def test_a_bad_value_names_field_value_and_what_is_allowed(kind, name, value, expected):
    with pytest.raises(ConfigError) as error:
        kind(**{name: value})
    assert str(error.value) == f"{name}={value!r}: expected {expected}"


def test_the_round_trip_through_json_gives_the_same_configuration():
    config = RunConfig(
        "beta-clip-bce",
        BackboneConfig("scene-tiny", context_length=248),
        loss=LossConfig(beta=0),
        train=TrainConfig(adam_betas=(0.8, 0.9), lr=1),
    )
    again = RunConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.train.adam_betas == (0.8, 0.9)
    assert json.dumps(again.to_dict()) == json.dumps(config.to_dict())


def test_whole_numbers_and_fractions_are_one_configuration():
    assert json.dumps(LossConfig(beta=1).to_dict()) == json.dumps(LossConfig(beta=1.0).to_dict())


@pytest.mark.parametrize("part", [{"rounds": 3}, {"train": {"rounds": 3}}])
def test_an_unknown_field_lists_the_known_ones(part):
    with pytest.raises(ConfigError, match=r"field=\['rounds'\]: expected one of .*(steps|method)"):
        RunConfig.from_dict(part)


def test_a_changed_copy_is_checked_again():
    config = LossConfig(beta=0.25)
    assert config.replace(beta=1.0).beta == 1.0
    assert config.beta == 0.25
    with pytest.raises(ConfigError, match="beta=2"):
        config.replace(beta=2.0)


def test_texts_per_image_of_the_paper():
    config = TextConfig.from_counts(36, sentences=5, phrases=30)
    assert config.texts_per_image == 36
    assert config.replace(sentence_texts=False).texts_per_image == 31
    assert config.replace(sentence_texts=False, phrases=0).texts_per_image == 1


def test_a_k_that_does_not_fit_s_and_n_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"texts_per_image=35: expected 1 \+ .* = 36"):
        TextConfig.from_counts(35, sentences=5, phrases=30)
