"""Region queries on scenes in the manner of FG-OVD (Bianchi et al. 2024).

One box, a true caption of the object in it, and false ones that differ in a controlled number of
attributes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from datasets import Dataset

from bclip_core.data.scenes.attributes import Difficulty, get_difficulty
from bclip_core.data.scenes.draws import Draws
from bclip_core.data.scenes.words import describe

NEGATIVES = 10
LEVELS = {"hard": 1, "medium": 2, "easy": 3, "trivial": 0}  # attributes swapped; 0: other objects
_REGION_STREAM = 2


@dataclass(frozen=True)
class RegionQuery:
    """One region and its captions, the true one first.

    Attributes:
        row: row of the data set.
        object: number of the object in its scene.
        box: x, y, width, height in pixels.
        captions: 1 + N texts.
        swapped: for every caption the attributes in which it is false; () for the true one.
    """

    row: int
    object: int
    box: tuple[float, float, float, float]
    captions: tuple[str, ...]
    swapped: tuple[tuple[str, ...], ...]


Rows: TypeAlias = Dataset | Sequence[Mapping[str, Any]]


def region_queries(rows: Rows, level: str, seed: int = 0, per_scene: int = 1) -> list[RegionQuery]:
    """Queries with 10 negatives, all distinct and false of the object.

    Args:
        rows: a data set of `load_scenes`, or its rows.
        level: "hard", "medium", "easy": 1, 2, 3 attributes swapped; "trivial": the captions of
            objects of other scenes.
        seed: of the choice of objects and negatives.
        per_scene: objects asked for in each scene (fewer when it has fewer).

    Raises:
        ValueError: unknown level; too few different descriptions for the trivial level.
    """
    if level not in LEVELS:
        raise ValueError(f"level={level!r}: expected one of {', '.join(LEVELS)}")
    table = _Table(rows)
    queries = []
    for row, number, draws in _chosen_objects(table, (seed, list(LEVELS).index(level)), per_scene):
        item = table.objects[row][number]
        if LEVELS[level]:
            false = _swaps(item, table.difficulty(row), LEVELS[level], draws)
        else:
            false = _strangers(table, row, item, draws)
        queries.append(_query(table, row, number, false))
    return queries


def attribute_queries(
    rows: Rows, attribute: str, seed: int = 0, per_scene: int = 1
) -> list[RegionQuery]:
    """Queries whose negatives take every other value of one attribute: chance is 1 / #values.

    Raises:
        ValueError: the attribute does not vary in the difficulty; the message lists those that do.
    """
    table = _Table(rows)
    queries = []
    for row, number, draws in _chosen_objects(table, (seed, len(LEVELS)), per_scene):
        difficulty = table.difficulty(row)
        if attribute not in difficulty.varying:
            known = ", ".join(difficulty.varying)
            raise ValueError(
                f"attribute={attribute!r} of {difficulty.name!r} scenes: expected one of {known}"
            )
        item = table.objects[row][number]
        others = [v for v in difficulty.values(attribute) if v != item[attribute]]
        false = [dict(item) | {attribute: value} for value in draws.shuffled(others)]
        queries.append(_query(table, row, number, false))
    return queries


class _Table:
    """The columns that queries need, without decoding a picture."""

    def __init__(self, rows: Rows) -> None:
        names = ("objects", "boxes", "difficulty")
        if isinstance(rows, Dataset):
            columns = rows.select_columns(list(names))[:]
        else:
            columns = {name: [row[name] for row in rows] for name in names}
        self.objects: list[list[dict[str, Any]]] = columns["objects"]
        self.boxes: list[list[list[float]]] = columns["boxes"]
        self._names: list[str] = columns["difficulty"]

    def difficulty(self, row: int) -> Difficulty:
        return get_difficulty(self._names[row])


def _chosen_objects(
    table: _Table, key: tuple[int, ...], per_scene: int
) -> list[tuple[int, int, Draws]]:
    """(row, object, draws of this row) of the objects to ask for."""
    chosen = []
    for row, objects in enumerate(table.objects):
        draws = Draws(*key, row, _REGION_STREAM)
        for number in draws.shuffled(range(len(objects)))[:per_scene]:
            chosen.append((row, number, draws))
    return chosen


def _swaps(
    item: Mapping[str, Any], difficulty: Difficulty, count: int, draws: Draws
) -> list[dict[str, Any]]:
    """`NEGATIVES` different objects that differ from `item` in exactly `count` attributes."""
    combinations = list(itertools.combinations(difficulty.varying, count))
    found: list[dict[str, Any]] = []
    while len(found) < NEGATIVES:
        changed = dict(item)
        # Attributes first, then values: each attribute is swapped equally often.
        for name in combinations[draws.integer(0, len(combinations) - 1)]:
            others = [value for value in difficulty.values(name) if value != item[name]]
            changed[name] = draws.pick(others)
        if changed not in found:
            found.append(changed)
    return found


def _strangers(
    table: _Table, row: int, item: Mapping[str, Any], draws: Draws
) -> list[dict[str, Any]]:
    """`NEGATIVES` objects of other scenes, differently described from `item` and one another."""
    difficulty = table.difficulty(row)
    seen = {describe(item, difficulty)}
    found: list[dict[str, Any]] = []
    for _ in range(100 * NEGATIVES):
        other = draws.integer(0, len(table.objects) - 1)
        candidate = draws.pick(table.objects[other])
        text = describe(candidate, difficulty)
        if other != row and text not in seen:
            seen.add(text)
            found.append(candidate)
            if len(found) == NEGATIVES:
                return found
    raise ValueError(
        f"{len(table.objects)} scenes: expected at least {NEGATIVES} different descriptions of "
        f"objects in other scenes, found {len(found)}"
    )


def _query(table: _Table, row: int, number: int, false: Sequence[Mapping[str, Any]]) -> RegionQuery:
    difficulty, item = table.difficulty(row), table.objects[row][number]
    x, y, width, height = table.boxes[row][number]
    return RegionQuery(
        row=row,
        object=number,
        box=(x, y, width, height),
        captions=tuple(describe(each, difficulty) for each in (item, *false)),
        swapped=tuple(
            tuple(name for name in difficulty.varying if each[name] != item[name])
            for each in (item, *false)
        ),
    )
