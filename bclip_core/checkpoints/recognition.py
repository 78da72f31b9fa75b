"""Which architecture a set of weights belongs to, read off the shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from bclip_core.backbone import CheckpointError, known_architectures
from bclip_core.backbone.architectures import architecture, towers


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


def recognise(state: Mapping[str, Tensor]) -> str:
    """The name of the architecture that weights under open_clip's names have.

    Raises:
        CheckpointError: none fits (the closest is shown, with what differs), or several do that
            differ in their heads: name one of them then.
    """
    found = shape_of_weights(state)
    known = {name: shape_of_architecture(name) for name in known_architectures()}
    fitting = [name for name, shape in known.items() if shape == found]
    if not fitting:
        closest = min(known, key=lambda name: len(_differences(found, known[name])))
        raise CheckpointError(
            f"no known architecture has these shapes; closest is {closest}, but here "
            + ", ".join(_differences(found, known[closest]))
        )
    kinds = [towers(*architecture(name)) for name in fitting]
    if any(kind != kinds[0] for kind in kinds):
        raise CheckpointError(
            f"these shapes fit {', '.join(fitting)}, which differ in their heads: name one of them"
        )
    return fitting[0]


def _differences(found: Shape, other: Shape) -> list[str]:
    pairs = zip(Shape._fields, found, other, strict=True)
    return [f"{field}={here}, not {there}" for field, here, there in pairs if here != there]


def _layers(state: Mapping[str, Tensor], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({match[1] for name in state if (match := pattern.match(name))})
