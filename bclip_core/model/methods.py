"""The catalogue: a method = pooler + loss terms + texts. A new method is one entry."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bclip_core.config import ConfigError, LossConfig, RunConfig, TextConfig
from bclip_core.model.features import Features, Reading
from bclip_core.model.heads import SCALARS
from bclip_core.model.terms import READABLE, TERMS, LossTerm, Term
from bclip_core.poolers import POOLERS

__all__ = ["METHODS", "TERMS", "LossTerm", "Method", "Term", "get_method", "register"]


@dataclass(frozen=True)
class Method:
    """One entry of the catalogue.

    Attributes:
        name: how the method is asked for.
        summary: one line for tables.
        terms: names in `TERMS`; the loss is their sum; none means the method does not train.
        pooler: which pooler patches are pooled by text with, of `POOLERS`; empty: none.
        caption: "long" or "short", which caption is text 0.
        calibrate: whether patch and word tokens are calibrated to fewer (MulCLIP).

    Raises:
        ConfigError: unknown terms, poolers or needs of terms, or terms that need a pooler without
            one.
    """

    name: str
    summary: str
    terms: tuple[str, ...] = ()
    pooler: str = ""
    caption: str = "long"
    calibrate: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))
        for field, given, known in (
            ("terms", self.terms, tuple(TERMS)),
            ("pooler", (self.pooler,) if self.pooler else (), POOLERS),
            ("caption", (self.caption,), ("long", "short")),
        ):
            for value in given:
                if value not in known:
                    self._refuse(f"{field}={value!r}: expected one of {', '.join(known)}")
        for field, known in (("needs", READABLE), ("learns", tuple(SCALARS))):
            unknown = sorted(self._all(field) - set(known))
            if unknown:
                self._refuse(f"{field} of its terms {unknown}: expected of {', '.join(known)}")
        if self._all("needs") & {"conditioned", "crossed", "crossed_one"} and not self.pooler:
            self._refuse(f"pooler='': expected one of {', '.join(POOLERS)} for {self.terms}")
        if self._all("needs") >= {"crossed", "crossed_one"}:
            self._refuse("terms that cross all texts and terms that cross one: expected one kind")

    def _refuse(self, reason: str) -> None:
        raise ConfigError(f"method {self.name!r}: {reason}")

    def _all(self, field: str) -> set[str]:
        values = [getattr(TERMS[name], field) for name in self.terms]
        return {v for value in values for v in ((value,) if isinstance(value, str) else value)}

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its terms in histories: both forms of β-CAL are "beta_cal" there."""
        return tuple(TERMS[name].label or name for name in self.terms)

    @property
    def weights(self) -> tuple[str, ...]:
        """The fields of `LossConfig` that weigh its terms."""
        return tuple(sorted(self._all("weight") - {""}))

    @property
    def learns(self) -> tuple[str, ...]:
        """The scalars of `heads.SCALARS` that its terms learn."""
        return tuple(sorted(self._all("learns")))

    def texts(self, config: TextConfig) -> TextConfig:
        """`config` cut to what this method reads; the sampled caption stays the same.

        Raises:
            ConfigError: `config` lacks a kind of text that a term cannot do without.
        """
        read = self._all("texts")
        summary = "auto" if config.summary == "none" else config.summary
        texts = config.replace(
            caption=self.caption,
            summary=summary if "summary" in read else "none",
            sentence_texts=config.sentence_texts and "sentence" in read,
            phrases=config.phrases if "phrase" in read else 0,
        )
        for kind in sorted(self._all("required") - set(texts.kinds)):
            self._refuse(f"texts have no {kind}: {config}; its terms {self.terms} need one")
        return texts

    def reading(self, config: RunConfig) -> Reading:
        """What a training forward pass computes for its terms."""
        needs = self._all("needs")
        centred = config.loss.conditioning_centre and any(t.startswith("beta") for t in self.terms)
        crossed = "one" if "crossed_one" in needs else "all"
        gathers_calibrated = config.loss.subcaption_tokens == "calibrated"
        return Reading(
            kinds=self.texts(config.texts).kinds,
            patches="patches" in needs,
            tokens="tokens" in needs or ("subcaption" in self.terms and gathers_calibrated),
            crossed=crossed if centred or needs & {"crossed", "crossed_one"} else "",
            cross_images=0 if crossed == "one" else config.loss.cross_images,
            reference=centred,
        )

    def loss_terms(self, features: Features, config: LossConfig) -> dict[str, Tensor]:
        """Each term's scalar by its label, weighted."""
        terms = zip(self.labels, (TERMS[name] for name in self.terms), strict=True)
        return {label: term.loss(features, config) * term.factor(config) for label, term in terms}


