"""The catalogue of methods, on real features of a tiny model."""

import dataclasses
import math

import pytest
import torch

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import build_model
from bclip_core.config import (
    PROFILES,
    BackboneConfig,
    ConfigError,
    LossConfig,
    PoolerConfig,
    RunConfig,
    TextConfig,
    configure,
    get_profile,
)
from bclip_core.data.batches import ImageTextDataset, collate_texts, draw_texts
from bclip_core.losses import beta_cal, global_contrastive, multi_positive
from bclip_core.model import METHODS, TERMS, Method, Term, get_method, register, resolve
from bclip_core.train import create_model, train
from bclip_core.train.resume import read_history

TRAINED = [name for name, method in METHODS.items() if method.terms]


def features_of(method, tiny_scenes, images=5, **loss):
    texts = TextConfig(sentences=2, phrases=4)
    xavier = PoolerConfig(init="xavier")
    config = RunConfig(
        method.name, BackboneConfig("scene-tiny"), xavier, texts=texts, loss=LossConfig(**loss)
    )
    model = create_model(config)
    rows = tiny_scenes.select(range(images)).to_list()
    drawn = [draw_texts(row, method.texts(texts), None) for row in rows]
    texts = collate_texts(drawn, Tokenizer())
    return model, model(torch.randn(images, 3, 64, 64), texts)


def test_an_unknown_method_lists_the_catalogue():
    with pytest.raises(ConfigError, match="method='bclip': expected one of clip, clip-pretrain, "):
        get_method("bclip")


def test_names_are_keys_and_summaries_are_there():
    assert all(name == method.name and method.summary for name, method in METHODS.items())
    assert METHODS["clip"].terms == ()
    assert METHODS["beta-clip-ce"].pooler == METHODS["beta-clip-bce"].pooler == "beta_clip"
    assert METHODS["clip-ft"].pooler == METHODS["mulclip"].pooler == ""


@pytest.mark.parametrize(
    ("name", "caption", "count"),
    [
        ("clip-pretrain", "short", 1),
        ("clip-ft", "long", 1),
        ("beta-clip-ce", "long", 36),
        ("mulclip", "long", 7),
        ("long-clip", "long", 2),
        ("multi-positive", "long", 6),
        ("beta-clip-summary", "long", 37),
    ],
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
    assert tuple(terms) == method.labels
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
        METHODS["clip"].pooler = "flair"


def refused(reason, **entry):
    with pytest.raises(ConfigError, match=reason):
        Method("mine", "a reader's", **entry)


def test_unknown_parts_of_an_entry_are_refused_by_name():
    refused(r"method 'mine': terms='globl': expected one of global, ", terms=("globl",))
    refused("pooler='mean': expected one of beta_clip, flair, similarity", pooler="mean")
    refused("caption='both': expected one of long, short", caption="both")
    refused("pooler='': expected one of beta_clip, ", terms=("global", "beta_cal_ce"))
    both = ("cross_ce", "flair_local")
    refused("terms that cross all texts and terms that cross one", terms=both, pooler="flair")


def test_an_unknown_need_of_a_term_is_refused_by_name(monkeypatch):
    monkeypatch.setitem(TERMS, "odd", Term(lambda *_: torch.zeros(()), needs=("depth",)))
    refused(r"needs of its terms \['depth'\]: expected of conditioned, ", terms=("odd",))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            {"learns": ("slope",)},
            r"learns of its term 'odd' \('slope',\): expected numbers by name",
        ),
        ({"reads": ("gamma",)}, "setting of its term 'odd' 'gamma': expected of beta, "),
        ({"weight": "odd_weight"}, "setting of its term 'odd' 'odd_weight': expected of beta, "),
        (
            {"settings": {"beta": 0.1}},
            r"settings of its term 'odd' \['beta'\]: expected names that",
        ),
        (
            {"learns": {"sigmoid_bias": 1.0}},
            r"'sigmoid_bias' is -10.0 and 1.0: expected one number",
        ),
        ({"needs": lambda config: ("reference",)}, "pooler='': expected one of beta_clip, "),
    ],
)
def test_what_a_term_declares_wrongly_is_refused_by_name(declared, message, monkeypatch):
    monkeypatch.setitem(TERMS, "odd", Term(lambda *_: torch.zeros(()), **declared))
    refused(message, terms=("sigmoid", "odd"))


