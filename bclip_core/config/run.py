"""Frozen configuration of a run: what is trained, on what, from where, for how long.

A configuration is the record of an experiment: `to_dict` goes into the checkpoint and the
result. Every field is checked when it is built, so that a bad value fails before any work starts,
with the field's name, the value and what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self, get_type_hints

from bclip_core.config.base import Config, ConfigError, check_type, numbers, require, require_choice
from bclip_core.config.training import TrainConfig

__all__ = [
    "PATCHES",
    "RESIZES",
    "SIGMOID_BIASES",
    "SIGMOID_NORMALISERS",
    "SUMMARIES",
    "TEXT_KINDS",
    "BackboneConfig",
    "ConfigError",
    "DataConfig",
    "HeadsConfig",
    "LossConfig",
    "PoolerConfig",
    "RunConfig",
    "TextConfig",
    "TrainConfig",
]


TEXT_KINDS = ("caption", "summary", "sentence", "phrase")
SUMMARIES = ("none", "auto", "given", "first_sentence")
"""Where a summary comes from: a short caption of the row ("given"), the long caption's first
sentence, or the former where the row has one and else the latter ("auto")."""


PATCHES = ("value", "attention")
"""What the last block of the image tower does to a patch: keep its own value alone (MaskCLIP,
β-CLIP, FG-CLIP), or attend like the class token (FLAIR)."""
RESIZES = ("crop", "squash")
"""How a picture becomes a square: shorter side and centre crop, or both sides (FG-CLIP)."""
LONGEST_CONTEXT = 8192  # a causal mask of that length takes a quarter of a gigabyte


@dataclass(frozen=True)
class BackboneConfig(Config):
    """Which CLIP. `name` is one of `backbone.SMALL_ARCHITECTURES` or any open_clip ViT.

    What released models differ in is here, so that it stays with the weights; the defaults are
    OpenAI's and β-CLIP's.
    """

    name: str = "scene-small"  # of `known_architectures()`; "@336" behind it: pixels a side
    pretrained: str = ""  # "" random; else whatever `checkpoints.open_model` opens
    context_length: int = 77  # positions of the text tower; 248 stretches a table of 77
    quick_gelu: bool = True  # OpenAI's activation; recorded and checked at load
    patches: str = "value"  # of `PATCHES`
    short_context: int = 0  # texts of at most so many ids have a path of their own; 0: one for all
    frozen_positions: int = 0  # first text positions without gradient; 0: as the weights have it
    resize: str = "crop"  # of `RESIZES`
    mean: tuple[float, ...] = ()  # of the pictures' channels, 0..1; (): OpenAI's
    std: tuple[float, ...] = ()  # of the same; (): OpenAI's

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.name), "name", self.name, "the name of an architecture")
        length, short = self.context_length, self.short_context
        require(length >= 8, "context_length", length, ">= 8")
        require(length <= LONGEST_CONTEXT, "context_length", length, f"<= {LONGEST_CONTEXT}")
        require_choice("patches", self.patches, PATCHES)
        require_choice("resize", self.resize, RESIZES)
        fits = short == 0 or 8 <= short < length
        require(fits, "short_context", short, f"0, or 8 <= short_context < {length}")
        frozen = self.frozen_positions
        require(0 <= frozen <= length, "frozen_positions", frozen, f"0 <= positions <= {length}")
        for name in ("mean", "std"):
            object.__setattr__(self, name, numbers(name, getattr(self, name), 3))
        require(all(self.std) and bool(self.std) == bool(self.mean), "std", self.std,
                "as many numbers as `mean`, none of them 0")  # fmt: skip


@dataclass(frozen=True)
class PoolerConfig(Config):
    """The text-conditioned pooler: heads, how its projections start, and which one it is."""

    heads: int = 8  # of the attention; the width must be divisible by them
    init: str = "identity"
    """How its projections start: "identity", a soft average of patches; "xavier", the authors'
    start; "weights", where the weights that the backbone names left off, heads included."""
    kind: str = "beta_clip"  # of `poolers.POOLERS`; a method brings its own
    scale: float = 1 / 0.07  # at the start, of the local loss; learnt, kept in [1, 100]
    key_blur: float = 0.0  # σ in patches over which keys are averaged; 0: not, as the paper

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.heads >= 1, "heads", self.heads, ">= 1")
        require_choice("init", self.init, ("identity", "xavier", "weights"))
        require(bool(self.kind), "kind", self.kind, "a name of `poolers.POOLERS`")
        require(1 <= self.scale <= 100, "scale", self.scale, "a number in [1, 100]")
        require(0 <= self.key_blur <= 8, "key_blur", self.key_blur, "a number in [0, 8]")
        unread = self.init == "weights" and self.scale != PoolerConfig.scale
        require(not unread, "scale", self.scale, "none with init='weights', which have their own")


@dataclass(frozen=True)
class HeadsConfig(Config):
    """Sizes of what a method learns beside backbone and pooler."""

    token_ratio: float = 0.2  # calibrated tokens per patch, as FineLIP and MulCLIP
    calibration_scale: float = 1.0  # γ at the start, as FineLIP; a larger one sets tokens apart

    def __post_init__(self) -> None:
        super().__post_init__()
        ratio, scale = self.token_ratio, self.calibration_scale
        require(0 < ratio <= 1, "token_ratio", ratio, "a number in (0, 1]")
        require(scale > 0, "calibration_scale", scale, "a positive number")


@dataclass(frozen=True)
class TextConfig(Config):
    """The texts of an image in a step: 1 caption (+ 1 summary) + S sentences + N phrases = K."""

    caption: str = "long"  # "long": the join of the sampled sentences; "short": one short caption
    sentences: int = 5  # S: how many of the caption's sentences a step samples
    phrases: int = 30  # N: at most so many phrases of those sentences
    sentence_texts: bool = True  # whether the sampled sentences are texts of their own
    summary: str = "none"  # a short caption beside the long one, see `SUMMARIES`
    phrase_tokens: int = 0  # a phrase is cut to so many ids, start and end counted; 0: it is not

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("caption", self.caption, ("long", "short"))
        require_choice("summary", self.summary, SUMMARIES)
        require(self.sentences >= 1, "sentences", self.sentences, ">= 1")
        require(self.phrases >= 0, "phrases", self.phrases, ">= 0")
        cut = self.phrase_tokens
        require(cut == 0 or cut >= 3, "phrase_tokens", cut, "0, or >= 3 (start, word, end)")

    @property
    def texts_per_image(self) -> int:
        """K, the width of the text axis."""
        return len(self.kinds)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each of the K slots holds, names of `TEXT_KINDS`."""
        return (
            "caption",
            *(("summary",) if self.summary != "none" else ()),
            *(("sentence",) * self.sentences if self.sentence_texts else ()),
            *(("phrase",) * self.phrases),
        )

    @property
    def limits(self) -> tuple[int, ...]:
        """To how many ids the text of each slot is cut; 0: to the context alone."""
        return tuple(self.phrase_tokens if kind == "phrase" else 0 for kind in self.kinds)

    @classmethod
    def from_counts(cls, texts_per_image: int, sentences: int, phrases: int) -> Self:
        """A long-caption setting from K, S and N as the papers state them.

        Raises:
            ConfigError: K is not 1 + S + N.
        """
        config = cls(sentences=sentences, phrases=phrases)
        expected = f"1 + sentences + phrases = {config.texts_per_image}"
        require(
            texts_per_image == config.texts_per_image, "texts_per_image", texts_per_image, expected
        )
        return config