_MULCLIP = ("global", "summary", "word", "subcaption")
_ENTRIES = (
    Method("clip", "the pretrained model, untouched"),
    Method("clip-pretrain", "global loss on short captions", ("global",), caption="short"),
    Method("clip-ft", "global loss on long captions", ("global",)),
    Method("beta-clip-ce", "global loss + β-CAL, cross-entropy form (arXiv 2512.12678)",
           ("global", "beta_cal_ce"), "beta_clip"),
    Method("beta-clip-bce", "global loss + β-CAL, sigmoid form (arXiv 2512.12678)",
           ("global", "beta_cal_bce"), "beta_clip"),
    Method("beta-clip-ce-cross", "β-CLIP, and other images pooled with each text as negatives",
           ("global", "beta_cal_ce", "cross_ce"), "beta_clip"),
    Method("beta-clip-bce-cross", "the same in sigmoid form",
           ("global", "beta_cal_bce", "cross_bce"), "beta_clip"),
    Method("beta-clip-ce-cross-only", "global loss + other images as negatives, without β-CAL",
           ("global", "cross_only_ce"), "beta_clip"),
    Method("beta-clip-bce-cross-only", "the same in sigmoid form",
           ("global", "cross_only_bce"), "beta_clip"),
    Method("mulclip", "long caption, summary, words, sub-captions (arXiv 2512.07128)",
           _MULCLIP, calibrate=True),
    Method("mulclip-global", "MulCLIP without its local terms", ("global", "summary")),
    Method("mulclip-no-subcaption", "MulCLIP without sub-caption aggregated patches",
           ("global", "summary", "word"), calibrate=True),
    Method("mulclip-no-word", "MulCLIP without word-patch reconstruction",
           ("global", "summary", "subcaption")),
    Method("mulclip-no-calibration", "MulCLIP on all patches and words", _MULCLIP),
    Method("long-clip", "long caption; short caption with principal components (arXiv 2403.15378)",
           ("global", "principal")),
    Method("flair", "text-conditioned attention pooling, sigmoid losses (arXiv 2412.03561)",
           ("flair_global", "flair_local"), "flair"),
    Method("filip", "global loss + token-wise late interaction (arXiv 2111.07783)",
           ("global", "late_interaction")),
    Method("siglip", "sigmoid global loss on long captions (arXiv 2303.15343)", ("sigmoid",)),
    Method("multi-positive", "caption and sentences as equal positives", ("multi_positive",)),
    Method("sparc", "global loss + words against sparse averages of patches (arXiv 2401.09865)",
           ("global", "sparse"), "similarity"),
    Method("beta-clip-word", "β-CLIP with MulCLIP's word level",
           ("global", "beta_cal_ce", "word"), "beta_clip", calibrate=True),
    Method("beta-clip-summary", "β-CLIP with MulCLIP's short caption",
           ("global", "summary", "beta_cal_ce"), "beta_clip"),
)  # fmt: skip
METHODS: dict[str, Method] = {entry.name: entry for entry in _ENTRIES}


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ConfigError: unknown; the message lists the catalogue.
    """
    if name not in METHODS:
        raise ConfigError(f"method={name!r}: expected one of {', '.join(METHODS)}")
    return METHODS[name]


def register(method: Method) -> Method:
    """Add a reader's own method to the catalogue; terms of its own go into `TERMS` before.

    Raises:
        ConfigError: the name is taken by another one.
    """
    if METHODS.get(method.name, method) != method:
        raise ConfigError(f"method={method.name!r}: expected a name that is not in the catalogue")
    METHODS[method.name] = method
    return method
