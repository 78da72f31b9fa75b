"""The loss terms by name: each says what it reads and learns, and calls its objective.

A term sees a step's `Features` and the `LossConfig`; a method is a sum of terms, see `methods`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bclip_core.config import LossConfig, RunConfig
from bclip_core.losses import (
    base_rate,
    beta_cal,
    conditioned_contrastive,
    cross_conditioned,
    global_contrastive,
    grouped_contrast,
    late_interaction_contrastive,
    multi_positive,
    principal_features,
    sigmoid_contrastive,
    subcaption_alignment,
    text_conditioned_sigmoid,
    unit_cosine,
    word_reconstruction,
)
from bclip_core.model.features import Features
from bclip_core.poolers import sparse_average

LossTerm = Callable[[Features, LossConfig], Tensor]
Needs = tuple[str, ...] | Callable[[LossConfig], tuple[str, ...]]
Learns = Mapping[str, float] | Callable[[RunConfig], Mapping[str, float]]
SUMMARY_SLOT = 1  # of the text axis, where a method reads a summary
SHIFTED = ("crossed", "crossed_one", "crossed_alike", "reference")  # of `cross_images`
POOLED = ("conditioned", *SHIFTED, "crossed_captions")  # these need a pooler
READABLE = (*POOLED, "patches", "tokens", "nested")


@dataclass(frozen=True)
class Term:
    """One summand of a loss: all that the rest of the house knows of it is what it declares here.

    Attributes:
        loss: its scalar, of features and settings.
        texts: which kinds of text it reads beside the caption, of `TEXT_KINDS`.
        required: those of them that it cannot do without.
        needs: what has to be computed for it, of `READABLE`; where settings decide that, a function
            of them. "reference" is the mean of other images' embeddings, "crossed" their cosines,
            "crossed_alike" which of them have the text themselves, "crossed_captions" those of
            all images with all captions, "nested" which texts of an
            image contain each other.
        learns: scalars that it learns, with their starts, for its loss to read as
            `features.learnt`; a `..._scale` is a logarithm here and kept in [1, 100]. A function
            of the run's configuration where that decides them.
        label: its name in histories; empty: the one in `TERMS`.
        weight: the setting that it is multiplied by; empty: 1.
        reads: the other fields of `LossConfig` that its loss reads.
        settings: numbers of its own that are no fields of `LossConfig`, with their defaults; its
            loss reads them as `config.extra`, a run sets them as `loss.extra.NAME`.
    """

    loss: LossTerm
    texts: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    needs: Needs = ()
    learns: Learns = field(default_factory=dict)
    label: str = ""
    weight: str = ""
    reads: tuple[str, ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)

    def needed(self, config: LossConfig) -> tuple[str, ...]:
        """What has to be computed for it under these settings, of `READABLE`."""
        return self.needs(config) if callable(self.needs) else self.needs

    def learnt(self, config: RunConfig) -> Mapping[str, float]:
        """The scalars that it learns in such a run, with their starts."""
        return self.learns(config) if callable(self.learns) else self.learns

    def weighted(self, features: Features, config: LossConfig) -> Tensor:
        """Its scalar, times its weight."""
        if self.settings:
            config = config.replace(extra={**self.settings, **config.extra})
        return self.loss(features, config) * self.factor(config)

    def factor(self, config: LossConfig) -> float:
        """Its weight in the loss."""
        if self.weight in self.settings:
            return float(config.extra.get(self.weight, self.settings[self.weight]))
        return float(getattr(config, self.weight)) if self.weight else 1.0


def _given(value: Tensor | None) -> Tensor:
    """A feature that the term's declaration has asked for."""
    assert value is not None, "the model was built without what the method's terms read"
    return value


def _global(features: Features, _: LossConfig) -> Tensor:
    """Class token against caption: the ordinary CLIP loss over the batch."""
    return global_contrastive(features.image, features.text[:, 0], features.logit_scale)


Balance = Callable[[Features, LossConfig], dict[str, Any]]
_BETA_KINDS = ("caption", "sentence", "phrase")
_BETA_BIAS = "beta_cal_bias"


def _as_published(_: Features, __: LossConfig) -> dict[str, Any]:
    return {}


def _as_set(features: Features, config: LossConfig) -> dict[str, Any]:
    """Normaliser and bias of the sigmoid form, by its settings."""
    bias: Tensor | float = config.sigmoid_bias_value
    if config.sigmoid_bias == "learnt":
        bias = features.learnt[_BETA_BIAS]
    return {"normaliser": config.sigmoid_normaliser, "bias": bias}


def _balanced(features: Features, _: LossConfig) -> dict[str, Any]:
    return {"normaliser": "positives", "bias": features.learnt[_BETA_BIAS]}


