"""The catalogue: a method = pooler + loss terms + texts. A new method is one entry.

What a method computes, learns and reads follows from what its terms declare, see `terms.Term`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from bclip_core.config import (
    PATCHES,
    BackboneConfig,
    ConfigError,
    LossConfig,
    PoolerConfig,
    RunConfig,
    TextConfig,
)
from bclip_core.config.names import did_you_mean
from bclip_core.model.features import Features, Reading
from bclip_core.model.heads import HeadsSpec
from bclip_core.model.terms import POOLED, READABLE, SHIFTED, TERMS, LossTerm, Term
from bclip_core.poolers import POOLERS

__all__ = [
    "METHODS",
    "TERMS",
    "LossTerm",
    "Method",
    "Parts",
    "Plan",
    "Term",
    "get_method",
    "register",
    "resolve",
]

_FIELDS = tuple(f.name for f in dataclasses.fields(LossConfig) if f.name != "extra")


_POOLER_READS = {"beta_clip": ("heads", "init", "scale", "key_blur")}  # others have no scale


class Parts(NamedTuple):
    """What a model is made of: the arguments of `checkpoints.build_model`."""

    backbone: BackboneConfig
    pooler: PoolerConfig | None
    heads: HeadsSpec | None


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
        patches: which patches it trains on, of `config.PATCHES`, whatever the weights that it
            starts from had; empty: those of the configuration, which are the weights' own.

    Raises:
        ConfigError: unknown terms or poolers, terms that declare what there is not or two starts
            of one number, or that need a pooler without one.
    """

    name: str
    summary: str
    terms: tuple[str, ...] = ()
    pooler: str = ""
    caption: str = "long"
    calibrate: bool = False
    patches: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))
        for field, given, known in (
            ("terms", self.terms, tuple(TERMS)),
            ("pooler", (self.pooler,) if self.pooler else (), POOLERS),
            ("caption", (self.caption,), ("long", "short")),
            ("patches", (self.patches,) if self.patches else (), PATCHES),
        ):
            for value in given:
                if value not in known:
                    self._refuse(f"{field}={value!r}: expected one of {', '.join(known)}")
        for name in self.terms:
            self._check_declaration(name, TERMS[name])
        self._starts(RunConfig())
        self._settings()
        self.needs()

    def _check_declaration(self, name: str, term: Term) -> None:
        """Refuse a term that declares what there is not."""
        for field in ("learns", "settings"):
            value = getattr(term, field)
            if not isinstance(value, Mapping) and not (field == "learns" and callable(value)):
                self._refuse(f"{field} of its term {name!r} {value!r}: expected numbers by name")
        known = (*_FIELDS, *term.settings)
        for setting in (*term.reads, *((term.weight,) if term.weight else ())):
            if setting not in known:
                self._refuse(f"setting of its term {name!r} {setting!r}: expected of {_all(known)}")
        if taken := sorted(set(term.settings) & set(_FIELDS)):
            self._refuse(f"settings of its term {name!r} {taken}: expected names that are free")

    def _refuse(self, reason: str) -> None:
        raise ConfigError(f"method {self.name!r}: {reason}")

    def _all(self, field: str) -> set[str]:
        values = [getattr(TERMS[name], field) for name in self.terms]
        return {v for value in values for v in ((value,) if isinstance(value, str) else value)}

    def _starts(self, config: RunConfig) -> dict[str, float]:
        """The scalars that its terms learn in such a run, with their starts."""
        return self._collected("learns", {name: TERMS[name].learnt(config) for name in self.terms})

    def _settings(self) -> dict[str, float]:
        return self._collected("settings", {name: TERMS[name].settings for name in self.terms})

    def _collected(
        self, field: str, declared: Mapping[str, Mapping[str, float]]
    ) -> dict[str, float]:
        """Numbers that its terms declare, by name; two terms may share one."""
        found: dict[str, float] = {}
        for name in self.terms:
            for number, value in declared[name].items():
                if found.setdefault(number, value) != value:
                    self._refuse(
                        f"{field} of its terms, {number!r} is {found[number]} and {value}: "
                        "expected one number, or two names"
                    )
        return found

    def needs(self, config: LossConfig | None = None) -> set[str]:
        """What has to be computed for its terms under these settings, of `terms.READABLE`.

        Raises:
            ConfigError: a term needs what there is not, a pooler where the method has none, or
                other images in a way that another term does not.
        """
        settings = LossConfig() if config is None else config
        needs = {need for name in self.terms for need in TERMS[name].needed(settings)}
        if unknown := sorted(needs - set(READABLE)):
            self._refuse(f"needs of its terms {unknown}: expected of {_all(READABLE)}")
        if needs & set(POOLED) and not self.pooler:
            self._refuse(f"pooler='': expected one of {_all(POOLERS)} for {self.terms}")
        if needs >= {"crossed", "crossed_one"}:
            self._refuse("terms that cross all texts and terms that cross one: expected one kind")
        return needs

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its terms in histories: both forms of β-CAL are "beta_cal" there."""
        return tuple(TERMS[name].label or name for name in self.terms)

    @property
    def weights(self) -> tuple[str, ...]:
        """The settings that weigh its terms."""
        return tuple(sorted(self._all("weight") - {""}))

    @property
    def learns(self) -> tuple[str, ...]:
        """The scalars that its terms learn, unless settings add some."""
        return tuple(sorted(self._starts(RunConfig())))

    def weighed(self, config: LossConfig, factor: float) -> LossConfig:
        """`config` with every weight of its terms multiplied."""
        own = self._settings()
        extra = {n: config.extra.get(n, own[n]) * factor for n in self.weights if n in own}
        extra = {n: value for n, value in {**config.extra, **extra}.items() if value != own.get(n)}
        fields = {n: getattr(config, n) * factor for n in self.weights if n not in own}
        return config.replace(**fields, extra=extra)

    def reads(self, config: RunConfig) -> dict[str, tuple[str, ...]]:
        """The fields of each part of a configuration that it reads, under these settings."""
        needs = self.needs(config.loss)
        loss = {*self._all("reads"), *self.weights}
        loss |= {"cross_images"} if needs & {"crossed", "reference"} else set()
        own = tuple(f"extra.{name}" for name in self._settings())
        return {
            "loss": (*(name for name in _FIELDS if name in loss), *own),
            "pooler": _POOLER_READS.get(self.pooler, ("heads", "init")) if self.pooler else (),
            "heads": ("token_ratio", "calibration_scale") if self.calibrate else (),
            "texts": ("sentences", "phrases", "sentence_texts", "phrase_tokens")
            + (("summary",) if "summary" in self._all("texts") else ()),
        }

    def check(self, config: RunConfig) -> None:
        """Refuse settings that differ from the defaults though this method does not read them.

        Of the texts, how many there are of each kind may be set for any method: `texts` cuts them.

        Raises:
            ConfigError: such a setting (the message lists those that the method does read), or a
            negative weight.
        """
        decided = {"pooler": {"kind": self.pooler}, "texts": {"caption": self.caption}}
        changes = config.changes()
        for part, read in self.reads(config).items():
            changed = changes.get(part, {})
            changed |= {f"extra.{n}": v for n, v in changed.pop("extra", {}).items()}
            for name, value in changed.items():
                if value == decided.get(part, {}).get(name) or name in read:
                    continue
                known = f"one of {', '.join(read)}" if read else "none, it reads no such setting"
                raise ConfigError(
                    f"{part}.{name}={value!r}: not read by method {self.name!r}: "
                    f"expected, of {part}, {known}"
                )
        for name in self.weights:
            if (weight := config.loss.extra.get(name, 0.0)) < 0:
                raise ConfigError(f"loss.extra.{name}={weight!r}: expected >= 0")

    def parts(self, config: RunConfig) -> Parts:
        """What the models of its runs are made of."""
        pooler = config.pooler.replace(kind=self.pooler) if self.pooler else None
        heads = HeadsSpec(self._starts(config), self.calibrate, config.heads)
        has_heads = heads.scalars or self.calibrate
        backbone = config.backbone
        if self.patches:
            backbone = backbone.replace(patches=self.patches)
        return Parts(backbone, pooler, heads if has_heads else None)

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
        return self._reading(self.texts(config.texts), config.loss)

    def _reading(self, texts: TextConfig, loss: LossConfig) -> Reading:
        needs = self.needs(loss)
        one = "crossed_one" in needs
        return Reading(
            kinds=texts.kinds,
            conditioned="conditioned" in needs,
            patches="patches" in needs,
            tokens="tokens" in needs,
            crossed=("one" if one else "all") if needs & set(SHIFTED) else "",
            cross_images=0 if one else loss.cross_images,
            crossed_alike="crossed_alike" in needs,
            crossed_captions="crossed_captions" in needs,
            nested="nested" in needs,
            reference="reference" in needs,
        )

    def resolve(self, config: RunConfig) -> Plan:
        """All that it makes of a configuration."""
        texts = self.texts(config.texts)
        return Plan(config, self, self.parts(config), texts, self._reading(texts, config.loss))

    def loss_terms(self, features: Features, config: LossConfig) -> dict[str, Tensor]:
        """Each term's scalar by its label, weighted."""
        terms = zip(self.labels, (TERMS[name] for name in self.terms), strict=True)
        return {label: term.weighted(features, config) for label, term in terms}


