"""What a backbone is, in plain values that a reader and a JSON understand."""

from __future__ import annotations

from typing import Any

from open_clip.model import CLIP

from bclip_core.backbone.preprocessing import statistics
from bclip_core.config import BackboneConfig

_PATCHES = {
    "value": "each patch's own value in the last block (MaskCLIP)",
    "attention": "attending in every block, after the final norm",
}
_RESIZES = {
    "crop": "shorter side to the size (bicubic), centre crop",
    "squash": "both sides to the size (bicubic), aspect ratio lost",
}


def describe(clip: CLIP, config: BackboneConfig) -> dict[str, Any]:
    """Sizes, activation, patches, texts, preprocessing of a wrapped CLIP."""
    visual, (mean, std) = clip.visual, statistics(config)
    text: dict[str, Any] = {
        "layers": len(clip.transformer.resblocks),
        "width": clip.transformer.width,
        "heads": clip.transformer.resblocks[0].attn.num_heads,
        "positions": len(clip.positional_embedding),
        "frozen positions": config.frozen_positions,
    }
    if config.short_context:
        text["short path"] = (
            f"texts of at most {config.short_context} ids have positions and a projection of "
            "their own"
        )
    return {
        "architecture": config.name,
        "activation": "QuickGELU" if config.quick_gelu else "GELU",
        "image tower": {
            "pixels": list(visual.image_size),
            "patches": visual.grid_size[0] * visual.grid_size[1],
            "layers": len(visual.transformer.resblocks),
            "width": visual.conv1.out_channels,
            "heads": visual.transformer.resblocks[0].attn.num_heads,
            "patch embeddings": _PATCHES[config.patches],
        },
        "text tower": text,
        "joint width": int(visual.output_dim),
        "preprocessing": {
            "resize": _RESIZES[config.resize],
            "mean": list(mean),
            "std": list(std),
        },
        "tokenizer": {
            "kind": "CLIP's byte pairs",
            "context": len(clip.positional_embedding),
            "vocabulary": clip.token_embedding.num_embeddings,
        },
    }