def _beta_cal(form: str, balance: Balance = _as_published) -> LossTerm:
    """β-CAL of the given form over caption, sentences and phrases."""

    def term(features: Features, config: LossConfig) -> Tensor:
        image = _given(features.conditioned)
        if config.conditioning_centre:
            image = image - _given(features.reference)
        return beta_cal(
            features.text,
            image,
            features.where(*_BETA_KINDS),
            _given(features.pooler_logit_scale),
            beta=config.beta,
            form=form,
            mask_padding=config.mask_padding,
            duplicates=features.identity if config.duplicates == "ignore" else None,
            related=_given(features.nested) if config.context == "nested" else None,
            across_ranks=features.ranks > 1,
            **balance(features, config),
        )

    return term


def _cross(form: str, beside: bool) -> LossTerm:
    """Other images pooled with the same text as its negatives.

    Beside β-CAL it learns a scale of its own; instead of β-CAL it takes the pooler's.
    """

    def term(features: Features, config: LossConfig) -> Tensor:
        return cross_conditioned(
            unit_cosine(_given(features.conditioned), features.text),
            _given(features.crossed),
            features.where("caption", "sentence", "phrase"),
            features.learnt["cross_scale"] if beside else _given(features.pooler_logit_scale),
            form=form,
            bias=features.learnt["cross_bias"] if form == "bce" else 0.0,
            ignore=features.crossed_alike if config.duplicates == "ignore" else None,
        )

    return term


def _cross_captions(features: Features, _: LossConfig) -> Tensor:
    """Every image of the batch pooled with every caption, as conditioned retrieval does."""
    return conditioned_contrastive(
        _given(features.crossed_captions), features.learnt["captions_scale"]
    )


def _summary(features: Features, _: LossConfig) -> Tensor:
    """MulCLIP's L(v_cls, t_short)."""
    short = features.text[:, SUMMARY_SLOT]
    return global_contrastive(features.image, short, features.logit_scale)


def _principal(features: Features, config: LossConfig) -> Tensor:
    """Long-CLIP: the short caption against the first principal components of the image features."""
    coarse = principal_features(features.image, config.principal_components)
    short = features.text[:, SUMMARY_SLOT]
    return global_contrastive(coarse, short, features.logit_scale)


def _word(features: Features, config: LossConfig) -> Tensor:
    """MulCLIP's L_word over (calibrated) patch and word tokens."""
    return word_reconstruction(
        _given(features.patch_tokens),
        _given(features.word_tokens),
        _given(features.word_mask),
        features.learnt["word_scale"],
        temperature=config.token_temperature,
        negatives=config.word_negatives,
    )


def _subcaption(features: Features, config: LossConfig) -> Tensor:
    """MulCLIP's L_sub."""
    calibrated = config.subcaption_tokens == "calibrated"
    return subcaption_alignment(
        _given(features.patch_tokens if calibrated else features.patches),
        features.text,
        features.where("sentence"),
        features.learnt["subcaption_scale"],
        temperature=config.token_temperature,
    )


def _late_interaction(features: Features, _: LossConfig) -> Tensor:
    """FILIP's contrast of images and captions by their tokens."""
    return late_interaction_contrastive(
        _given(features.patch_tokens),
        _given(features.word_tokens),
        _given(features.word_mask),
        features.logit_scale,
    )


def _sparse(features: Features, _: LossConfig) -> Tensor:
    """SPARC's fine-grained loss: each word finds its patches' average among its caption's."""
    words = _given(features.word_tokens)
    grouped = sparse_average(_given(features.patch_tokens), words)[0]
    mask, scale = _given(features.word_mask), features.logit_scale
    return grouped_contrast(grouped, words, mask, scale)


def _multi_positive(features: Features, _: LossConfig) -> Tensor:
    """Caption and sentences as equal positives."""
    mask = features.where("caption", "sentence")
    return multi_positive(features.image, features.text, mask, features.logit_scale)


def _sigmoid(features: Features, _: LossConfig) -> Tensor:
    """SigLIP: class token against caption, each pair a yes or no."""
    caption, mask = features.text[:, :1], features.mask[:, :1]
    bias = features.learnt["sigmoid_bias"]
    return sigmoid_contrastive(features.image, caption, mask, features.logit_scale, bias)


def _flair_global(features: Features, _: LossConfig) -> Tensor:
    """FLAIR's multi-positive sigmoid loss; its code halves the sum of both."""
    mask, bias = features.where("caption", "sentence"), features.learnt["sigmoid_bias"]
    loss = sigmoid_contrastive(features.image, features.text, mask, features.logit_scale, bias)
    return loss / 2


def _flair_local(features: Features, _: LossConfig) -> Tensor:
    """FLAIR's text-conditioned sigmoid loss."""
    loss = text_conditioned_sigmoid(
        unit_cosine(_given(features.conditioned), features.text),
        _given(features.crossed)[:, 0],
        features.where("caption", "sentence"),
        features.logit_scale,
        features.learnt["sigmoid_bias"],
    )
    return loss / 2