def _all(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)


@dataclass(frozen=True)
class Plan:
    """A configuration with all that its method makes of it, so that nobody asks twice.

    Attributes:
        config: of the run.
        method: its entry of the catalogue.
        parts: what its model is made of.
        texts: what a step draws.
        reading: what a training forward pass computes.
    """

    config: RunConfig
    method: Method
    parts: Parts
    texts: TextConfig
    reading: Reading


_MULCLIP = ("global", "summary", "word", "subcaption")
_ENTRIES = (
    Method("clip", "the pretrained model, untouched"),
    Method("clip-pretrain", "global loss on short captions", ("global",), caption="short"),
    Method("clip-ft", "global loss on long captions", ("global",)),
    Method("beta-clip-ce", "global loss + β-CAL, cross-entropy form (arXiv 2512.12678)",
           ("global", "beta_cal_ce"), "beta_clip"),
    Method("beta-clip-bce", "global loss + β-CAL, sigmoid form (arXiv 2512.12678)",
           ("global", "beta_cal_bce"), "beta_clip"),
    Method("beta-clip-bce-balanced", "the same by positives' weight, bias from the log-odds",
           ("global", "beta_cal_bce_balanced"), "beta_clip"),
    Method("beta-clip-ce-cross", "β-CLIP, and other images pooled with each text as negatives",
           ("global", "beta_cal_ce", "cross_ce"), "beta_clip"),
    Method("beta-clip-ce-captions", "the same, and every image pooled with every caption",
           ("global", "beta_cal_ce", "cross_ce", "cross_captions"), "beta_clip"),
    Method("beta-clip-bce-cross", "β-CLIP and other images, in sigmoid form",
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
           ("flair_global", "flair_local"), "flair", patches="attention"),
    Method("flair-value", "FLAIR on β-CLIP's patches, which keep their own value alone",
           ("flair_global", "flair_local"), "flair", patches="value"),
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
        near = did_you_mean(name, METHODS)
        raise ConfigError(f"method={name!r}: expected one of {', '.join(METHODS)}{near}")
    return METHODS[name]


def resolve(config: RunConfig, *, check: bool = False) -> Plan:
    """Ask the catalogue what a configuration comes to.

    Args:
        config: of a run.
        check: refuse settings that the method does not read, see `Method.check`.

    Raises:
        ConfigError: an unknown method, or texts that its terms cannot do without are left out.
    """
    method = get_method(config.method)
    if check:
        method.check(config)
    return method.resolve(config)


def register(method: Method) -> Method:
    """Add a reader's own method to the catalogue; terms of its own go into `TERMS` before.

    Raises:
        ConfigError: the name is taken by another one.
    """
    if METHODS.get(method.name, method) != method:
        raise ConfigError(f"method={method.name!r}: expected a name that is not in the catalogue")
    METHODS[method.name] = method
    return method
