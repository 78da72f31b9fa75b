"""The catalogue: a method = pooler + loss terms + texts. A new method is one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from bclip_core.config import ConfigError, LossConfig, TextConfig
from bclip_core.losses import beta_cal, global_contrastive
from bclip_core.model import Features

LossTerm = Callable[[Features, LossConfig], Tensor]


def global_term(features: Features, _: LossConfig) -> Tensor:
    """Class token against caption: the ordinary CLIP loss over the batch."""
    return global_contrastive(features.image, features.text[:, 0], features.logit_scale)


def beta_cal_term(form: str) -> LossTerm:
    """β-CAL of the given form over caption, sentences and phrases, weighted."""

    def term(features: Features, config: LossConfig) -> Tensor:
        assert features.conditioned is not None
        assert features.pooler_logit_scale is not None
        loss = beta_cal(
            features.text,
            features.conditioned,
            features.mask,
            features.pooler_logit_scale,
            beta=config.beta,
            form=form,
            mask_padding=config.mask_padding,
            duplicates=features.identity if config.duplicates == "ignore" else None,
        )
        return config.beta_cal_weight * loss

    return term


@dataclass(frozen=True)
class Method:
    """One entry of the catalogue.

    Attributes:
        name: how the method is asked for.
        summary: one line for tables.
        terms: loss terms by name; the loss is their sum; none means the method does not train.
        pooler: whether patches are pooled by text.
        caption: "long" or "short", which caption is text 0.
        parts: whether sentences and phrases are read as texts of their own.
    """

    name: str
    summary: str
    terms: Mapping[str, LossTerm]
    pooler: bool = False
    caption: str = "long"
    parts: bool = False

    def texts(self, config: TextConfig) -> TextConfig:
        """`config` cut to what this method reads; the sampled caption stays the same."""
        parts = {} if self.parts else {"sentence_texts": False, "phrases": 0}
        return config.replace(caption=self.caption, **parts)

    def loss_terms(self, features: Features, config: LossConfig) -> dict[str, Tensor]:
        """Each term's scalar by name."""
        return {name: term(features, config) for name, term in self.terms.items()}


_ENTRIES = (
    Method("clip", "the pretrained model, untouched", {}),
    Method(
        "clip-pretrain", "global loss on short captions", {"global": global_term}, False, "short"
    ),
    Method("clip-ft", "global loss on long captions", {"global": global_term}),
    Method(
        "beta-clip-ce",
        "global loss + β-CAL, cross-entropy form (arXiv 2512.12678)",
        {"global": global_term, "beta_cal": beta_cal_term("ce")},
        pooler=True,
        parts=True,
    ),
    Method(
        "beta-clip-bce",
        "global loss + β-CAL, sigmoid form (arXiv 2512.12678)",
        {"global": global_term, "beta_cal": beta_cal_term("bce")},
        pooler=True,
        parts=True,
    ),
)
METHODS: dict[str, Method] = {entry.name: entry for entry in _ENTRIES}


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ConfigError: unknown; the message lists the catalogue.
    """
    if name not in METHODS:
        raise ConfigError(f"method={name!r}: expected one of {', '.join(METHODS)}")
    return METHODS[name]
