"""Pictures to explore: a scene with its ground truth, or a picture of one's own with a caption."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from bclip_core.captions import TextHierarchy, decompose, text_key
from bclip_core.captions import lexicon as lex
from bclip_core.captions.rule_tagger import WORD
from bclip_core.data.images import image_to_pixels, resize_whole
from bclip_core.data.scenes import region_queries
from bclip_core.evaluation.maps import choose_phrases, phrase_masks
from bclip_core.explorer.naming import naming

LONGEST_CAPTION = 20_000  # characters that are taken apart; the rest is left out
MOST_TEXTS = 120  # sentences, phrases and words on offer, of each kind
LARGEST_DRAWN = 768  # pixels of a side under a map; a screen shows no more of it
_DISTRACTORS_PER_OBJECT = 3
# What a picture of one's own is compared with: nothing is known about it.
_ANYTHING = ("a dog", "a street at night", "a plate of food", "a red circle", "a page of text")
_EMPTY_WORDS = (
    lex.DETERMINERS | lex.POSSESSIVES | lex.PRONOUNS | lex.AUXILIARIES | lex.MODALS
    | lex.PREPOSITIONS | lex.CONJUNCTIONS | lex.SUBORDINATORS | {"to"}
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A picture and the texts on offer for it; equal when reference, pixels and caption are.

    Attributes:
        reference: how it is asked for: "scene 3", the path of a file, "upload NAME".
        key: SHA-256 of its pixels.
        caption: what it is said to show; may be empty.
        image: RGB, upright.
        sentences, phrases: of the caption, at most `MOST_TEXTS` of each.
        others: texts to compare with; on scenes each is false of the object it was made from.
        masks: what a text names, bool [H, W], by `captions.text_key` of the text.
        suggestion: a first text to look for.
        cuts: what was left out of the caption, in words.
        named: what a text names where the texts on offer do not tell, see `naming`.
    """

    reference: str
    key: str
    caption: str
    image: Image.Image = field(compare=False, repr=False)
    sentences: tuple[str, ...] = field(default=(), compare=False)
    phrases: tuple[str, ...] = field(default=(), compare=False)
    others: tuple[str, ...] = field(default=_ANYTHING, compare=False, repr=False)
    masks: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    suggestion: str = field(default="a red circle", compare=False)
    cuts: tuple[str, ...] = field(default=(), compare=False)
    named: Callable[[str], Tensor | None] | None = field(default=None, compare=False, repr=False)

    @property
    def is_scene(self) -> bool:
        """Whether it is one of the drawn scenes, whose objects are known."""
        return self.named is not None

    @property
    def title(self) -> str:
        """The reference as it is shown: a row of photographs is no scene."""
        number = re.fullmatch(r"scene (\d+)", self.reference)
        return f"picture {number[1]}" if number and not self.is_scene else self.reference

    @cached_property
    def _drawn(self) -> dict[str, npt.NDArray[np.uint8]]:
        return {}

    @property
    def words(self) -> tuple[str, ...]:
        """Distinct words of the caption in lower case, without articles, pronouns and the like."""
        found = dict.fromkeys(word.lower() for word in WORD.findall(self.caption[:LONGEST_CAPTION]))
        kept = [word for word in found if word not in _EMPTY_WORDS and any(map(str.isalpha, word))]
        return tuple(kept[:MOST_TEXTS])

    @property
    def texts(self) -> tuple[str, ...]:
        """Caption, sentences and phrases without repeats; empty without a caption."""
        caption = (self.caption,) if self.caption.strip() else ()
        unique: dict[str, str] = {}
        for text in (*caption, *self.sentences, *self.phrases):
            unique.setdefault(text_key(text), text)
        return tuple(unique.values())

    def pixels(self, size: int, whole: bool = False) -> Tensor:
        """uint8 [3, size, size], as a model of that picture size sees it: cropped, or squashed."""
        return (resize_whole if whole else image_to_pixels)(self.image, size)

    def drawn(self, whole: bool = False) -> npt.NDArray[np.uint8]:
        """What `pixels` shows, at the picture's own resolution: uint8 [H, W, 3]."""
        key = "whole" if whole else "middle"
        if key not in self._drawn:  # a large picture is made smaller once
            image = self.image
            if not whole and image.width != image.height:
                side = min(image.size)
                left, top = ((length - side) // 2 for length in image.size)
                image = image.crop((left, top, left + side, top + side))
            if max(image.size) > LARGEST_DRAWN:
                image = image.copy()
                image.thumbnail((LARGEST_DRAWN, LARGEST_DRAWN), reducing_gap=2.0)
            self._drawn[key] = np.array(image.convert("RGB"))
        return self._drawn[key]

    def mask(self, text: str, size: int) -> Tensor | None:
        """Bool [size, size] of what the text names; None where that is not known or not seen."""
        mask = self.masks.get(text_key(text))
        if mask is None and self.named is not None:
            mask = self.named(text)
        return None if mask is None else mask_at(mask, size)

    def with_caption(self, caption: str) -> Picture:
        """The same picture under another caption, which is taken apart; masks stay."""
        kept = caption[:LONGEST_CAPTION]
        if not kept.strip():
            return replace(self, caption="", sentences=(), phrases=(), cuts=())
        parts = decompose(kept)
        cuts = []
        if len(caption) > len(kept):
            cuts.append(
                f"Of the caption's {len(caption):,} characters the first {len(kept):,} are read"
            )
        for kind, texts in (("sentences", parts.sentences), ("phrases", parts.phrases)):
            if len(texts) > MOST_TEXTS:
                cuts.append(
                    f"Of the caption's {len(texts)} {kind} the first {MOST_TEXTS} are on offer"
                )
        return replace(
            self,
            caption=kept,
            sentences=parts.sentences[:MOST_TEXTS],
            phrases=parts.phrases[:MOST_TEXTS],
            suggestion=next(iter((*parts.phrases, *parts.sentences))),
            cuts=tuple(cuts),
        )


def own_picture(image: Image.Image, reference: str, caption: str = "") -> Picture:
    """A picture without ground truth; see `data.picture_files.open_picture`."""
    plain = Picture(reference, _digest(image), "", image)
    return plain.with_caption(caption) if caption.strip() else plain


def scene_picture(scene: Mapping[str, Any], reference: str) -> Picture:
    """A row of the scenes with its caption, linked phrases, masks, and descriptions that are false.

    Args:
        scene: the row.
        reference: how it is asked for again.
    """
    image = scene["image"].convert("RGB")
    texts = hierarchy_of(scene)
    suggestion = choose_phrases(scene, 1)[0] or [*texts.phrases, texts.caption]
    return Picture(
        reference,
        _digest(image),
        texts.caption,
        image,
        texts.sentences[:MOST_TEXTS],
        texts.phrases[:MOST_TEXTS],
        _false_descriptions(scene),
        {text_key(phrase): mask for phrase, mask in phrase_masks(scene).items()},
        suggestion[0],
        named=naming(scene),
    )


def hierarchy_of(scene: Mapping[str, Any]) -> TextHierarchy:
    """Caption, sentences and phrases as the scene's own grammar wrote them."""
    per_sentence = tuple(tuple(phrases) for phrases in scene["phrases"])
    distinct = {text_key(text): text for phrases in per_sentence for text in phrases}
    return TextHierarchy(
        scene["caption"], tuple(scene["sentences"]), tuple(distinct.values()), per_sentence
    )


def mask_at(mask: Tensor, size: int) -> Tensor | None:
    """A mask [H, W] as a model of that picture size sees it; None where nothing of it is left."""
    grey = Image.fromarray(mask.numpy().astype(np.uint8) * 255)
    scaled = image_to_pixels(grey, size)[0] > 127
    return scaled if scaled.any() else None


def _false_descriptions(scene: Mapping[str, Any]) -> tuple[str, ...]:
    """For each object a few descriptions with one attribute changed that no object here has."""
    queries = region_queries([scene], "hard", per_scene=len(scene["objects"]))
    true = {query.captions[0] for query in queries}
    found: list[str] = []
    for query in queries:
        false: Sequence[str] = [text for text in query.captions[1:] if text not in true]
        found += false[:_DISTRACTORS_PER_OBJECT]
    return tuple(dict.fromkeys(found))


def _digest(image: Image.Image) -> str:
    size = f"{image.width} x {image.height} "
    return hashlib.sha256(size.encode() + image.tobytes()).hexdigest()
