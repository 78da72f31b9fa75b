"""Which architecture a set of weights belongs to, read off the shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from bclip_core.backbone import CheckpointError, known_architectures
from bclip_core.backbone.architectures import architecture, towers
from bclip_core.backbone.unnamed import Sizes, architecture_of
from bclip_core.config import ConfigError

HEAD_WIDTH = 64  # channels a head in every CLIP that OpenAI released


class Shape(NamedTuple):
    """What the weights of a CLIP tell about its towers; the number of heads is not among it."""

    embed_dim: int
    vision_width: int
    vision_layers: int
    vision_hidden: int
    patch_size: int
    vision_positions: int
    text_width: int
    text_layers: int
    text_hidden: int
    vocabulary: int


def shape_of_weights(state: Mapping[str, Tensor]) -> Shape:
    """The shape of weights under open_clip's names.

    Raises:
        CheckpointError: one of the weights that tell is missing; it is named.
    """
    vision, text = "visual.transformer.resblocks.", "transformer.resblocks."

    def size(name: str, axis: int) -> int:
        if name not in state or state[name].ndim <= axis:
            found = list(state[name].shape) if name in state else "missing"
            raise CheckpointError(f"weight {name!r}: {found}: expected that of an open_clip ViT")
        return state[name].shape[axis]

    return Shape(
        embed_dim=size("text_projection", 1),
        vision_width=size("visual.conv1.weight", 0),
        vision_layers=_layers(state, vision),
        vision_hidden=size(f"{vision}0.mlp.c_fc.weight", 0),
        patch_size=size("visual.conv1.weight", 3),
        vision_positions=size("visual.positional_embedding", 0),
        text_width=size("ln_final.weight", 0),
        text_layers=_layers(state, text),
        text_hidden=size(f"{text}0.mlp.c_fc.weight", 0),
        vocabulary=size("token_embedding.weight", 0),
    )


def shape_of_architecture(name: str) -> Shape:
    """The shape of an architecture that `architectures.known_architectures` lists."""
    embed_dim, vision_values, text_values = architecture(name)
    vision, text = CLIPVisionCfg(**vision_values), CLIPTextCfg(**text_values)
    sides = vision.image_size if isinstance(vision.image_size, tuple) else (vision.image_size,) * 2
    return Shape(
        embed_dim=embed_dim,
        vision_width=vision.width,
        vision_layers=vision.layers,
        vision_hidden=int(vision.width * vision.mlp_ratio),
        patch_size=vision.patch_size,
        vision_positions=(sides[0] // vision.patch_size) * (sides[1] // vision.patch_size) + 1,
        text_width=text.width,
        text_layers=text.layers,
        text_hidden=int(text.width * text.mlp_ratio),
        vocabulary=text.vocab_size,
    )


def recognise(state: Mapping[str, Tensor], heads: tuple[int, int] | None = None) -> str:
    """The name of the architecture that weights under open_clip's names have.

    Shapes do not tell the number of heads. Where nobody states them, a known architecture of these
    shapes decides, and else CLIP's convention of 64 channels a head, by which the loaders of OpenAI
    and Long-CLIP go too; weights that fit neither need a name.

    Args:
        state: the weights.
        heads: of the image and the text tower, where something beside the weights states them.

    Raises:
        CheckpointError: no known architecture fits and heads of 64 channels do not either (the
            closest is shown, with what differs), or several fit that differ in their heads: name
            one of them then.
    """
    found = shape_of_weights(state)
    if heads is not None:
        return _named(found, heads)
    known = {name: shape_of_architecture(name) for name in known_architectures()}
    fitting = [name for name, shape in known.items() if shape == found]
    if not fitting:
        widths = found.vision_width, found.text_width
        if not any(width % HEAD_WIDTH for width in widths):
            return _named(found, (widths[0] // HEAD_WIDTH, widths[1] // HEAD_WIDTH))
        closest = min(known, key=lambda name: len(_differences(found, known[name])))
        raise CheckpointError(
            f"no known architecture has these shapes; closest is {closest}, but here "
            + ", ".join(_differences(found, known[closest]))
            + "; shapes do not tell the number of heads: say architecture=NAME, or lay the "
            "model's config.json beside the weights"
        )
    kinds = [towers(*architecture(name)) for name in fitting]
    if any(kind != kinds[0] for kind in kinds):
        raise CheckpointError(
            f"these shapes fit {', '.join(fitting)}, which differ in their heads: name one of them"
        )
    return fitting[0]


def require_shape(
    state: Mapping[str, Tensor], name: str, heads: tuple[int, int] | None = None
) -> None:
    """Refuse weights whose shapes are not those of the architecture that somebody named.

    Args:
        state: the weights.
        name: of the architecture.
        heads: as for `recognise`; a number that contradicts `name` is refused too.

    Raises:
        CheckpointError: what differs is shown.
    """
    differing = _differences(shape_of_weights(state), shape_of_architecture(name))
    if heads is not None and not differing:
        _, vision, text = towers(*architecture(name))
        named = vision.width // vision.head_width, text.heads
        if named != heads:
            raise CheckpointError(f"{name} has {named} heads in its towers, but here are {heads}")
    if not differing:
        return
    try:
        rather = f"; they are of {recognise(state, heads)}"
    except (CheckpointError, ConfigError):
        rather = ""
    raise CheckpointError(f"weights are not of {name}: here {', '.join(differing)}{rather}")


def name_of(embed_dim: int, vision: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    """The known architecture of these towers, if there is one."""
    wanted = towers(embed_dim, vision, text)
    for name in known_architectures():
        if towers(*architecture(name)) == wanted:
            return name
    return None


def _named(shape: Shape, heads: tuple[int, int]) -> str:
    """A known architecture of that shape and heads, else the name that spells them out."""
    side = math.isqrt(shape.vision_positions - 1) if shape.vision_positions > 1 else 0
    if side**2 + 1 != shape.vision_positions:
        raise CheckpointError(
            f"{shape.vision_positions} positions of the image tower: expected a square and one more"
        )
    sizes = Sizes(
        shape.embed_dim, shape.vision_width, shape.vision_layers, heads[0], shape.vision_hidden,
        shape.patch_size, side * shape.patch_size, shape.text_width, shape.text_layers, heads[1],
        shape.text_hidden, shape.vocabulary,
    )  # fmt: skip
    spelt_out = architecture_of(sizes.name)
    if spelt_out is None:
        raise CheckpointError(f"sizes {tuple(sizes)}: expected those of a CLIP, none so large")
    return name_of(*spelt_out) or sizes.name


def _differences(found: Shape, other: Shape) -> list[str]:
    pairs = zip(Shape._fields, found, other, strict=True)
    return [f"{field}={here}, not {there}" for field, here, there in pairs if here != there]


def _layers(state: Mapping[str, Tensor], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({match[1] for name in state if (match := pattern.match(name))})
