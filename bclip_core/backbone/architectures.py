"""Which CLIP can be built: small ones for the procedural scenes and open_clip's plain ViTs."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from bclip_core.backbone.loading import CheckpointError, load_exactly, refuse_unfit
from bclip_core.backbone.unnamed import architecture_of
from bclip_core.config import BackboneConfig, ConfigError

Architecture = tuple[int, dict[str, Any], dict[str, Any]]
LARGEST_PICTURE = 2048  # pixels a side: at patches of 16 a table of 16,384 positions

SMALL_ARCHITECTURES: dict[str, Architecture] = {
    "scene-tiny": (
        64,
        {"image_size": 64, "patch_size": 8, "width": 64, "layers": 2, "head_width": 16},
        {"width": 64, "layers": 2, "heads": 4},
    ),
    "scene-small": (
        128,
        {"image_size": 64, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32},
        {"width": 128, "layers": 3, "heads": 4},
    ),
    "scene-base": (
        256,
        {"image_size": 96, "patch_size": 8, "width": 256, "layers": 6, "head_width": 32},
        {"width": 192, "layers": 4, "heads": 6},
    ),
}
"""Name -> (D, arguments of `CLIPVisionCfg`, arguments of `CLIPTextCfg`); CLIP's vocabulary."""

# What a configuration of open_clip may set; anything else changes a tower's computation.
_PLAIN_KEYS = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
PLAIN_VISION = {
    "image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size", "ls_init_value",
    "patch_dropout",
}  # fmt: skip
PLAIN_TEXT = {
    "context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "ls_init_value",
}  # fmt: skip


def _is_plain_vit(config: Mapping[str, Any]) -> bool:
    vision, text = config["vision_cfg"], config["text_cfg"]
    return (
        set(config) <= _PLAIN_KEYS
        and set(vision) <= PLAIN_VISION
        and set(text) <= PLAIN_TEXT
        and isinstance(vision["layers"], int)
        and not vision.get("patch_dropout")
    )


@functools.cache
def known_architectures() -> tuple[str, ...]:
    """Names that `create_backbone` accepts: the small ones, then open_clip's plain ViTs."""
    plain = [n for n in open_clip.list_models() if _is_plain_vit(open_clip.get_model_config(n))]
    return (*SMALL_ARCHITECTURES, *plain)


def split_size(name: str) -> tuple[str, int]:
    """An architecture's name and the pixels a side that stand behind it; 0 where none do.

    `ViT-B-16@336` is ViT-B-16 that reads pictures of 336 × 336 pixels.
    """
    plain, separator, pixels = name.rpartition("@")
    return (plain, int(pixels)) if separator and pixels.isdecimal() else (name, 0)


def at_size(name: str, image_size: int) -> str:
    """The name of an architecture that reads pictures of so many pixels a side."""
    plain = split_size(name)[0]
    return plain if architecture(plain)[1]["image_size"] == image_size else f"{plain}@{image_size}"


def architecture(name: str) -> Architecture:
    """D and the arguments of both towers of a known architecture, or of one spelt out.

    Args:
        name: of `known_architectures`, or spelt out; with "@PIXELS" behind it for another size of
            pictures than its own, a multiple of its patches.

    Raises:
        ConfigError: an unknown name (the message lists the known ones, close matches first), or a
            size that does not divide into patches.
    """
    plain, size = split_size(name)
    if size:
        embed_dim, vision, text = architecture(plain)
        patch = vision["patch_size"]
        if size % patch or not 0 < size <= LARGEST_PICTURE:
            raise ConfigError(
                f"name={name!r}: expected a multiple of {patch} pixels, the side of a patch, of at "
                f"most {LARGEST_PICTURE}"
            )
        return embed_dim, {**vision, "image_size": size}, text
    spelt_out = architecture_of(name)
    if spelt_out is not None:
        return spelt_out
    known = known_architectures()
    if name in SMALL_ARCHITECTURES:
        return SMALL_ARCHITECTURES[name]
    if name in known:
        config = open_clip.get_model_config(name)
        return config["embed_dim"], config["vision_cfg"], config["text_cfg"]
    close = difflib.get_close_matches(name, known, n=3)
    ordered = [*close, *(other for other in known if other not in close)]
    reason = "an architecture with open_clip's plain VisionTransformer (class token) and causal "
    raise ConfigError(f"name={name!r}: expected {reason}text tower: one of {', '.join(ordered)}")


def towers(
    embed_dim: int, vision: Mapping[str, Any], text: Mapping[str, Any]
) -> tuple[int, CLIPVisionCfg, CLIPTextCfg]:
    """What tells architectures apart: everything but the number of text positions."""
    return embed_dim, CLIPVisionCfg(**vision), CLIPTextCfg(**{**text, "context_length": 0})


