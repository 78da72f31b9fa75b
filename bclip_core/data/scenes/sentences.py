"""Sentences of the long caption, each with its phrases from general to specific."""

from __future__ import annotations

from typing import NamedTuple

from bclip_core.data.scenes.attributes import SceneObject
from bclip_core.data.scenes.phrasing import NUMBERS, Phrase, Phrasing, capital
from bclip_core.data.scenes.words import article, matching, relation_of

_PREDICATE = 0.3  # share of "A red circle is large ..." among the sentences about an object
_NAMED = 0.9  # probability that a sentence about an object names each attribute
# A bare shape is true of 40 % of all other pictures: rare, so that few negatives are false ones.
_GENERAL = 0.3
_EXTRA_PHRASES = 2  # phrases of colour, shape and one other attribute per object


class Sentence(NamedTuple):
    """A sentence, the objects it speaks of, and its phrases."""

    text: str
    objects: list[int]
    phrases: list[Phrase]


def write_sentences(parts: Phrasing) -> list[Sentence]:
    """Overview first; then every object, some relations and the background in any order."""
    order = parts.draws.shuffled(range(len(parts.objects)))
    body = [_object(parts, number) for number in order]
    body += _relations(parts, wanted=1 if parts.draws.chance(0.5) else 2)
    body.append(_background(parts))
    return [_overview(parts), *parts.draws.shuffled(body)]


def _overview(parts: Phrasing) -> Sentence:
    numbers = list(range(len(parts.objects)))
    count = f"{NUMBERS[len(numbers)]} {parts.draws.pick(('shapes', 'objects'))}"
    picture = parts.picture()
    text = parts.draws.pick(
        (f"The {picture} shows {count}.", f"There are {count} in the {picture}.")
    )
    return Sentence(text, numbers, [Phrase(count, numbers)])


def _background(parts: Phrasing) -> Sentence:
    background = parts.scene.background
    text = parts.draws.pick(
        (
            f"The background is {background.name}.",
            f"All of it is on {article(background.name)} background.",
        )
    )
    return Sentence(text, [], [Phrase(f"{background.name} background", [])])


def _object(parts: Phrasing, number: int) -> Sentence:
    item = parts.objects[number]
    place = parts.place(item)
    write = _predicate_text if parts.draws.chance(_PREDICATE) else _noun_text
    text = write(parts, item, place)
    named = parts.extras
    if len(named) > _EXTRA_PHRASES:
        named = parts.draws.shuffled(named)[:_EXTRA_PHRASES]
    fields = [["colour", "shape"], *(["colour", "shape", name] for name in named)]
    if parts.draws.chance(_GENERAL):
        fields.insert(0, ["shape"])
    phrases = [parts.phrase(item, names) for names in [*fields, parts.everything]]
    if place:
        phrases.append(parts.phrase(item, ["colour", "shape"], place))
    distinct = {phrase.text: phrase for phrase in phrases}
    return Sentence(text, [number], list(distinct.values()))


def _noun_text(parts: Phrasing, item: SceneObject, place: str) -> str:
    """Such as "In the upper left there is a large red circle with a white border."."""
    noun = parts.a_noun(item, parts.some_fields(_NAMED))
    if place:
        choices: tuple[str, ...] = (
            f"{noun} is {place}.",
            f"{place} there is {noun}.",
            f"{noun} can be seen {place}.",
            f"{place} we see {noun}.",
        )
    else:
        picture = parts.picture()
        choices = (
            f"there is {noun} in the {picture}.",
            f"the {picture} has {noun}.",
            f"{noun} can be seen.",
        )
    return capital(parts.draws.pick(choices))


def _predicate_text(parts: Phrasing, item: SceneObject, place: str) -> str:
    """Such as "A red circle in the upper left is large and has a white border."."""
    subject = " ".join([parts.a_noun(item, ["colour", "shape"]), place]).strip()
    clauses = []
    adjectives = [parts.value(item, n) for n in ("size", "pattern") if n in parts.extras]
    if adjectives:
        clauses.append("is " + " and ".join(adjectives))
    if "border" in parts.extras:
        clauses.append("has " + parts.border(item))
    return f"{capital(subject)} {' and '.join(clauses)}."


def _relations(parts: Phrasing, wanted: int) -> list[Sentence]:
    """At most `wanted` sentences, about different pairs of objects."""
    pairs = [
        (first, second, relation)
        for first, item in enumerate(parts.objects)
        for second, anchor in enumerate(parts.objects)
        if first != second and (relation := relation_of(item, anchor)) is not None
    ]
    chosen: list[Sentence] = []
    used: list[set[int]] = []
    for first, second, relation in parts.draws.shuffled(pairs):
        if len(chosen) < wanted and {first, second} not in used:
            used.append({first, second})
            chosen.append(_relation(parts, first, second, relation))
    return chosen


def _relation(parts: Phrasing, first: int, second: int, relation: str) -> Sentence:
    item, anchor = parts.objects[first], parts.objects[second]
    where = f"{parts.relation(relation)} {parts.the_noun(anchor)}"
    subject = parts.the_noun(item)
    text = parts.draws.pick((f"{subject} is {where}.", f"{where} is {subject}."))
    related = [n for n, other in enumerate(parts.objects) if relation_of(other, anchor) == relation]
    named = matching(parts.scene, item, ["colour", "shape"])
    noun = parts.noun(item, ["colour", "shape"])
    phrases = [
        Phrase(where, related),
        Phrase(f"{noun} {where}", [n for n in named if n in related]),
    ]
    return Sentence(capital(text), [first, second], phrases)
