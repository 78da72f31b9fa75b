"""An open_clip CLIP, wrapped once: towers, positions, tokenizer."""

from bclip_core.backbone.architectures import (
    SMALL_ARCHITECTURES,
    known_architectures,
)
from bclip_core.backbone.attention import (
    attention_kernel,
)
from bclip_core.backbone.backbone import (
    Backbone,
    create_backbone,
)
from bclip_core.backbone.loading import (
    CheckpointError,
    load_exactly,
)
from bclip_core.backbone.positions import (
    KEPT_POSITIONS,
    stretch_positions,
)
from bclip_core.backbone.tokenizer import (
    Tokenizer,
)

__all__ = [
    "Backbone",
    "CheckpointError",
    "KEPT_POSITIONS",
    "SMALL_ARCHITECTURES",
    "Tokenizer",
    "attention_kernel",
    "create_backbone",
    "known_architectures",
    "load_exactly",
    "stretch_positions",
]
