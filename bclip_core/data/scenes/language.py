"""The texts of a scene: short captions, sentences, and the long caption that joins them.

Every text is true of its scene. A phrase is linked to all objects that it is true of: by
attributes for "red circle", by attributes and place for "red circle in the upper left", by the
relation for "to the left of the star".
"""

from __future__ import annotations

from typing import NamedTuple

from bclip_core.data.scenes.attributes import SPLITS, Scene, SceneObject
from bclip_core.data.scenes.draws import Draws
from bclip_core.data.scenes.phrasing import NUMBERS, Phrasing
from bclip_core.data.scenes.sentences import Sentence, write_sentences
from bclip_core.data.scenes.words import relation_of

SHORT_CAPTIONS = 5
_SUMMARISED = 4  # objects that the first short caption names
_LANGUAGE_STREAM = 1


class SceneTexts(NamedTuple):
    """All texts of a scene."""

    short_captions: list[str]
    sentences: list[Sentence]

    @property
    def caption(self) -> str:
        """The long caption."""
        return " ".join(sentence.text for sentence in self.sentences)


def write_texts(scene: Scene) -> SceneTexts:
    """The texts of a scene: a function of the scene alone."""
    draws = Draws(scene.seed, SPLITS.index(scene.split), scene.index, _LANGUAGE_STREAM)
    parts = Phrasing(scene, draws)
    return SceneTexts(write_short_captions(parts), write_sentences(parts))


def write_short_captions(parts: Phrasing) -> list[str]:
    """A summary of all (at most four) objects, then captions of one or two of them."""
    order = parts.draws.shuffled(range(len(parts.objects)))
    captions = [_summary(parts, order)]
    for turn in range(SHORT_CAPTIONS - 1):
        first, second = order[turn % len(order)], order[(turn + 1) % len(order)]
        captions.append(_short_caption(parts, parts.objects[first], parts.objects[second]))
    return captions


def _summary(parts: Phrasing, order: list[int]) -> str:
    probability = 0.6 if len(order) < _SUMMARISED else 0.35
    named = order[:_SUMMARISED]
    nouns = [parts.a_noun(parts.objects[n], parts.some_fields(probability)) for n in named]
    rest = len(order) - len(named)
    if rest:
        nouns.append(f"{NUMBERS[rest]} other {'shape' if rest == 1 else 'shapes'}")
    return f"{', '.join(nouns[:-1])} and {nouns[-1]}"


def _short_caption(parts: Phrasing, item: SceneObject, other: SceneObject) -> str:
    first = parts.a_noun(item, parts.some_fields(0.7))
    second = parts.a_noun(other, parts.some_fields(0.6))
    place, relation = parts.place(item), relation_of(item, other)
    kind = parts.draws.uniform()
    if kind < 0.3 and relation is not None:
        return f"{first} {parts.relation(relation)} {second}"
    if kind < 0.55 and place:
        return f"{first} {place}"
    if kind < 0.8:
        return f"{first} and {second}"
    return parts.a_noun(item, parts.everything)