def test_texts_that_a_method_needs_are_refused_by_name_where_the_setting_leaves_them_out():
    texts = TextConfig(sentence_texts=False)
    with pytest.raises(ConfigError, match="'mulclip': texts have no sentence: .*'subcaption'"):
        get_method("mulclip").texts(texts)
    assert get_method("beta-clip-ce").texts(texts).texts_per_image == 31, "β-CAL can do without"


def test_a_summary_comes_from_where_it_is_asked(tiny_scenes):
    row, method = tiny_scenes[0], get_method("long-clip")
    short, first = row["short_captions"][0], row["sentences"][0]
    for source, expected in (("given", short), ("auto", short), ("first_sentence", first)):
        texts = method.texts(TextConfig(summary=source))
        assert draw_texts(row, texts, None)[1] == expected
    bare = row | {"short_captions": []}
    assert draw_texts(bare, method.texts(TextConfig()), None)[1] == first


def test_a_missing_summary_is_refused_by_row_before_training(tiny_scenes):
    bare = tiny_scenes.map(
        lambda row, number: {"short_captions": row["short_captions"] if number != 3 else []},
        with_indices=True, load_from_cache_file=False, keep_in_memory=True,
    )  # fmt: skip
    texts = get_method("mulclip").texts(TextConfig(summary="given"))
    message = rf"row 3, id '{tiny_scenes[3]['id']}': short_captions=\[\]: expected texts"
    with pytest.raises(ValueError, match=message):
        ImageTextDataset(bare, texts, 64)
    assert len(ImageTextDataset(bare, texts.replace(summary="auto"), 64)) == len(bare)


def test_a_readers_own_method_is_a_function_and_an_entry(tiny_scenes, tiny_config, tmp_path):
    def centre_patches(features, config):
        """The middle of an image's patches should match its sentences, like the class token."""
        middle = features.patches.mean(1)
        return multi_positive(middle, features.text, features.where("sentence"), 20.0)

    TERMS["centre"] = Term(centre_patches, ("sentence",), ("sentence",), ("patches",))
    register(Method("mine", "global loss + mean patch against sentences", ("global", "centre")))
    try:
        config = tiny_config.replace(method="mine", train=tiny_config.train.replace(steps=2))
        train(config, tiny_scenes, tmp_path, device="cpu", progress=False)
        with pytest.raises(ConfigError, match="method='mine': expected a name that is not in"):
            register(Method("mine", "another", ("global",)))
    finally:
        del METHODS["mine"], TERMS["centre"]
    assert {"global", "centre"} <= read_history(tmp_path / "history.jsonl")[-1].keys()


def test_a_hybrid_is_the_sum_of_its_terms(tiny_scenes):
    _, features = features_of(get_method("beta-clip-summary"), tiny_scenes)
    terms = get_method("beta-clip-summary").loss_terms(features, LossConfig())
    kept = [0, 2, 3, 4, 5, 6, 7]  # without the summary
    expected = beta_cal(features.text[:, kept], features.conditioned[:, kept],
                        features.mask[:, kept], features.pooler_logit_scale)  # fmt: skip
    torch.testing.assert_close(terms["beta_cal"], expected)
    summary = global_contrastive(features.image, features.text[:, 1], features.logit_scale)
    torch.testing.assert_close(terms["summary"], summary / 2)


