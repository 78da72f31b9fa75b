"""Tags the words of an English sentence with word lists, endings and neighbours; no model.

Two passes: every word gets a coarse class from the lexicon or from its ending; then words whose
class leaves a choice (participles, nouns that are verbs too, sides, ...) are decided from left to
right by the tag before and the classes after. Classes are one letter each:

    D determiner   P possessive   R pronoun       X auxiliary  M modal        T "to"
    I preposition  L preposition or adverb        C and, or    K subordinator A adverb
    J adjective    j adjective or noun            a adverb or adjective       U number
    N noun         W side         G -ing form     E participle H possessive 's
    V verb in third person, v plural noun too     B base form, b noun too     . any other mark
"""

from __future__ import annotations

import re
from functools import lru_cache

from bclip_core.captions import lexicon as lex

WORD = re.compile(
    r"[^\W\d_]+n['’]t\b|['’](?:s|re|ve|ll|d|m)\b"
    r"|[^\W_]+(?:(?:[-/.:&]|(?<=\d),(?=\d)|['’](?!(?:s|re|ve|ll|d|m)\b))[^\W_]+)*|\S",
    re.IGNORECASE,
)
_LISTS = (
    ("D", lex.DETERMINERS), ("P", lex.POSSESSIVES), ("R", lex.PRONOUNS), ("X", lex.AUXILIARIES),
    ("M", lex.MODALS), ("T", {"to"}), ("W", lex.SIDES), ("a", lex.ADVERB_ADJECTIVES),
    ("L", lex.LOOSE_PREPOSITIONS), ("I", lex.PREPOSITIONS), ("C", lex.CONJUNCTIONS),
    ("K", lex.SUBORDINATORS), ("U", lex.NUMBERS), ("A", lex.ADVERBS), ("j", lex.ADJECTIVE_NOUNS),
    ("J", lex.ADJECTIVES | lex.LY_ADJECTIVES), ("N", lex.NOUNS | lex.LY_NOUNS),
    ("E", lex.PARTICIPLES),
)  # fmt: skip
_LISTED = {word: letter for letter, words in reversed(_LISTS) for word in words}
_ADJECTIVE_ENDINGS = tuple("ful ous ive able ible less ish ial ern ic ical ional tural".split())
_FIXED = {"P": "DET", "X": "AUX", "M": "AUX", "I": "ADP", "C": "CCONJ", "K": "SCONJ", "A": "ADV",
          "U": "NUM", "N": "NOUN", "H": "PART", ".": "PUNCT"}  # fmt: skip
_MODIFIERS = frozenset({"DET", "ADJ", "NUM", "PART"})  # tags that a noun must still follow


@lru_cache(maxsize=1 << 16)
def _coarse(word: str) -> str:
    """The class of a lower-cased word: by list, else by form, else noun."""
    if word in _LISTED:
        return _LISTED[word]
    if not word[0].isalnum():
        return "."
    if word[0].isdigit():
        return "U" if word[-1].isdigit() or word.endswith(("st", "nd", "rd", "th")) else "N"
    if word in lex.THIRD_PERSONS:
        return "v" if lex.THIRD_PERSONS[word] in lex.PLURAL_NOUN_VERBS else "V"
    if word in lex.ALL_VERBS:
        return "b" if word in lex.NOUN_VERBS else "B"
    if word.endswith(("n't", "n’t")):
        return "X"
    if "-" in word:
        return "J" if _coarse(word.rsplit("-", 1)[1]) in "JEG" else "j"
    for letter, ending, length in (("A", "ly", 5), ("G", "ing", 5), ("E", "ed", 4)):
        if word.endswith(ending) and len(word) >= length:
            return letter
    return "J" if word.endswith(_ADJECTIVE_ENDINGS) and len(word) > 5 else "N"


def tag(words: list[str]) -> list[str]:
    """Tags of Universal Dependencies, one per word.

    Args:
        words: the words and marks of one sentence, case kept: a capital inside the sentence makes a
            name of what would be a verb or an adjective ("United").
    """
    return _Tagger(words).tags


