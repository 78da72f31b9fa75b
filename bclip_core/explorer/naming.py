"""Which words the scenes are told in, and what a text of these words names in one scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bclip_core.captions import lexicon as lex
from bclip_core.captions.rule_tagger import WORD
from bclip_core.data.scenes.attributes import (
    BACKGROUND_COLOURS,
    COLOURS,
    DIFFICULTIES,
    get_difficulty,
)
from bclip_core.data.scenes.language import write_texts
from bclip_core.data.scenes.layout import sample_scene
from bclip_core.data.scenes.phrasing import NUMBERS
from bclip_core.data.scenes.words import WORDS

_SCENES_READ = 25  # of every difficulty, for the words of the grammar itself
_VALUE_OF = {word: value for value, words in WORDS.items() for word in words}
_ORDER = ("size", "pattern", "colour")  # before the shape, as the scenes' grammar has them


@lru_cache(maxsize=1)
def scene_vocabulary() -> frozenset[str]:
    """Every word in lower case of the captions that scene models are trained on."""
    words = {word for words in WORDS.values() for word in words}
    for values in (COLOURS, BACKGROUND_COLOURS, NUMBERS):
        words.update(values)
    for difficulty in DIFFICULTIES.values():
        words.update(difficulty.shapes)
    for name in DIFFICULTIES:
        for index in range(_SCENES_READ):
            texts = write_texts(sample_scene(get_difficulty(name), 0, "train", index))
            written = [texts.caption, *texts.short_captions]
            words.update(word.lower() for text in written for word in WORD.findall(text))
    return frozenset(words)


def unknown_words(text: str) -> tuple[str, ...]:
    """Words of a text that no scene's caption has, in order and without repeats."""
    found = dict.fromkeys(word.lower() for word in WORD.findall(text))
    known = scene_vocabulary()
    return tuple(word for word in found if word[0].isalpha() and word not in known)


def naming(scene: Mapping[str, Any]) -> Callable[[str], Tensor | None]:
    """What any text names in a scene: a function from a text to bool [H, W], or None.

    Read are a shape with some of its attributes, in the scenes' own words and their synonyms:
    "orange circle", "the tiny striped disc with a white edge". Anything else, a plural, a relation
    or a word too many, names nothing for certain.

    Args:
        scene: a row of the scenes; of it `objects` and `instances` are read.
    """
    objects = list(scene["objects"])
    instances = torch.from_numpy(np.array(scene["instances"]))

    def named(text: str) -> Tensor | None:
        asked = _attributes(text, objects)
        if asked is None:
            return None
        numbers = [
            number
            for number, item in enumerate(objects)
            if all(str(item[name]) == value for name, value in asked.items())
        ]
        mask = torch.isin(instances, torch.tensor(numbers, dtype=instances.dtype) + 1)
        return mask if numbers and mask.any() else None

    return named


def _attributes(text: str, objects: list[Mapping[str, Any]]) -> dict[str, str] | None:
    """Attributes that a text asks for; None where it is no such phrase."""
    words = [_VALUE_OF.get(word.lower(), word.lower()) for word in WORD.findall(text)]
    if words and words[0] in lex.DETERMINERS:
        words = words[1:]
    asked: dict[str, str] = {}
    while words and len(asked) <= len(_ORDER):
        value, *words = words
        field = next((name for name in (*_ORDER, "shape") if _has(objects, name, value)), None)
        if field is None or field in asked:
            return None
        asked[field] = value
        if field == "shape":
            return _with_border(asked, words)
    return None


def _with_border(asked: dict[str, str], rest: list[str]) -> dict[str, str] | None:
    """The same with the border that is named after the shape, if one is."""
    match rest:
        case []:
            return asked
        case ["with", "a" | "an", colour, "border"]:
            return asked | {"border": colour}
        case ["with", "no", "border"] | ["without", "a" | "an", "border"]:
            return asked | {"border": "none"}
    return None


def _has(objects: list[Mapping[str, Any]], name: str, value: str) -> bool:
    return any(str(item[name]) == value for item in objects)