def test_conditioning_on_the_centre_takes_the_others_mean_away(tiny_scenes):
    method = get_method("beta-clip-ce")
    _, features = features_of(method, tiny_scenes, conditioning_centre=True, cross_images=2)
    assert features.reference.shape == features.conditioned.shape
    terms = method.loss_terms(features, LossConfig(conditioning_centre=True))
    expected = beta_cal(features.text, features.conditioned - features.reference, features.mask,
                        features.pooler_logit_scale)  # fmt: skip
    torch.testing.assert_close(terms["beta_cal"], expected)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("mulclip", {"token_temperature": 0.5}),
        ("mulclip", {"word_negatives": "batch"}),
        ("mulclip", {"subcaption_tokens": "calibrated"}),
        ("mulclip", {"word_weight": 2.0}),
        ("mulclip", {"subcaption_weight": 2.0}),
        ("mulclip", {"summary_weight": 2.0}),
        ("long-clip", {"principal_components": 1}),
        ("long-clip", {"principal_weight": 2.0}),
        ("flair", {"local_weight": 2.0}),
        ("filip", {"local_weight": 2.0}),
        ("sparc", {"local_weight": 2.0}),
        ("beta-clip-ce-cross", {"cross_weight": 2.0}),
        ("beta-clip-bce", {"sigmoid_normaliser": "rows"}),
        ("beta-clip-bce", {"sigmoid_normaliser": "positives"}),
        ("beta-clip-bce", {"sigmoid_bias": "fixed", "sigmoid_bias_value": -4.8}),
    ],
)
def test_an_open_choice_is_a_setting_that_changes_the_loss(name, setting, tiny_scenes):
    method = get_method(name)
    _, features = features_of(method, tiny_scenes)
    usual = method.loss_terms(features, LossConfig())
    changed = method.loss_terms(features, LossConfig(**setting))
    differing = [label for label in usual if not torch.isclose(usual[label], changed[label])]
    assert differing


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_computes_what_its_terms_read_and_no_more(name, tiny_scenes):
    method = get_method(name)
    _, features = features_of(method, tiny_scenes)
    needs = method.needs()
    assert needs == {need for t in method.terms for need in TERMS[t].needed(LossConfig())}
    assert (features.patches is not None) == ("patches" in needs)
    assert (features.word_tokens is not None) == ("tokens" in needs)
    assert (features.crossed is not None) == bool(needs & {"crossed", "crossed_one"})
    assert (features.conditioned is not None) == ("conditioned" in needs)
    assert features.reference is None
    assert tuple(features.learnt) == method.learns


@pytest.mark.parametrize(
    ("name", "loss", "computed"),
    [
        ("beta-clip-ce", {}, {}),
        ("beta-clip-ce", {"conditioning_centre": True, "cross_images": 3},
         {"crossed": "all", "reference": True, "cross_images": 3}),
        ("beta-clip-bce-cross", {}, {"crossed": "all", "cross_images": 8}),
        ("flair", {}, {"crossed": "one", "cross_images": 0}),
        ("mulclip", {}, {"patches": True, "tokens": True}),
        ("mulclip-no-word", {}, {"patches": True}),
        ("mulclip-no-word", {"subcaption_tokens": "calibrated"}, {"tokens": True}),
        ("sparc", {}, {"tokens": True}),
        ("clip-ft", {"conditioning_centre": True}, {}),
    ],
)  # fmt: skip
def test_settings_decide_what_is_computed_where_a_term_says_so(name, loss, computed):
    reading = get_method(name).reading(RunConfig(name, loss=LossConfig(**loss)))
    found = {field.name: getattr(reading, field.name) for field in dataclasses.fields(reading)}
    expected = {"patches": False, "tokens": False, "crossed": "", "reference": False} | computed
    assert {field: found[field] for field in expected} == expected
    assert reading.conditioned == (get_method(name).pooler in ("beta_clip", "flair"))


def test_what_is_computed_follows_from_declarations_and_not_from_names(monkeypatch):
    """Under other names the same terms have the same computed; a name like theirs has nothing."""
    monkeypatch.setitem(TERMS, "plain", TERMS["beta_cal_ce"])
    monkeypatch.setitem(TERMS, "beta_nothing", Term(lambda *_: torch.zeros(())))
    centred = RunConfig(loss=LossConfig(conditioning_centre=True))
    renamed = Method("renamed", "", ("global", "plain"), "beta_clip")
    assert renamed.reading(centred) == get_method("beta-clip-ce").reading(centred)
    named = Method("named", "", ("global", "beta_nothing"), "beta_clip").reading(centred)
    assert (named.crossed, named.reference) == ("", False)


