"""Caption → sentences → phrases, and the texts that one training step draws from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import torch

from bclip_core.captions.phrases import PhraseExtractor, distinct
from bclip_core.captions.rule_extractor import RuleBasedExtractor
from bclip_core.captions.sentences import split_sentences
from bclip_core.captions.spacy_tagger import SpacyExtractor, is_installed
from bclip_core.records.texts import is_blank


@dataclass(frozen=True)
class TextHierarchy:
    """A caption, its sentences, and the phrases of all and of each of them, in order."""

    caption: str
    sentences: tuple[str, ...]
    phrases: tuple[str, ...]  # those of all sentences, without repeats
    sentence_phrases: tuple[tuple[str, ...], ...]  # one tuple per sentence


class SampledTexts(NamedTuple):
    """What one step reads of one image: the join of its sentences, these, and their phrases."""

    caption: str
    sentences: tuple[str, ...]
    phrases: tuple[str, ...]


@lru_cache(maxsize=1)
def default_extractor() -> PhraseExtractor:
    """The extractor of spaCy's small English model when installed, else the rule-based one."""
    return SpacyExtractor() if is_installed() else RuleBasedExtractor()


def decompose(caption: str, extractor: PhraseExtractor | None = None) -> TextHierarchy:
    """Split a caption into sentences and find the phrases of each.

    Args:
        caption: any text that is not blank.
        extractor: finds the phrases of a sentence; None takes `default_extractor()`.

    Raises:
        ValueError: the caption is empty, blank or no string.
    """
    sentences = sentences_of(caption)
    per_sentence = tuple(map(tuple, extract_all(sentences, extractor or default_extractor())))
    phrases = tuple(distinct(chain.from_iterable(per_sentence)))
    return TextHierarchy(caption, sentences, phrases, per_sentence)


def sentences_of(caption: str) -> tuple[str, ...]:
    """The sentences of a caption that are not blank.

    Raises:
        ValueError: the caption is empty, blank or no string.
    """
    if not isinstance(caption, str) or is_blank(caption):
        raise ValueError(f"caption={caption!r}: expected a text that is not empty")
    return tuple(s for s in split_sentences(caption) if not is_blank(s))


def extract_all(sentences: Sequence[str], extractor: PhraseExtractor) -> list[list[str]]:
    """The phrases of each sentence: at once, by an extractor that has a method for `many`."""
    many = getattr(extractor, "many", None)
    found: list[list[str]] = many(sentences) if many else [extractor(text) for text in sentences]
    return found


def sample_texts(
    sentences: Sequence[str],
    sentence_phrases: Sequence[Sequence[str]],
    max_sentences: int,
    max_phrases: int,
    generator: torch.Generator | None,
) -> SampledTexts:
    """Draw the texts of one step from a long caption (β-CLIP, arXiv 2512.12678, section 3).

    More than `max_sentences` sentences: that many, without replacement, in random order. As many
    or fewer: all of them in their own order, so that a short caption is read as it was written.
    Phrases are those of the drawn sentences, in their order, without repeats; of more than
    `max_phrases` a random subset stays, in order, so that no kind of phrase is cut first.

    Args:
        sentences: of one caption, at least one.
        sentence_phrases: the phrases of each sentence.
        max_sentences: S, at least 1.
        max_phrases: N, at least 0.
        generator: source of all draws; None takes the first S and the first N, for evaluation.

    Raises:
        ValueError: no sentence, lengths that differ, or a limit out of range.
    """
    if not sentences or len(sentences) != len(sentence_phrases):
        raise ValueError(
            f"{len(sentences)} sentences, phrases of {len(sentence_phrases)}: "
            "expected at least one sentence and phrases for each"
        )
    if max_sentences < 1 or max_phrases < 0:
        raise ValueError(
            f"max_sentences={max_sentences}, max_phrases={max_phrases}: expected >= 1 and >= 0"
        )
    chosen = _draw(len(sentences), max_sentences, generator)
    drawn = tuple(sentences[i] for i in chosen)
    phrases = distinct(chain.from_iterable(sentence_phrases[i] for i in chosen))
    kept = sorted(_draw(len(phrases), max_phrases, generator))
    return SampledTexts(" ".join(drawn), drawn, tuple(phrases[i] for i in kept))


def _draw(count: int, limit: int, generator: torch.Generator | None) -> list[int]:
    """At most `limit` of `count` places: all in order when they fit, else without replacement."""
    if count <= limit or generator is None:
        return list(range(min(count, limit)))
    order: list[int] = torch.randperm(count, generator=generator)[:limit].tolist()
    return order