def _beta_needs(config: LossConfig) -> tuple[str, ...]:
    reference = ("reference",) if config.conditioning_centre else ()
    return ("conditioned", *reference, *(("nested",) if config.context == "nested" else ()))


def _cross_needs(config: LossConfig) -> tuple[str, ...]:
    alike = ("crossed_alike",) if config.duplicates == "ignore" else ()
    return ("conditioned", "crossed", *alike)


def _beta_learns(config: RunConfig) -> dict[str, float]:
    return _balanced_learns(config) if config.loss.sigmoid_bias == "learnt" else {}


def _balanced_learns(config: RunConfig) -> dict[str, float]:
    """The bias starts at a positive's log-odds in a batch whose images have all their texts."""
    texts = sum(kind in _BETA_KINDS for kind in config.texts.kinds)
    full = torch.ones(max(config.train.batch_size, 2), texts, dtype=torch.bool)
    start = config.loss.sigmoid_bias_value or base_rate(full, config.loss.beta).log_odds
    return {_BETA_BIAS: start}


def _subcaption_needs(config: LossConfig) -> tuple[str, ...]:
    return ("tokens",) if config.subcaption_tokens == "calibrated" else ("patches",)


_PARTS, _SENTENCES, _SUMMARY = ("sentence", "phrase"), ("sentence",), ("summary",)
_START = math.log(1 / 0.07)  # of every learnt scale
_CROSS_BIAS = {"cross_bias": -5.5}  # about -(mean logit + ln 7) at first, for 8 images per text
_BIASED = {"sigmoid_bias": -10.0}  # as SigLIP starts it
_BETA: dict[str, Any] = {
    "texts": _PARTS, "needs": _beta_needs, "label": "beta_cal", "weight": "beta_cal_weight",
    "reads": ("beta", "mask_padding", "duplicates", "context", "conditioning_centre"),
}  # fmt: skip
_BALANCE = (*_BETA["reads"], "sigmoid_normaliser", "sigmoid_bias", "sigmoid_bias_value")
_BETA_BCE = {**_BETA, "reads": _BALANCE, "learns": _beta_learns}
_CROSS: dict[str, Any] = {
    "texts": _PARTS, "needs": _cross_needs, "label": "cross", "weight": "cross_weight",
    "reads": ("duplicates",),
}  # fmt: skip
TERMS: dict[str, Term] = {
    "global": Term(_global),
    "beta_cal_ce": Term(_beta_cal("ce"), **_BETA),
    "beta_cal_bce": Term(_beta_cal("bce", _as_set), **_BETA_BCE),
    "beta_cal_bce_balanced": Term(
        _beta_cal("bce", _balanced), learns=_balanced_learns, **_BETA
    ),
    "cross_ce": Term(_cross("ce", True), learns={"cross_scale": _START}, **_CROSS),
    "cross_bce": Term(_cross("bce", True), learns={"cross_scale": _START, **_CROSS_BIAS}, **_CROSS),
    "cross_only_ce": Term(_cross("ce", False), **_CROSS),
    "cross_captions": Term(
        _cross_captions, needs=("crossed_captions",), learns={"captions_scale": _START},
        weight="captions_weight", settings={"captions_weight": 1.0},
    ),
    "cross_only_bce": Term(_cross("bce", False), learns=_CROSS_BIAS, **_CROSS),
    "summary": Term(_summary, _SUMMARY, _SUMMARY, weight="summary_weight"),
    "principal": Term(
        _principal, _SUMMARY, _SUMMARY, weight="principal_weight", reads=("principal_components",)
    ),
    "word": Term(
        _word, needs=("tokens",), learns={"word_scale": _START}, weight="word_weight",
        reads=("token_temperature", "word_negatives"),
    ),
    "subcaption": Term(
        _subcaption, _SENTENCES, _SENTENCES, _subcaption_needs, {"subcaption_scale": _START},
        weight="subcaption_weight", reads=("token_temperature", "subcaption_tokens"),
    ),
    "late_interaction": Term(_late_interaction, needs=("tokens",), weight="local_weight"),
    "sparse": Term(_sparse, needs=("tokens",), weight="local_weight"),
    "multi_positive": Term(_multi_positive, _SENTENCES, _SENTENCES),
    "sigmoid": Term(_sigmoid, learns=_BIASED),
    "flair_global": Term(_flair_global, _SENTENCES, _SENTENCES, (), _BIASED),
    "flair_local": Term(
        _flair_local, _SENTENCES, _SENTENCES, ("conditioned", "crossed_one"), _BIASED,
        weight="local_weight",
    ),
}  # fmt: skip
"""Every known term. A reader's own is one more entry, made before the `Method` that names it."""

__all__ = ["POOLED", "READABLE", "SHIFTED", "SUMMARY_SLOT", "TERMS", "LossTerm", "Needs", "Term"]
