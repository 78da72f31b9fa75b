"""Architectures that have no name of their own: a name that spells their sizes out.

Released weights come in shapes that no list has, and tests in tiny ones. Such a shape is written
into the name, so that a checkpoint's header, a run's configuration and an export carry it like any
other: `vit-d512-v768x12h12m3072p16s224-t512x12h8m2048n49408` is ViT-B-16.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from bclip_core.config import ConfigError

LARGEST = 1_500_000_000  # parameters of an architecture that nobody has named; ViT-L has 0.4e9
_PATTERN = re.compile(
    r"vit-d(\d{1,5})-v(\d{1,5})x(\d{1,3})h(\d{1,3})m(\d{1,6})p(\d{1,4})s(\d{1,4})"
    r"-t(\d{1,5})x(\d{1,3})h(\d{1,3})m(\d{1,6})n(\d{1,7})"
)


class Sizes(NamedTuple):
    """Everything that decides a plain CLIP's computation but positions and activation."""

    dim: int
    vision_width: int
    vision_layers: int
    vision_heads: int
    vision_hidden: int
    patch_size: int
    image_size: int
    text_width: int
    text_layers: int
    text_heads: int
    text_hidden: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        """About how many, from below: matrices and embeddings alone."""
        towers = (
            (self.vision_width, self.vision_layers, self.vision_hidden),
            (self.text_width, self.text_layers, self.text_hidden),
        )
        blocks = sum(layers * (4 * width**2 + 2 * width * m) for width, layers, m in towers)
        pixels = self.vision_width * (
            3 * self.patch_size**2 + (self.image_size // self.patch_size) ** 2
        )
        joint = self.dim * (self.vision_width + self.text_width)
        return blocks + pixels + joint + self.vocabulary * self.text_width

    @property
    def name(self) -> str:
        """The name that `architecture_of` reads."""
        return (
            f"vit-d{self.dim}-v{self.vision_width}x{self.vision_layers}h{self.vision_heads}"
            f"m{self.vision_hidden}p{self.patch_size}s{self.image_size}-t{self.text_width}"
            f"x{self.text_layers}h{self.text_heads}m{self.text_hidden}n{self.vocabulary}"
        )


def architecture_of(name: str) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
    """D and the arguments of both towers that a spelt-out name stands for; None for other names.

    Raises:
        ConfigError: sizes that make no model, or one too large to be built unseen.
    """
    match = _PATTERN.fullmatch(name)
    if match is None:
        return None
    sizes = Sizes(*map(int, match.groups()))
    problem = _problem(sizes)
    if problem:
        raise ConfigError(f"name={name!r}: {problem}")
    vision = {
        "image_size": sizes.image_size,
        "patch_size": sizes.patch_size,
        "width": sizes.vision_width,
        "layers": sizes.vision_layers,
        "head_width": sizes.vision_width // sizes.vision_heads,
        "mlp_ratio": _ratio(sizes.vision_hidden, sizes.vision_width),
    }
    text = {
        "width": sizes.text_width,
        "layers": sizes.text_layers,
        "heads": sizes.text_heads,
        "mlp_ratio": _ratio(sizes.text_hidden, sizes.text_width),
        "vocab_size": sizes.vocabulary,
    }
    return sizes.dim, vision, text


def _problem(sizes: Sizes) -> str:
    """What is wrong with sizes, if anything."""
    for tower, width, heads in (
        ("image", sizes.vision_width, sizes.vision_heads),
        ("text", sizes.text_width, sizes.text_heads),
    ):
        if not heads or width % heads:
            return f"{heads} heads: expected a number that divides the {tower} tower's {width}"
    if 0 in sizes:
        return f"{Sizes._fields[sizes.index(0)]}=0: expected a positive number"
    if sizes.image_size % sizes.patch_size:
        return f"image_size={sizes.image_size}: expected a multiple of {sizes.patch_size}"
    if sizes.parameters > LARGEST:
        return f"{sizes.parameters:,} parameters: expected at most {LARGEST:,}"
    return ""


def _ratio(hidden: int, width: int) -> float:
    """A ratio of which open_clip's `int(width * ratio)` gives `hidden` again."""
    return float(hidden // width) if hidden % width == 0 else (hidden + 0.5) / width