SIGMOID_NORMALISERS = ("pairs", "rows", "positives")
"""What a row of β-CAL's sigmoid form is divided by, see `losses.beta_cal`; "pairs": the paper's."""
SIGMOID_BIASES = ("none", "fixed", "learnt")


@dataclass(frozen=True)
class LossConfig(Config):
    """Settings of the loss terms; a method reads those that its terms declare.

    A term may bring settings that have no field here, see `Term.settings`: numbers, which `extra`
    holds by name where they differ from the term's own.
    """

    beta: float = 0.5  # how far other texts of the same image count as positives (β-CAL)
    beta_cal_weight: float = 1.0  # of β-CAL
    mask_padding: bool = True  # False: the authors' softmax over padded columns
    sigmoid_normaliser: str = "pairs"  # of β-CAL's sigmoid form, of `SIGMOID_NORMALISERS`
    sigmoid_bias: str = "none"  # of the same, of `SIGMOID_BIASES`
    sigmoid_bias_value: float = 0.0  # where it stays or starts; 0: learnt from the log-odds
    duplicates: str = "negatives"  # equal texts of different images: as the paper, or "ignore"
    context: str = "image"  # whose texts β reaches: the image's, as the paper, or "nested" ones
    cross_weight: float = 1.0  # of the leak-free term: other images pooled with the same text
    cross_images: int = 8  # of them drawn per step, from a process's own share; 0: all of it
    conditioning_centre: bool = False  # β-CAL on what an image adds to the mean of those images
    summary_weight: float = 0.5  # MulCLIP's short caption
    word_weight: float = 1.0  # MulCLIP's λ_W
    subcaption_weight: float = 1.0  # MulCLIP's λ_S
    token_temperature: float = 0.07  # MulCLIP's attention inside a sample; open in the paper
    word_negatives: str = "sample"  # "batch": the ablation of MulCLIP's word loss
    subcaption_tokens: str = "patches"  # or "calibrated": what sentences gather; open in the paper
    principal_weight: float = 1.0  # Long-CLIP's short caption
    principal_components: int = 32  # as Long-CLIP's code
    local_weight: float = 1.0  # of the local term of FLAIR, FILIP and SPARC
    extra: dict[str, float] = field(default_factory=dict, hash=False)  # of terms with their own

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0.0 <= self.beta <= 1.0, "beta", self.beta, "a number in [0, 1]")
        require_choice("duplicates", self.duplicates, ("negatives", "ignore"))
        require_choice("context", self.context, ("image", "nested"))
        require_choice("sigmoid_normaliser", self.sigmoid_normaliser, SIGMOID_NORMALISERS)
        require_choice("sigmoid_bias", self.sigmoid_bias, SIGMOID_BIASES)
        kind, value, name = self.sigmoid_bias, self.sigmoid_bias_value, "sigmoid_bias_value"
        fits = kind == "learnt" or (kind == "fixed") == (value != 0)
        require(fits, name, value, "0 with sigmoid_bias='none', another number with 'fixed'")
        require_choice("word_negatives", self.word_negatives, ("sample", "batch"))
        require_choice("subcaption_tokens", self.subcaption_tokens, ("patches", "calibrated"))
        for name in get_type_hints(type(self)):
            if name.endswith("_weight") or name == "cross_images":
                require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        temperature, components = self.token_temperature, self.principal_components
        require(temperature > 0, "token_temperature", temperature, "> 0")
        require(components >= 1, "principal_components", components, ">= 1")
        require(isinstance(self.extra, dict), "extra", self.extra, "numbers by name")
        for name, value in self.extra.items():
            check_type(f"extra.{name}", value, float)
        object.__setattr__(self, "extra", {name: float(v) for name, v in self.extra.items()})