class _Tagger:
    """The state of one sentence while its words are tagged from left to right."""

    def __init__(self, words: list[str]) -> None:
        self.words = [*(word.lower() for word in words), "", ""]
        self.classes = [*map(_coarse, self.words[:-2]), ".", "."]
        for at in range(1, len(words)):
            if words[at][0].isupper() and self.classes[at] in "JEGVvBbA":
                self.classes[at] = "N"
        self.tags: list[str] = []
        self._join_neighbours()
        self.noun_ahead = self._noun_ahead()
        for at in range(len(words)):
            self.tags.append(self._tag(at))

    def _join_neighbours(self) -> None:
        """Classes that only two words together have."""
        for at in range(1, len(self.words) - 2):
            first, second = self.words[at - 1 : at + 1]
            if second in ("'s", "’s") and self.classes[at - 1] != "R" and first != "here":
                self.classes[at] = "H"
            if (first, second) == ("close", "up") and (at == 1 or self.classes[at - 2] in "DJj,."):
                self.classes[at - 1 : at + 1] = "J", "j"

    def _noun_ahead(self) -> list[bool]:
        """For every place, whether adjectives and the like from there on end in a noun."""
        ahead = [False] * (len(self.classes) + 2)
        for at in range(len(self.classes) - 1, -1, -1):
            kind = self.classes[at]
            through = kind in "JUWEGa" or (kind == "A" and self.words[at].endswith("ly"))
            ahead[at] = kind in "Njvb" or (through and ahead[at + 1])
        return ahead

    def _tag(self, at: int) -> str:
        kind, before = self.classes[at], self.tags[at - 1] if at else ""
        if self.words[at] == "one" and (found := self._one(at, before)):
            return found
        if kind in _FIXED and kind not in "IN":
            return _FIXED[kind]
        if kind in "Vv":
            return self._third_person(at, before)
        if kind in "Bb":
            return self._base_form(at, before)
        if kind == "E":
            return self._participle(at, before)
        if kind in "GN":
            return self._ing(at, before) if self.words[at].endswith("ing") else "NOUN"
        if kind in "DR":
            return self._determiner(at, kind, before)
        if kind in "ILT":
            return self._preposition(at, kind, before)
        return self._side(at, before) if kind == "W" else self._adjective(at, kind, before)

    def _one(self, at: int, before: str) -> str:
        """The tag of a "one" that counts nothing ("one can see", "the one on the left"); or ""."""
        if self.classes[at + 1] == "M":
            return "PRON"
        return "NOUN" if before in ("DET", "ADJ") and not self.noun_ahead[at + 1] else ""

    def _determiner(self, at: int, kind: str, before: str) -> str:
        word, after, noun = self.words[at], self.classes[at + 1], self.noun_ahead[at + 1]
        if kind == "R":
            determines = word == "her" or (word == "that" and before == "ADP")
            return "DET" if determines and noun else "PRON"
        if word == "all" and after in "ILA" and self.words[at + 1] != "of":
            return "ADV"
        if word in ("all", "both") and after == "G":
            return "PRON"
        always = word in ("the", "a", "an", "every", "no")
        return "DET" if always or noun or after in "DPJW" else "PRON"

    def _preposition(self, at: int, kind: str, before: str) -> str:
        after, noun = self.classes[at + 1], self.noun_ahead[at + 1]
        if kind == "T":
            phrase = after == "b" and self.classes[at + 2] in "DPRIL"
            phrase |= after == "b" and before == "VERB" and self.classes[at + 2] in ".CKTA"
            phrase |= after == "A" and self.classes[at + 2] in "Bb"  # "seem to also offer"
            return "PART" if after in "BX" or phrase else "ADP"
        if kind == "I":
            ends = after == "." and self.words[at] in ("across", "around", "along")
            clause = self.words[at] == "like" and self.words[at + 1] in ("there", "it", "they")
            return "ADV" if ends else "SCONJ" if clause else "ADP"
        if before == "DET":
            return "ADJ" if noun else "NOUN"
        return "ADP" if noun or after in "DPRTUJW" else "ADV"

    def _in_list(self, at: int) -> bool:
        """Whether a comma and more adjectives stand before the noun: "a front, angled view"."""
        place, comma = at + 1, False
        if self.words[at - 1] not in ("a", "an") or self.words[place] != ",":
            return False
        while self.words[place] == "," or self.classes[place] in "JjWEGa":
            comma = self.words[place] == ","
            place += 1
        owner = self.classes[place + 1] == "H"  # "an outdoor, bird's eye view"
        return self.classes[place] in "Nbv" and (owner or not comma)

    def _adjective(self, at: int, kind: str, before: str) -> str:
        word, after, noun = self.words[at], self.classes[at + 1], self.noun_ahead[at + 1]
        noun = noun or self._in_list(at)
        if kind == "a":
            return "ADJ" if noun or (after in "JW" and before in _MODIFIERS) else "ADV"
        if noun or after in "JE":
            return "ADJ"
        if after == "C" and self.noun_ahead[at + 2]:
            return "ADJ"
        if kind == "j":
            predicate = before in ("AUX", "ADV", "CCONJ", "PUNCT") and after not in "VB"
            return "ADJ" if predicate and "-" not in word else "NOUN"
        joined = after == "C" or self.words[at + 1] == ","  # "in shades of red, blue and green"
        alone = not (joined and self.classes[at + 2] in "CJj")
        return "NOUN" if before == "ADP" and alone and word in lex.COLOURS else "ADJ"

    def _participle(self, at: int, before: str) -> str:
        noun = self.noun_ahead[at + 1]
        if self.classes[at + 1] == "C" and self.classes[at + 2] in "EJ":
            noun = self.noun_ahead[at + 2]  # "dried and green grass"
        if self.words[at + 1] in ("up", "down", "by") and before != "DET":
            return "VERB"
        if before in _MODIFIERS:
            return "NOUN" if self.words[at] in lex.PARTICIPLES and not noun else "ADJ"
        back = at - 1
        while back > 0 and self.tags[back] == "ADV":  # look through "partially"
            back -= 1
        leading = self.tags[back] if back >= 0 else ""
        if leading == "AUX" and "there" not in self.words[max(0, back - 2) : back]:
            return "VERB"
        return "ADJ" if noun and leading != "PRON" else "VERB"

    def _ing(self, at: int, before: str) -> str:
        noun, after = self.noun_ahead[at + 1], self.classes[at + 1]
        listed = self.classes[at] == "N"
        counted = before == "NUM" and (not noun or self.words[at - 1] == "one")
        if before in _MODIFIERS and not counted:
            return "ADJ" if noun and not listed else "NOUN"
        if listed:  # "trees lining the road", but "the lining of"
            acts = after in "DPRa" and before in ("NOUN", "AUX", "PUNCT", "CCONJ")
            return "VERB" if acts else "NOUN"
        qualifies = before == "ADP" and self.words[at - 1] in ("with", "of", "in")
        return "ADJ" if qualifies and noun else "VERB"

    def _side(self, at: int, before: str) -> str:
        word, after = self.words[at], self.classes[at + 1]
        pair = after == "C" and self.classes[at + 2] == "W"
        if self._in_list(at):
            return "ADJ"
        if after == "W" or (pair and self.noun_ahead[at + 3]) or self.noun_ahead[at + 1]:
            return "ADJ"
        adverb = word in ("right", "back") and after in "ILa" and self.words[at + 1] != "of"
        joined = before == "CCONJ" and self.classes[at - 2] == "W"
        if before in _MODIFIERS or self.words[at - 1] == "very" or joined:
            return "NOUN"
        ending = before == "NOUN" and word in ("top", "bottom", "center", "centre")
        return "NOUN" if (before in ("ADP", "") or ending) and not adverb else "ADV"

    def _third_person(self, at: int, before: str) -> str:
        after, weak = self.classes[at + 1], self.classes[at] == "v"
        if self.words[at] == "has":
            return "AUX" if self.words[at + 1] == "been" else "VERB"
        if before == "PRON":
            return "VERB"
        numbered = before == "NUM" and (
            self.words[at - 1] == "one" or self.tags[at - 2 : at - 1] == ["NOUN"]
        )
        if (before in _MODIFIERS and not numbered) or before in ("ADP", "VERB", "AUX"):
            return "NOUN"
        if weak and before == "NOUN" and after == "J" and self.noun_ahead[at + 1]:
            return "VERB"  # "a building displays large signs"
        if weak or before == "":
            return "VERB" if after in "DPR" or (before == "ADV" and after in "IL") else "NOUN"
        return "NOUN" if after in "XMVv" else "VERB"

    def _base_form(self, at: int, before: str) -> str:
        after, weak = self.classes[at + 1], self.classes[at] == "b"
        if self.words[at] == "have" and before != "DET":
            return "AUX" if self.words[at + 1] == "been" else "VERB"
        back = at - 1
        while back > 0 and self.tags[back] == "ADV":  # look through "also"
            back -= 1
        before = self.tags[back] if back >= 0 else ""
        if before == "AUX":
            return "VERB" if self.classes[back] == "M" or self.words[back][:2] == "do" else "NOUN"
        if before == "PRON":
            return "NOUN" if self.words[back] in ("it", "he", "she", "this") else "VERB"
        if before == "PART" and self.words[back] == "to":
            return "VERB"
        clear = not weak and after not in "XMH"
        noun = after in "JU" and self.noun_ahead[at + 1]  # "signals show green lights"
        if before == "NOUN" and (clear or self._plural(back)):
            return "VERB" if clear or after in "DPRILTAa" or noun else "NOUN"
        opens = after in "DP" or (not weak and after in "RILTAK")
        return "VERB" if before in ("CCONJ", "PUNCT") and opens else "NOUN"

    def _plural(self, at: int) -> bool:
        word = self.words[at]
        return word in lex.IRREGULAR_PLURALS or (word.endswith("s") and not word.endswith("ss"))
