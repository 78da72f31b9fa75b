"""Sampling of scenes: attributes, places with bounded overlap, background."""

from __future__ import annotations

import math

from bclip_core.data.scenes.attributes import (
    BACKGROUND_COLOURS,
    SPLITS,
    Background,
    Difficulty,
    Scene,
    SceneObject,
)
from bclip_core.data.scenes.draws import Draws
from bclip_core.data.scenes.shapes import BORDER_WIDTH, SHAPES

MARGIN = 0.01  # free space between an object and the frame
SEPARATION = 0.95  # least distance of two centres, in units of the sum of their radii (and borders)
MAX_TURN = math.radians(12)  # small, so that a square never looks like a diamond
RADIUS_JITTER = 0.04
_TRIES_PER_OBJECT = 60
_RESTARTS = 20  # before one object fewer is tried
_MAX_RESTARTS = 2000

_LAYOUT_STREAM = 0


def sample_scene(difficulty: Difficulty, seed: int, split: str, index: int) -> Scene:
    """Scene number `index` of a split: a function of its arguments alone.

    Raises:
        ValueError: unknown split, or a negative seed or index.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed={seed}, index={index}: expected non-negative integers")
    draws = Draws(seed, SPLITS.index(split), index, _LAYOUT_STREAM)
    objects = _place(_sample_attributes(difficulty, draws), difficulty, draws)
    background = Background(
        texture=draws.pick(difficulty.backgrounds),
        colour=draws.pick(tuple(BACKGROUND_COLOURS)),
        angle=draws.uniform(0, 2 * math.pi),
        phase=draws.uniform(),
        noise_seed=draws.integer(0, 2**31 - 1),
    )
    return Scene(difficulty, seed, split, index, tuple(objects), background)


def sample_scenes(
    difficulty: Difficulty, seed: int, split: str, start: int, stop: int
) -> list[Scene]:
    """Scenes `start` .. `stop - 1` of a split."""
    return [sample_scene(difficulty, seed, split, index) for index in range(start, stop)]


def _sample_attributes(difficulty: Difficulty, draws: Draws) -> list[dict[str, str]]:
    """Attribute values of each object; no two objects are equal in all of them."""
    chosen: list[dict[str, str]] = []
    names = ("shape", "colour", "size", "pattern", "border")
    for _ in range(draws.integer(*difficulty.objects)):
        values = {name: draws.pick(difficulty.values(name)) for name in names}
        while values in chosen:
            values = {name: draws.pick(difficulty.values(name)) for name in names}
        chosen.append(values)
    return chosen


def _place(
    attributes: list[dict[str, str]], difficulty: Difficulty, draws: Draws
) -> list[SceneObject]:
    """Rejection sampling of places.

    Large objects first, which fails least; when all restarts fail, the last object is left out.
    """
    order = sorted(attributes, key=lambda values: -difficulty.radii[values["size"]])
    for number in range(_MAX_RESTARTS):
        placed = _try_places(order, difficulty, draws)
        if placed is not None:
            return draws.shuffled(placed)
        if number % _RESTARTS == _RESTARTS - 1 and len(order) > difficulty.objects[0]:
            order = order[:-1]
    raise RuntimeError(f"difficulty {difficulty.name!r}: {len(order)} objects found no room")


def _try_places(
    attributes: list[dict[str, str]], difficulty: Difficulty, draws: Draws
) -> list[SceneObject] | None:
    placed: list[SceneObject] = []
    taken: list[tuple[float, float, float]] = []  # x, y, radius with border
    for values in attributes:
        radius = difficulty.radii[values["size"]]
        radius *= draws.uniform(1 - RADIUS_JITTER, 1 + RADIUS_JITTER)
        angle = draws.uniform(-MAX_TURN, MAX_TURN)
        border = 0.0 if values["border"] == "none" else BORDER_WIDTH / 2
        edge = radius * SHAPES[values["shape"]].extent + border + MARGIN
        reach = radius + border
        for _ in range(_TRIES_PER_OBJECT):
            x, y = draws.uniform(edge, 1 - edge), draws.uniform(edge, 1 - edge)
            for u, v, other in taken:
                if math.hypot(x - u, y - v) < SEPARATION * (reach + other):
                    break
            else:
                taken.append((x, y, reach))
                placed.append(SceneObject(**values, x=x, y=y, radius=radius, angle=angle))
                break
        else:
            return None
    return placed