@dataclass(frozen=True)
class DataConfig(Config):
    """The data set: its name, picture size and how many rows of each split are used.

    For scenes also difficulty and seed; for a real data set where it lies and what a row does that
    is malformed or has no picture.
    """

    name: str = "scenes"  # or one of `data.real.TRAINABLE`, or "shards" (tar, parquet, hub:name)
    difficulty: str = "simple"  # of scenes: "simple", "patterned" or "full"
    image_size: int = 64  # pixels a side, as the backbone reads
    train: int = 4000  # rows to train on
    validation: int = 200  # rows that settings are chosen on
    test: int = 1000  # rows that are measured
    seed: int = 0  # of the scenes
    folder: str = ""  # of a real data set; "": below $BCLIP_DATA
    images: str = ""  # its pictures, where they are not in the folder's usual place
    bad_rows: str = "raise"  # "skip" leaves them out, named and counted
    draft: bool = False  # large JPEGs decoded smaller: faster, pixels differ a little
    links: str = "inside"  # "follow": also links that lead out of the folder
    crop: tuple[float, ...] = ()  # shares of a picture that a training crop keeps; (): its centre

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("bad_rows", self.bad_rows, ("raise", "skip"))
        require_choice("links", self.links, ("inside", "follow"))
        for name in ("train", "validation", "test"):
            require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        require(self.image_size >= 16, "image_size", self.image_size, ">= 16 pixels")
        require(self.seed >= 0, "seed", self.seed, ">= 0")
        require(self.seed < 2**63, "seed", self.seed, f"< {2**63}")
        crop = numbers("crop", self.crop, 2)
        within = not crop or 0 < crop[0] <= crop[1] <= 1
        require(within, "crop", self.crop, "two shares, 0 < least <= largest <= 1, or none")
        object.__setattr__(self, "crop", crop)


@dataclass(frozen=True)
class RunConfig(Config):
    """Everything that decides a run's weights. `method` is a name of `methods.METHODS`."""

    method: str = "beta-clip-ce"  # a name of `methods.METHODS`
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    pooler: PoolerConfig = field(default_factory=PoolerConfig)
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    texts: TextConfig = field(default_factory=TextConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def planned_updates(self) -> int:
        """How many updates a run takes where the data set has all the rows that are asked for."""
        return self.train.updates(self.data.train)
