"""Phrases about one scene, each with the objects that it is true of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bclip_core.data.scenes.attributes import Scene, SceneObject
from bclip_core.data.scenes.draws import Draws
from bclip_core.data.scenes.words import (
    PLACES,
    RELATIONS,
    article,
    is_at,
    matching,
    noun_phrase,
    place_of,
    word,
)

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
_PICTURE = ("picture", "image", "scene")


class Phrase(NamedTuple):
    """A part of a sentence and the numbers of all objects that it is true of."""

    text: str
    objects: list[int]


class Phrasing:
    """The scene, the stream of random choices, and the parts that texts are put together from.

    Attributes:
        extras: attributes beside colour and shape that vary in this difficulty.
        everything: all attributes that vary.
    """

    def __init__(self, scene: Scene, draws: Draws) -> None:
        self.scene = scene
        self.objects = scene.objects
        self.draws = draws
        self.extras = [n for n in scene.difficulty.varying if n not in ("colour", "shape")]
        self.everything = ["colour", "shape", *self.extras]

    def some_fields(self, probability: float) -> list[str]:
        """Colour and shape, and each other attribute with a probability."""
        return ["colour", "shape", *(n for n in self.extras if self.draws.chance(probability))]

    def noun(self, item: SceneObject, fields: Sequence[str]) -> str:
        """Such as "large red circle"."""
        return noun_phrase(item, fields, self.scene.difficulty, self.draws)

    def a_noun(self, item: SceneObject, fields: Sequence[str]) -> str:
        """Such as "a large red circle"."""
        return article(self.noun(item, fields))

    def the_noun(self, item: SceneObject) -> str:
        """The fewest attributes that single the object out: "the star", "the red star"."""
        fields = ["shape"]
        for name in ("colour", *self.draws.shuffled(self.extras)):
            if len(matching(self.scene, item, fields)) == 1:
                break
            fields.append(name)
        return f"the {self.noun(item, fields)}"

    def place(self, item: SceneObject) -> str:
        """Such as "in the upper left", or "" where no place is clearly true."""
        key = place_of(item)
        return "" if key is None else self.draws.pick(PLACES[key][: self._synonyms])

    def relation(self, name: str) -> str:
        """Words for a relation, such as "to the left of"."""
        return self.draws.pick(RELATIONS[name][: self._synonyms])

    def value(self, item: SceneObject, attribute: str) -> str:
        """A word for the object's value of an attribute."""
        return word(item.value(attribute), self.scene.difficulty, self.draws)

    def border(self, item: SceneObject) -> str:
        """Such as "a white border" or "no outline"."""
        noun = word("border", self.scene.difficulty, self.draws)
        return f"no {noun}" if item.border == "none" else f"a {item.border} {noun}"

    def picture(self) -> str:
        """A word for the picture."""
        return self.draws.pick(_PICTURE[: self._synonyms])

    def phrase(self, item: SceneObject, fields: Sequence[str], place: str = "") -> Phrase:
        """A phrase of the given attributes, and of the object's place if its words are given."""
        numbers = matching(self.scene, item, fields)
        text = self.noun(item, fields)
        key = place_of(item) if place else None
        if key is None:
            return Phrase(text, numbers)
        return Phrase(f"{text} {place}", [n for n in numbers if is_at(self.objects[n], key)])

    @property
    def _synonyms(self) -> int:
        return self.scene.difficulty.synonyms


def capital(text: str) -> str:
    """`text` with a capital first letter."""
    return text[0].upper() + text[1:]
