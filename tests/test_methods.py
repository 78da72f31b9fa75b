"""The catalogue of methods, on real features of a tiny model."""

import dataclasses

import pytest
import torch

from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, ConfigError, LossConfig, PoolerConfig, TextConfig
from bclip_core.data.batches import collate_texts, draw_texts
from bclip_core.losses import beta_cal, global_contrastive
from bclip_core.methods import METHODS, get_method
from bclip_core.tokenizer import Tokenizer

TRAINED = [name for name, method in METHODS.items() if method.terms]


def features_of(method, tiny_scenes, images=5):
    torch.manual_seed(0)
    model = build_model(
        BackboneConfig("scene-tiny"), PoolerConfig(init="xavier") if method.pooler else None
    )
    config = method.texts(TextConfig(sentences=2, phrases=4))
    rows = tiny_scenes.select(range(images)).to_list()
    texts = collate_texts([draw_texts(row, config, None) for row in rows], Tokenizer())
    return model, model(torch.randn(images, 3, 64, 64), texts)


def test_an_unknown_method_lists_the_catalogue():
    with pytest.raises(ConfigError, match="method='bclip': expected one of clip, clip-pretrain, "):
        get_method("bclip")


def test_names_are_keys_and_summaries_are_there():
    assert all(name == method.name and method.summary for name, method in METHODS.items())
    assert METHODS["clip"].terms == {}
    assert [name for name, method in METHODS.items() if method.pooler] == [
        "beta-clip-ce",
        "beta-clip-bce",
    ]


@pytest.mark.parametrize(
    ("name", "caption", "count"),
    [("clip-pretrain", "short", 1), ("clip-ft", "long", 1), ("beta-clip-ce", "long", 36)],
)
def test_a_method_reads_its_own_texts_of_the_same_sentences(name, caption, count):
    texts = get_method(name).texts(TextConfig())
    assert (texts.caption, texts.texts_per_image) == (caption, count)
    assert texts.sentences == TextConfig().sentences


@pytest.mark.parametrize("name", TRAINED)
def test_every_term_is_finite_and_reaches_every_parameter(name, tiny_scenes):
    method = get_method(name)
    model, features = features_of(method, tiny_scenes)
    terms = method.loss_terms(features, LossConfig())
    assert list(terms) == list(method.terms)
    assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    unreached = [name for name, p in model.named_parameters() if p.grad is None]
    assert unreached == []


@pytest.mark.parametrize(("name", "form"), [("beta-clip-ce", "ce"), ("beta-clip-bce", "bce")])
def test_the_terms_are_the_losses_with_the_settings_given(name, form, tiny_scenes):
    method = get_method(name)
    _, features = features_of(method, tiny_scenes)
    settings = LossConfig(beta=0.25, beta_cal_weight=3.0, mask_padding=False)
    terms = method.loss_terms(features, settings)
    captions = features.text[:, 0]
    expected = beta_cal(
        features.text, features.conditioned, features.mask, features.pooler_logit_scale,
        beta=0.25, form=form, mask_padding=False,
    )  # fmt: skip
    torch.testing.assert_close(terms["beta_cal"], 3 * expected)
    torch.testing.assert_close(
        terms["global"], global_contrastive(features.image, captions, features.logit_scale)
    )


@pytest.mark.parametrize("name", ["beta-clip-ce", "beta-clip-bce"])
def test_repeated_texts_are_negatives_unless_they_are_ignored(name, tiny_scenes):
    method = get_method(name)
    _, features = features_of(method, tiny_scenes, images=8)
    assert features.identity[features.mask].unique().numel() < features.mask.sum(), "no repeats"
    as_paper, ignored = (
        method.loss_terms(features, LossConfig(duplicates=choice))["beta_cal"]
        for choice in ("negatives", "ignore")
    )
    assert ignored < as_paper
    alone = features._replace(identity=torch.arange(features.mask.numel()).view_as(features.mask))
    distinct = method.loss_terms(alone, LossConfig(duplicates="ignore"))["beta_cal"]
    torch.testing.assert_close(distinct, as_paper)


def test_a_batch_without_any_text_is_refused(tiny_scenes):
    method = get_method("beta-clip-ce")
    _, features = features_of(method, tiny_scenes)
    empty = features._replace(mask=torch.zeros_like(features.mask))
    with pytest.raises(ValueError, match="False everywhere"):
        method.loss_terms(empty, LossConfig())


def test_an_entry_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        METHODS["clip"].pooler = True
