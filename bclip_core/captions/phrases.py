"""The phrase rules of β-CLIP (arXiv 2512.12678), once, over a sentence that is already tagged.

Who tags is the extractors' affair (`spacy_tagger`, `rule_tagger`); from there the rules are the
same. They follow the authors' code and mend what it damages; each difference is said here:

- White space and case are folded before phrases are compared, as the tokenizer does: "The dog" and
  "the dog" are one phrase, "The image" is blocked like "the image".
- Phrases come in the order of the text, not all noun phrases first, so that a cut spares no kind.
- A side ("on the left") never bites words off. With "left side" or "front door" the noun phrase
  keeps the whole noun chunk at both ends and loses a dangling "of"; a spatial expression takes the
  whole "on the left side of", and is none where the side only describes something else ("at the
  front door").
- A lone "which", "that" or "who" is dropped: it names nothing. Other pronouns stay, as theirs do.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from bclip_core.records.texts import clean_text

Span = tuple[int, int]  # words [start, end)

BLOCKED = frozenset({"the", "the image", "image"})
_RELATIVE = frozenset({"which", "that", "who", "whom", "whose", "what"})
_NAMING = frozenset({"ADJ", "NOUN", "PROPN"})
_SIDES = frozenset("left right top bottom front back middle center centre".split())
_PLACES = _SIDES | frozenset(
    "inside outside above below under over centered frontside backside near nearby far".split()
)
# What may follow a side and still be a place: "the left side", "the top right corner".
_REGIONS = _SIDES | frozenset("side sides corner corners edge end half part portion area".split())


class PhraseExtractor(Protocol):
    """Gives the phrases of one sentence; `name` is recorded with everything made from them."""

    @property
    def name(self) -> str:
        """What was used, with its version, such as "rules-v2"."""

    def __call__(self, sentence: str) -> list[str]:
        """Distinct, non-empty phrases in order of appearance."""


@dataclass(frozen=True)
class TaggedSentence:
    """One sentence as a tagger leaves it; tags are those of Universal Dependencies."""

    text: str
    offsets: tuple[Span, ...]  # characters [start, end) of every word
    tags: tuple[str, ...]  # one per word
    chunks: tuple[Span, ...]  # noun chunks, in words [start, end)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words in lower case."""
        return tuple(self.text[start:end].lower() for start, end in self.offsets)

    def surface(self, span: Span) -> str:
        """The text of a span, white space folded, case kept."""
        return " ".join(self.text[self.offsets[span[0]][0] : self.offsets[span[1] - 1][1]].split())

    @cached_property
    def _chunk_of(self) -> dict[int, Span]:
        return {word: chunk for chunk in self.chunks for word in range(*chunk)}

    def chunk_around(self, word: int) -> Span:
        """The noun chunk that holds a word, or the word alone."""
        return self._chunk_of.get(word, (word, word + 1))


@functools.lru_cache(maxsize=2**14)  # a batch asks for its phrases again and again
def text_key(text: str) -> str:
    """What a CLIP tokenizer tells texts apart by: repaired, white space folded, lower case."""
    return clean_text(text).lower()


def distinct(texts: Iterable[str]) -> list[str]:
    """The texts without those equal to an earlier one by `text_key`; order kept."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(text_key(text), text)
    return list(first.values())


def phrases_of(sentence: TaggedSentence) -> list[str]:
    """Noun phrases, verb + preposition pairs and spatial expressions of a sentence.

    Returns:
        Distinct phrases in order of appearance, each a slice of the sentence with its white space
        folded; none is blocked, none is without a letter or digit.
    """
    spans = sorted(noun_phrases(sentence) + actions(sentence) + spatial_expressions(sentence))
    texts = distinct(sentence.surface(span) for span in spans)
    return [t for t in texts if text_key(t) not in BLOCKED and any(map(str.isalnum, t))]


def noun_phrases(sentence: TaggedSentence) -> list[Span]:
    """Noun chunks and nouns with their side ("a fence on the left"); overlaps: the longest."""
    words = sentence.words
    chunks = [c for c in sentence.chunks if c[1] - c[0] > 1 or words[c[0]] not in _RELATIVE]
    chosen, taken = [], bytearray(len(words))
    for start, end in sorted(chunks + _sided(sentence), key=lambda s: (s[0] - s[1], s[0])):
        if not any(taken[start:end]):
            chosen.append((start, end))
            taken[start:end] = b"\1" * (end - start)
    return sorted(chosen)


def _sided(sentence: TaggedSentence) -> list[Span]:
    """Adjectives and nouns + preposition + ("the") side, widened to whole noun chunks."""
    words, tags, spans = sentence.words, sentence.tags, []
    for at in range(1, len(words)):
        side = at + 1 + (words[at + 1 : at + 2] == ("the",))
        if (
            tags[at] != "ADP"
            or words[side : side + 1] not in _ONE_SIDE
            or tags[at - 1] not in _NAMING
        ):
            continue
        start = at - 1
        while start > 0 and tags[start - 1] in _NAMING:
            start -= 1
        if start > 0 and tags[start - 1] == "DET":
            start -= 1
        end = max(_region_end(words, side), sentence.chunk_around(side)[1])
        spans.append((min(start, sentence.chunk_around(start)[0]), end))
    return spans


_ONE_SIDE = frozenset((side,) for side in _SIDES)


def _region_end(words: tuple[str, ...], side: int) -> int:
    """Where the place that starts with a side ends: after "left", or after "left side"."""
    end = side + 1
    while end < len(words) and words[end] in _REGIONS:
        end += 1
    return end


def actions(sentence: TaggedSentence) -> list[Span]:
    """Verbs directly followed by a preposition: "leaning against"; auxiliaries do not count."""
    tags = sentence.tags
    return [(i, i + 2) for i in range(len(tags) - 1) if tags[i : i + 2] == ("VERB", "ADP")]


def spatial_expressions(sentence: TaggedSentence) -> list[Span]:
    """Preposition + (determiner) + place + ("of"), as in "to the left of"; and "next to"."""
    words, tags, spans, at = sentence.words, sentence.tags, [], 0
    while at < len(words) - 1:
        end = at + 2 if words[at : at + 2] == ("next", "to") else 0
        if not end and tags[at] == "ADP":
            end = _place_end(sentence, at + 1 + (tags[at + 1] == "DET"))
        if end:
            spans.append((at, end))
        at = end or at + 1
    return spans


def _place_end(sentence: TaggedSentence, place: int) -> int:
    """Where a spatial expression ends whose place stands at `place`; 0 when it is none."""
    words = sentence.words
    if place >= len(words) or words[place] not in _PLACES:
        return 0
    end = _region_end(words, place)
    if end < sentence.chunk_around(place)[1]:
        return 0  # "at the front door": the chunk goes on to something that is no region
    return end + (words[end : end + 1] == ("of",))