def _check_tag(config: BackboneConfig) -> None:
    name = split_size(config.name)[0]
    tags = open_clip.list_pretrained_tags_by_model(name)
    if config.pretrained not in tags:
        raise ConfigError(
            f"pretrained={config.pretrained!r} (name={name!r}): expected '', 'scenes', a "
            f"local file or one of open_clip's tags: {', '.join(tags) or 'none for this name'}"
        )
    trained = open_clip.get_pretrained_cfg(name, config.pretrained)
    needed = bool(trained.get("quick_gelu", False))
    if needed != config.quick_gelu:
        raise ConfigError(
            f"quick_gelu={config.quick_gelu}: expected {needed}, the activation that the weights "
            f"{config.pretrained!r} of {name!r} were trained with"
        )


def build_clip(config: BackboneConfig, state_dict: Mapping[str, Tensor] | None = None) -> CLIP:
    """The open_clip model of a configuration, with the positions that its weights have.

    Args:
        config: architecture, activation and source of the weights. With random weights the text
            tower has `config.context_length` positions; with others, those of the weights.
        state_dict: weights under open_clip's names, instead of `config.pretrained`.

    Raises:
        ConfigError: unknown architecture or weights, or an activation that contradicts them.
        CheckpointError: the weights do not fit the architecture; names and both shapes are listed.
    """
    embed_dim, vision, text = architecture(config.name)
    if split_size(config.name)[0].endswith("-quickgelu") and not config.quick_gelu:
        raise ConfigError(f"quick_gelu=False: expected True for name={config.name!r}")
    if state_dict is None and (config.pretrained == "scenes" or Path(config.pretrained).is_file()):
        raise ConfigError(
            f"pretrained={config.pretrained!r}: expected '' or an open_clip tag here; files and "
            "the shipped model are loaded by checkpoints.open_model and train.create_model"
        )
    if state_dict is None and config.pretrained:
        _check_tag(config)
        return _fetched(config)
    given = (state_dict or {}).get("positional_embedding")
    positions = config.context_length if given is None else len(given)
    config = config.replace(context_length=positions, frozen_positions=0, short_context=0)

    def make() -> CLIP:
        return CLIP(
            embed_dim,
            CLIPVisionCfg(**vision),
            CLIPTextCfg(**{**text, "context_length": config.context_length}),
            quick_gelu=config.quick_gelu,
        )

    if state_dict is None:
        return make()
    source = config.pretrained or "weights"
    refuse_unfit(make, state_dict, source)
    clip = make()
    load_exactly(clip, state_dict, source)
    return clip


def _fetched(config: BackboneConfig) -> CLIP:
    """The model of one of open_clip's tags, whose weights it downloads once."""
    try:
        name, side = split_size(config.name)
        fetched: CLIP = open_clip.create_model(
            name,
            pretrained=config.pretrained,
            force_quick_gelu=config.quick_gelu,
            force_image_size=side or None,  # resizes the positions
        )
    except (OSError, RuntimeError, ImportError) as error:  # clients and versions differ
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"pretrained={config.pretrained!r} (name={config.name!r}): the weights cannot be "
            f"fetched: {reason[:300]}; without internet give the path of their file instead"
        ) from error
    return fetched


def check_towers(clip: nn.Module) -> None:
    """Refuse a model whose towers `Backbone` would not compute exactly.

    Raises:
        ValueError: not an open_clip CLIP with two plain towers.
    """
    visual = getattr(clip, "visual", None)
    blocks = [*visual.transformer.resblocks] if isinstance(visual, VisionTransformer) else []
    if isinstance(clip, CLIP):
        blocks += clip.transformer.resblocks
    plain = (
        isinstance(clip, CLIP)
        and isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and isinstance(visual.patch_dropout, nn.Identity)
        and all(type(block) is ResidualAttentionBlock for block in blocks)
        and clip.attn_mask is not None
        and clip.text_pool_type == "argmax"
        and isinstance(clip.text_projection, nn.Parameter)
    )
    if not plain:
        raise ValueError(
            f"clip={type(clip).__name__} with visual={type(visual).__name__}: expected an "
            "open_clip CLIP with a plain VisionTransformer (class token, no attention pooling, no "
            "patch dropout) and a causal text tower pooled at the end token; such are "
            + ", ".join(known_architectures())
        )


def check_activation(clip: CLIP, quick_gelu: bool) -> None:
    """Refuse a model whose activation is not the one that its configuration records.

    Raises:
        ConfigError: QuickGELU where GELU was configured, or the reverse.
    """
    for block in (*clip.visual.transformer.resblocks, *clip.transformer.resblocks):
        built = isinstance(block.mlp.gelu, QuickGELU)
        if built != quick_gelu:
            raise ConfigError(f"quick_gelu={quick_gelu}: expected {built}, the model's activation")
