"""Words for attributes, places and relations, and what each of them is true of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bclip_core.data.scenes.attributes import ATTRIBUTES, Difficulty, Scene, SceneObject
from bclip_core.data.scenes.draws import Draws

# The first word is the usual one; a difficulty allows the first `synonyms` of them.
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "small": ("small", "tiny", "little"),
    "medium": ("medium",),
    "large": ("large", "big", "huge"),
    "solid": ("solid", "plain"),
    "striped": ("striped",),
    "dotted": ("dotted", "spotted"),
    "checkered": ("checkered", "checked"),
    "circle": ("circle", "disc"),
    "cross": ("cross", "plus"),
    "crescent": ("crescent", "moon"),
    "border": ("border", "outline", "edge"),
}
USUAL_WORD = 0.65  # probability of the usual word where there are others

# A coordinate is said to be low, middle or high only inside these ranges, and in between nothing.
LOW, MIDDLE, HIGH = (0.0, 0.38), (0.42, 0.58), (0.62, 1.0)
PLACES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("low", "low"): ("in the upper left", "in the top left corner"),
    ("high", "low"): ("in the upper right", "in the top right corner"),
    ("low", "high"): ("in the lower left", "in the bottom left corner"),
    ("high", "high"): ("in the lower right", "in the bottom right corner"),
    ("middle", "middle"): ("in the middle", "in the centre"),
    ("low", ""): ("on the left side",),
    ("high", ""): ("on the right side",),
    ("", "low"): ("at the top",),
    ("", "high"): ("at the bottom",),
}
RELATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above",),
    "below": ("below", "under"),
}
RELATION_GAP = 0.15  # least distance of two centres along the relation's axis


def word(value: str, difficulty: Difficulty, draws: Draws) -> str:
    """One of the words for a value."""
    words = WORDS.get(value)
    if words is None:
        return value
    if len(words) == 1 or draws.chance(USUAL_WORD):
        return words[0]
    return draws.pick(words[1 : difficulty.synonyms])


def article(phrase: str) -> str:
    """`phrase` with its indefinite article."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def noun_phrase(
    item: SceneObject, fields: Sequence[str], difficulty: Difficulty, draws: Draws
) -> str:
    """A phrase without article that names the shape and the given attributes: "large red disc"."""
    words = [
        word(item.value(name), difficulty, draws)
        for name in ("size", "pattern", "colour")
        if name in fields
    ]
    words.append(word(item.shape, difficulty, draws))
    if "border" in fields:
        words.append(border_phrase(item.border, difficulty, draws))
    return " ".join(words)


def border_phrase(border: str, difficulty: Difficulty, draws: Draws) -> str:
    """Such as "with a white border" or "without a border"."""
    noun = word("border", difficulty, draws)
    if border == "none":
        return f"with no {noun}" if draws.chance(0.5) else f"without {article(noun)}"
    return f"with a {border} {noun}"


def describe(item: SceneObject | Mapping[str, object], difficulty: Difficulty) -> str:
    """All varying attributes in the usual words: "a large red circle with a white border".

    A scene has no two objects with the same description.
    """
    values = {
        name: item.value(name) if isinstance(item, SceneObject) else str(item[name])
        for name in ATTRIBUTES
    }
    parts = [values[name] for name in ("size", "pattern", "colour") if name in difficulty.varying]
    text = article(" ".join([*parts, values["shape"]]))
    if "border" not in difficulty.varying:
        return text
    border = values["border"]
    return f"{text} without a border" if border == "none" else f"{text} with a {border} border"


def matching(scene: Scene, item: SceneObject, fields: Sequence[str]) -> list[int]:
    """Indices of all objects that equal `item` in the given attributes."""
    numbers = list(range(len(scene.objects)))
    for name in fields:
        value = item.value(name)
        numbers = [n for n in numbers if scene.objects[n].value(name) == value]
    return numbers


def place_of(item: SceneObject) -> tuple[str, str] | None:
    """A key of `PLACES` that is clearly true of the object, if there is one."""
    column, row = _zone(item.x), _zone(item.y)
    if (column, row) in PLACES:
        return column, row
    if row in ("low", "high"):
        return "", row
    if column in ("low", "high"):
        return column, ""
    return None


def is_at(item: SceneObject, place: tuple[str, str]) -> bool:
    """Whether a place is clearly true of the object."""
    column, row = place
    return column in ("", _zone(item.x)) and row in ("", _zone(item.y))


def _zone(coordinate: float) -> str:
    for name, (low, high) in (("low", LOW), ("middle", MIDDLE), ("high", HIGH)):
        if low <= coordinate <= high:
            return name
    return "between"


def relation_of(item: SceneObject, anchor: SceneObject) -> str | None:
    """How `item` lies to `anchor`: the dominant axis, when clear, else None."""
    right, down = item.x - anchor.x, item.y - anchor.y
    if max(abs(right), abs(down)) < RELATION_GAP:
        return None
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "below" if down > 0 else "above"
