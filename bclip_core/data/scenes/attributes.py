"""What a scene is made of: attribute values, difficulties, and the records of a scene.

Lengths are fractions of the picture's side, so a scene is independent of the picture size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Part of every cache key: raise it when pictures or texts of a given seed change.
SCENES_VERSION: Final = 4

SPLITS: Final = ("train", "validation", "test")
ATTRIBUTES: Final = ("size", "pattern", "colour", "shape", "border")

COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "red": (222, 28, 32),
    "green": (28, 160, 52),
    "blue": (36, 74, 226),
    "yellow": (250, 226, 36),
    "purple": (138, 40, 178),
    "orange": (250, 132, 12),
    "pink": (255, 150, 200),
    "cyan": (60, 222, 232),
    "white": (250, 250, 250),
    "black": (8, 8, 8),
}
BACKGROUND_COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "grey": (128, 128, 128),
    "brown": (126, 104, 84),
    "slate": (88, 108, 124),
}


@dataclass(frozen=True)
class Difficulty:
    """One named setting of the generator; a single-valued attribute is never spoken of.

    Attributes:
        objects: smallest and largest number of objects of a scene.
        radii: nominal radius of each size, as a fraction of the picture's side.
        synonyms: at most so many words for one value (1: always the same word).
    """

    name: str
    objects: tuple[int, int]
    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    radii: Mapping[str, float]
    patterns: tuple[str, ...]
    borders: tuple[str, ...]
    backgrounds: tuple[str, ...]
    synonyms: int

    def values(self, attribute: str) -> tuple[str, ...]:
        """The values that `attribute` takes here.

        Raises:
            ValueError: `attribute` is not one of `ATTRIBUTES`.
        """
        if attribute not in ATTRIBUTES:
            raise ValueError(f"attribute={attribute!r}: expected one of {', '.join(ATTRIBUTES)}")
        by_name = {
            "size": tuple(self.radii),
            "pattern": self.patterns,
            "colour": self.colours,
            "shape": self.shapes,
            "border": self.borders,
        }
        return by_name[attribute]

    @property
    def varying(self) -> tuple[str, ...]:
        """The attributes with more than one value: those that texts name."""
        return tuple(name for name in ATTRIBUTES if len(self.values(name)) > 1)


_SIX_SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
_SIX_COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
_LARGE_RADII = {"small": 0.095, "medium": 0.145, "large": 0.215}
_PATTERNS = ("solid", "striped", "dotted", "checkered")

DIFFICULTIES: Final[Mapping[str, Difficulty]] = {
    "simple": Difficulty(
        name="simple",
        objects=(2, 4),
        shapes=_SIX_SHAPES,
        colours=_SIX_COLOURS,
        radii=_LARGE_RADII,
        patterns=("solid",),
        borders=("none", "white", "black", "pink", "cyan"),
        backgrounds=("plain", "shaded", "speckled"),
        synonyms=2,
    ),
    "patterned": Difficulty(
        name="patterned",
        objects=(2, 4),
        shapes=_SIX_SHAPES,
        colours=_SIX_COLOURS,
        radii=_LARGE_RADII,
        patterns=_PATTERNS,
        borders=("none",),
        backgrounds=("plain", "shaded", "speckled"),
        synonyms=2,
    ),
    "full": Difficulty(
        name="full",
        objects=(2, 6),
        shapes=(*_SIX_SHAPES, "diamond", "ring", "crescent", "arrow"),
        colours=(*_SIX_COLOURS, "pink", "cyan"),
        radii={"small": 0.09, "medium": 0.13, "large": 0.185},
        patterns=_PATTERNS,
        borders=("none", "white", "black"),
        backgrounds=("plain", "shaded", "speckled", "striped", "gridded", "checkered"),
        synonyms=3,
    ),
}


def get_difficulty(name: str) -> Difficulty:
    """The difficulty called `name`.

    Raises:
        ValueError: unknown name; the message lists the known ones.
    """
    if name not in DIFFICULTIES:
        raise ValueError(f"difficulty={name!r}: expected one of {', '.join(DIFFICULTIES)}")
    return DIFFICULTIES[name]


@dataclass(frozen=True)
class SceneObject:
    """One object. Centre (x, y), from the upper left, and radius in sides; angle in radians."""

    shape: str
    colour: str
    size: str
    pattern: str
    border: str
    x: float
    y: float
    radius: float
    angle: float

    def value(self, attribute: str) -> str:
        """The value of one of `ATTRIBUTES`."""
        return getattr(self, attribute)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Background:
    """Texture and colour; angle in radians, phase in [0, 1), noise_seed for the speckles."""

    texture: str
    colour: str
    angle: float
    phase: float
    noise_seed: int

    @property
    def name(self) -> str:
        """The words for it, such as "plain grey"."""
        return f"{self.texture} {self.colour}"


@dataclass(frozen=True)
class Scene:
    """One picture's exact description; objects in drawing order, later ones in front."""

    difficulty: Difficulty
    seed: int
    split: str
    index: int
    objects: tuple[SceneObject, ...]
    background: Background
