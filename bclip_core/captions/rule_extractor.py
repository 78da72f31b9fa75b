"""Phrases without a model: noun chunks are runs of `rule_tagger`'s tags, then as `phrases`."""

from __future__ import annotations

from bclip_core.captions import lexicon as lex
from bclip_core.captions import rule_tagger
from bclip_core.captions.phrases import Span, TaggedSentence, phrases_of

_QUOTES = frozenset("\"'“”‘’")
_LONGEST_QUOTE = 8  # words and marks of a name inside a noun chunk: 'a "NO PARKING" sign'


class RuleBasedExtractor:
    """Phrases of English captions by word lists and endings alone: no model, no download.

    On captions of Urban-1K, DOCCI and DCI that were not looked at while the rules were written (60
    each), its phrases agree with those of spaCy 3.8's small English model with F1 = 0.93, 0.93 and
    0.95; `tests/captions/test_captions.py` measures that again wherever the model is installed.
    What is left is mostly that model's own: quotes that begin a phrase, "left" taken for a verb.

    What it misses: a verb that is not in the lexicon is taken for a noun ("an acrobat entangles"),
    and so is a plural verb after a singular noun where it may be a noun, too ("a man and a woman
    stand"); without a comma, two
    noun phrases in a row become one ("in the background trees"); an -ed form before a noun is taken
    for an adjective ("faces placed side by side"). Other languages give poor phrases, no error.

    `name` is a version: whoever changes any output of the rules or of the lexicon raises it.
    """

    name = "rules-v2"

    def __call__(self, sentence: str) -> list[str]:
        """Distinct phrases of one sentence, in order of appearance."""
        return phrases_of(tag_sentence(sentence))


def tag_sentence(sentence: str) -> TaggedSentence:
    """Words, tags and noun chunks of an English sentence; linear time, never fails."""
    offsets = tuple(match.span() for match in rule_tagger.WORD.finditer(sentence))
    words = [sentence[start:end] for start, end in offsets]
    tags = rule_tagger.tag(words)
    lowered = [word.lower() for word in words]
    chunks = noun_chunks(lowered, tags)
    # Universal Dependencies has a pronoun in "to its left", which names no place of the picture.
    tags = ["PRON" if w in lex.POSSESSIVES else t for w, t in zip(lowered, tags, strict=True)]
    return TaggedSentence(sentence, offsets, tuple(tags), tuple(chunks))


def noun_chunks(words: list[str], tags: list[str]) -> list[Span]:
    """Pronouns, and determiner + modifiers + nouns up to the last noun; in words [start, end)."""
    spans, at = [], 0
    while at < len(words):
        end, stopped = _chunk_end(words, tags, at)
        if end and not _measures(words, tags, at, end):
            spans.append((at, end))
        at = end or max(stopped, at + 1)
    return spans


def _measures(words: list[str], tags: list[str], start: int, end: int) -> bool:
    """Whether a noun says how much an adjective holds: "two stories tall", "a bit larger"."""
    if words[start:end] in (["a", "bit"], ["a", "little"]):
        return tags[end : end + 1] == ["ADJ"]
    sized = words[end : end + 1] and words[end] in ("tall", "high", "wide", "deep", "thick", "old")
    return tags[start] == "NUM" and bool(sized)


def _chunk_end(words: list[str], tags: list[str], start: int) -> tuple[int, int]:
    """Where the chunk that starts here ends (0: none does), and where the search for it stopped."""
    if tags[start] == "PRON":
        return (0 if words[start] == "there" else start + 1), start + 1
    end, at = 0, start
    while at < len(words):
        after_quote = _after_quote(words, tags, at) if at > start and not end else 0
        if not after_quote and not _continues(words, tags, start, at, end):
            break
        one = words[at] == "one" and at > start and tags[at - 1] in ("DET", "ADJ")
        if tags[at] == "NOUN" or one:
            end = at + 1
        at = after_quote or at + 1
    headless = not end and at > start + 1 and tags[start] == "DET" and tags[at - 1] == "ADJ"
    if headless and (words[start] == "the" or words[at - 1] in lex.COLOURS):
        end = at  # "the other", "a dark red"
    return end, at


def _continues(words: list[str], tags: list[str], start: int, at: int, end: int) -> bool:
    """Whether the word belongs to the chunk [start, at); `end` is after its last noun, or 0."""
    following = tags[at + 1] if at + 1 < len(tags) else ""
    if tags[at] == "DET":
        return at == start or (tags[at - 1] == "DET" and words[at] not in ("a", "an"))
    if tags[at] == "PART":
        return at == end > start and words[at] != "to"
    if tags[at] == "ADV":
        degree = words[at].endswith("ly") or words[at] in ("very", "more", "most", "less", "quite")
        return not end and degree and (following in ("ADJ", "ADV") or words[at] == "very")
    if tags[at] == "CCONJ" or words[at] == ",":
        return at > start and _joins_adjectives(words, tags, start, at)
    return tags[at] in ("ADJ", "NUM", "NOUN")


def _joins_adjectives(words: list[str], tags: list[str], start: int, at: int) -> bool:
    """Whether "and" or a comma joins adjectives of one noun: "a black and white dog"."""
    predicate = start > 0 and tags[start - 1] == "AUX" and tags[start] != "DET"
    if predicate or at + 2 >= len(words):
        return False
    materials = words[at - 1] in lex.MATERIALS and words[at + 1] in lex.MATERIALS
    adjectives = tags[at - 1] == "ADJ" and tags[at + 1] in ("ADJ", "ADV")
    owner = words[at] == "," and tags[at - 1] == "ADJ" and tags[at + 1 : at + 3] == ["NOUN", "PART"]
    return adjectives or owner or (materials and tags[at + 2] == "NOUN")


def _after_quote(words: list[str], tags: list[str], at: int) -> int:
    """Where a short quoted name before a noun ends ('a "STOP" sign'); 0 when none starts."""
    if words[at] not in _QUOTES or tags[at - 1] not in ("DET", "ADJ"):
        return 0
    for close in range(at + 2, min(at + _LONGEST_QUOTE, len(words) - 1)):
        if words[close] in _QUOTES:
            return close + 1 if tags[close + 1] == "NOUN" else 0
    return 0