UNREAD = [
    ("siglip", "loss.beta=0.9", "of loss, none, it reads no such setting"),
    ("clip", "loss.beta=0.9", "of loss, none, it reads no such setting"),
    ("mulclip", "loss.beta=0.9",
     "of loss, one of summary_weight, word_weight, subcaption_weight, token_temperature, "
     "word_negatives, subcaption_tokens"),
    ("beta-clip-ce", "loss.cross_images=4",
     "of loss, one of beta, beta_cal_weight, mask_padding, duplicates, context, "
     "conditioning_centre"),
    ("beta-clip-ce", "loss.sigmoid_normaliser=rows",
     "of loss, one of beta, beta_cal_weight, mask_padding, duplicates, context, "
     "conditioning_centre"),
    ("beta-clip-bce-balanced", "loss.sigmoid_normaliser=rows",
     "of loss, one of beta, beta_cal_weight, mask_padding, duplicates, context, "
     "conditioning_centre"),
    ("flair", "pooler.scale=20", "of pooler, one of heads, init"),
    ("flair", "loss.cross_images=4", "of loss, one of local_weight"),
    ("clip-ft", "loss.extra.margin=1", "of loss, none, it reads no such setting"),
    ("clip-ft", "pooler.heads=4", "of pooler, none, it reads no such setting"),
    ("flair", "pooler.kind=similarity", "of pooler, one of heads, init"),
    ("beta-clip-ce", "heads.token_ratio=0.5", "of heads, none, it reads no such setting"),
    ("siglip", "heads.calibration_scale=8", "of heads, none, it reads no such setting"),
    ("beta-clip-ce", "texts.summary=given",
     "of texts, one of sentences, phrases, sentence_texts, phrase_tokens"),
    ("clip-ft", "texts.caption=short",
     "of texts, one of sentences, phrases, sentence_texts, phrase_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "setting", "expected"), UNREAD, ids=lambda value: value[:24])
def test_a_setting_that_no_term_reads_is_refused_with_those_that_are(name, setting, expected):
    with pytest.raises(ConfigError) as error:
        get_method(name).check(configure("smoke", name, [setting]))
    assert str(error.value).endswith(f"not read by method '{name}': expected, {expected}")
    assert str(error.value).startswith(setting.partition("=")[0])


READ = [
    ("beta-clip-bce", "loss.beta=0.9"), ("beta-clip-ce-cross", "loss.cross_images=4"),
    ("mulclip", "heads.token_ratio=0.5"), ("sparc", "loss.local_weight=2"),
    ("flair", "pooler.kind=flair"), ("clip-pretrain", "texts.caption=short"),
    ("long-clip", "texts.summary=given"), ("clip-ft", "texts.phrases=3"),
    ("siglip", "loss.beta=0.5"), ("beta-clip-bce", "loss.sigmoid_normaliser=rows"),
    ("beta-clip-bce", "loss.sigmoid_bias=learnt"), ("beta-clip-ce", "pooler.scale=20"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "setting"), READ)
def test_a_setting_that_is_read_or_not_changed_is_taken(name, setting):
    get_method(name).check(configure("smoke", name, [setting]))


def test_centring_reads_how_many_images_it_takes():
    settings = ["loss.conditioning_centre=true", "loss.cross_images=4"]
    get_method("beta-clip-ce").check(configure("smoke", "beta-clip-ce", settings))


@pytest.mark.parametrize("name", METHODS)
def test_every_profile_is_taken_by_every_method(name):
    for profile in PROFILES.values():
        get_method(name).check(profile.run(name, seed=1))
        if profile.pretraining is not None:
            get_method(profile.pretraining.method).check(profile.pretraining)


@pytest.mark.parametrize("name", TRAINED)
def test_every_setting_that_a_method_declares_is_one_that_its_terms_look_at(name, tiny_scenes):
    """And no other: the terms are given settings that note what is asked of them."""
    asked = set()

    class Noting(LossConfig):
        def __getattribute__(self, field):
            if field in LossConfig.__dataclass_fields__:
                asked.add(field)
            return super().__getattribute__(field)

        def replace(self, **changes):
            """A copy, for a term with settings of its own; copying looks at every field."""
            before = set(asked)
            copied = super().replace(**changes)
            asked.intersection_update(before)
            return copied

    method = get_method(name)
    seen = set()
    for centre in (False, True):
        _, features = features_of(method, tiny_scenes, conditioning_centre=centre)
        settings = Noting(conditioning_centre=centre)
        asked.clear()
        method.loss_terms(features, settings)
        seen |= asked
    declared = {one for one in method.reads(RunConfig(name))["loss"] if "extra." not in one}
    assert seen - {"extra"} == declared - {"cross_images"}


def test_a_plan_is_all_that_the_catalogue_says(tiny_config):
    config = tiny_config.replace(method="mulclip")
    plan, method = resolve(config), METHODS["mulclip"]
    assert plan.method is method
    assert plan.texts == method.texts(config.texts)
    assert plan.reading == method.reading(config)
    assert plan.parts.pooler is None
    assert tuple(sorted(plan.parts.heads.scalars)) == method.learns
    assert resolve(config.replace(method="flair")).parts.pooler.kind == "flair"
    assert resolve(config.replace(method="clip-ft")).parts.heads is None


def test_weights_are_multiplied_and_nothing_else():
    loss = LossConfig(word_weight=2.0, beta=0.1)
    found = get_method("mulclip").weighed(loss, 3.0)
    assert found.changes() == {
        "beta": 0.1, "summary_weight": 1.5, "word_weight": 6.0, "subcaption_weight": 3.0
    }  # fmt: skip
    assert get_method("siglip").weighed(loss, 3.0) == loss


def test_a_learnt_bias_starts_at_the_log_odds_and_is_what_the_loss_reads(tiny_scenes):
    config = get_profile("cpu").run("beta-clip-bce-balanced")  # 64 images, 1 + 5 + 10 texts
    start = math.log((1 + 0.5 * 15) / (63 * 16))
    assert resolve(config).parts.heads.scalars == {"beta_cal_bias": pytest.approx(start)}
    published = config.replace(method="beta-clip-bce")
    assert resolve(published).parts.heads is None
    learnt = LossConfig(sigmoid_normaliser="positives", sigmoid_bias="learnt")
    same = resolve(published.replace(loss=learnt)).parts.heads
    assert same == resolve(config).parts.heads
    told = learnt.replace(sigmoid_bias_value=-3.0)
    assert resolve(published.replace(loss=told)).parts.heads.scalars == {"beta_cal_bias": -3.0}

    _, features = features_of(get_method("beta-clip-bce-balanced"), tiny_scenes)
    balanced = get_method("beta-clip-bce-balanced").loss_terms(features, LossConfig())["beta_cal"]
    by_settings = get_method("beta-clip-bce").loss_terms(features, learnt)["beta_cal"]
    assert torch.equal(balanced, by_settings)
    fixed = LossConfig(
        sigmoid_normaliser="positives", sigmoid_bias="fixed",
        sigmoid_bias_value=float(features.learnt["beta_cal_bias"]),
    )  # fmt: skip
    found = get_method("beta-clip-bce").loss_terms(features, fixed)["beta_cal"]
    torch.testing.assert_close(found, balanced)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigmoid_normaliser": "texts"}, "sigmoid_normaliser='texts': expected one of pairs, "),
        ({"sigmoid_bias": "free"}, "sigmoid_bias='free': expected one of none, fixed, learnt"),
        ({"sigmoid_bias_value": -4.0}, "sigmoid_bias_value=-4.0: expected 0 with sigmoid_bias='n"),
        ({"sigmoid_bias": "fixed"}, "sigmoid_bias_value=0.0: expected 0 with sigmoid_bias='none'"),
    ],
)
def test_settings_of_the_sigmoid_form_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LossConfig(**settings)


