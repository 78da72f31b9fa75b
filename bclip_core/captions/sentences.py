"""Splits a caption into sentences with a few readable rules: no model, linear time.

A sentence is a slice of the caption with its white space folded: it keeps its full stop, and the
sentences of a caption hold every one of its visible characters, in order.
"""

from __future__ import annotations

import re

_CLOSERS = "\"'”’»)]}」』）】"
_OPENERS = "\"'“‘«([{「『（【„"
_CLOSING = f"[{re.escape(_CLOSERS)}]*"
# A quote may stand one space after the stop ('reads "STOP! " The dog'): real captions do that.
_STOP = re.compile(rf"([。！？]+|[.!?…]+)((?:{_CLOSING})(?:[ \u00a0\u202f][\"'”’»](?=[\s.,;]|$))?)")
_WORD_BEFORE = re.compile(rf"[^\s{re.escape(_OPENERS)}]*$")
_LONGEST_WORD = 40  # how far a stop looks around itself: keeps the time linear
_LIST_NUMBER = re.compile(r"\d{1,3}|[a-zA-Z]|[ivxIVX]{2,4}")

# Something must follow these.
_TITLES = frozenset(
    "mr mrs ms dr prof gen col capt sgt lt rev hon gov sen rep mt messrs mme mlle "
    "vs approx ca cf fig figs incl esp e.g i.e viz nr hr fr bzw z.b d.h u.a env p.ex".split()
)
# These end a sentence only before a word that opens one: "Main St. The car" but "St. Peter".
_NAME_PARTS = frozenset(
    "st ave blvd rd ln hwy sq bldg apt dept est inc ltd corp co bros jr sr vol univ assn "
    "jan feb apr jun jul aug sept oct nov dec tues thurs fri".split()
)
# These end a sentence unless it goes on in lower case: "6 ft. tall", "at 5 p.m. and".
_MEASURES = frozenset("ft cm mm km kg lb lbs oz hrs mins etc usw a.m p.m am pm".split())
_OPENING_WORDS = frozenset(
    "the a an this that these those there it its he she they we you i his her their our your my in "
    "on at to from with behind above below beneath under underneath over near next beside between "
    "around along across inside outside beyond within throughout atop one two three four some many "
    "several few most all both each every another other various multiple no and but or so as also "
    "however while when where if because although overall additionally further furthermore people "
    "der die das ein eine es er sie wir im am auf le la les un une il elle on dans sur".split()
)
_GERMAN_MONTHS = frozenset(
    "januar februar märz april mai juni juli august september oktober november dezember".split()
)


def split_sentences(text: str) -> list[str]:
    """Split a caption into its sentences, in order.

    A sentence ends at `.`, `!`, `?`, `…` (with the quotes and brackets that close after it) before
    white space, at `。`, `！`, `？` anywhere, and at every line break, so that a list item is a
    sentence. It does not end after a title or an abbreviation, an initial, a list number, inside a
    number, nor at a quoted or bracketed stop or an ellipsis that goes on in lower case.

    What it cannot know: an abbreviation outside its lists ends a sentence, "vitamin C. Dogs run" is
    read as an initial, and a missing space after a stop hides it.

    Args:
        text: any language, any length; the time is linear in it.

    Returns:
        Sentences with white space folded to single spaces, none of them empty; joined, they hold
        every non-space character of the text in order. An empty or blank text gives [].
    """
    return [sentence for line in text.splitlines() for sentence in _split_line(line)]


def _split_line(line: str) -> list[str]:
    pieces, start = [], 0
    for stop in _STOP.finditer(line):
        if _ends_sentence(line, start, stop):
            pieces.append(line[start : stop.end()])
            start = stop.end()
    pieces.append(line[start:])
    sentences: list[str] = []
    marks: list[str] = []  # pieces without a letter or digit are no sentences of their own
    for piece in filter(None, (" ".join(piece.split()) for piece in pieces)):
        if any(map(str.isalnum, piece)):
            sentences.append(" ".join([*marks, piece]) if not sentences else piece)
            marks = []
        elif sentences:
            sentences[-1] += f" {piece}"
        else:
            marks.append(piece)
    return sentences or ([" ".join(marks)] if marks else [])


def _ends_sentence(line: str, start: int, stop: re.Match[str]) -> bool:
    marks, end = stop.group(1), stop.end()
    if marks[0] in "。！？":
        return True
    if end < len(line) and not line[end].isspace():
        return False
    following = line[end : end + 2 * _LONGEST_WORD].split(maxsplit=1)
    if not following:
        return True
    next_word = following[0].lstrip(_OPENERS).rstrip(".,;:!?" + _CLOSERS)
    goes_on = next_word[:1].islower()
    if stop.group(2) or marks[-2:] == ".." or marks[-1] == "…":
        return not goes_on  # 'the sign "Stop." is red', "wait... what"
    return marks != "." or _full_stop_ends(line, start, stop.start(), next_word)


def _full_stop_ends(line: str, start: int, stop: int, next_word: str) -> bool:
    """Decide a lone full stop by the word before it and the word after it."""
    found = _WORD_BEFORE.search(line, max(start, stop - _LONGEST_WORD), stop)
    word = found.group() if found else ""
    lowered = word.lower()
    first = (
        found is not None
        and found.start() - start <= 2
        and not line[start : stop - len(word)].strip()
    )
    if first and _LIST_NUMBER.fullmatch(word):
        return False  # "1. A dog"
    if lowered in _TITLES:
        return False
    if next_word[:1].isdigit() and (lowered in ("no", "nos") or word.lstrip("$€£").isdigit()):
        return len(word) > 3  # "No. 5", and "1. 5 inches": a slip that real captions have
    if word.isdigit() and next_word.lower() in _GERMAN_MONTHS:
        return False
    if lowered in _MEASURES:
        return not next_word[:1].islower()
    dotted = "." in word and all(len(part) == 1 and part.isalpha() for part in word.split("."))
    initial = len(word) == 1 and word.isupper() and word != "I"
    if dotted or initial or lowered in _NAME_PARTS:
        return next_word[:1].isupper() and next_word.lower() in _OPENING_WORDS
    return True