def test_the_poolers_scale_starts_where_it_is_told():
    config = RunConfig("beta-clip-ce", BackboneConfig("scene-tiny"), PoolerConfig(scale=20.0))
    model = build_model(*get_method("beta-clip-ce").parts(config))
    assert float(model.pooler.logit_scale.exp()) == pytest.approx(20.0)
    with pytest.raises(ConfigError, match="scale=0.5: expected a number in"):
        PoolerConfig(scale=0.5)


# ---- which patches ----


def test_flair_trains_on_its_authors_patches_and_the_others_remain_a_choice(tiny_scenes):
    config = RunConfig("flair", BackboneConfig("scene-tiny", pretrained="scenes"))
    kinds = {name: get_method(name).parts(config).backbone.patches for name in METHODS}
    assert kinds.pop("flair") == "attention"
    assert set(kinds.values()) == {"value"}
    assert METHODS["flair-value"] == dataclasses.replace(
        METHODS["flair"],
        name="flair-value",
        summary=METHODS["flair-value"].summary,
        patches="value",
    )


def test_the_kind_of_patches_changes_what_flair_learns_from(tiny_scenes):
    losses = {}
    for name in ("flair", "flair-value"):
        torch.manual_seed(0)
        _, features = features_of(get_method(name), tiny_scenes)
        losses[name] = sum(get_method(name).loss_terms(features, LossConfig()).values())
    assert (losses["flair"] - losses["flair-value"]).abs() > 1e-4


def test_an_unknown_kind_of_patches_is_refused():
    refused("patches='all': expected one of value, attention", patches="all")
