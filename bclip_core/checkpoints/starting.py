"""The model that a training starts from: any weights that are read, with fresh pooler and heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bclip_core.backbone import Backbone
from bclip_core.backbone.architectures import split_size
from bclip_core.checkpoints.opening import is_tag, open_model
from bclip_core.checkpoints.own import build_model, equip, own_weights, refuse_mismatch
from bclip_core.config import BackboneConfig
from bclip_core.model import BClip, Parts, Reading


def start_model(parts: Parts, reading: Reading, seed: int, decided: Sequence[str] = ()) -> BClip:
    """Pretrained weights, positions stretched, fresh pooler and heads.

    What sets weights apart (kind of patches, text paths, frozen positions, preprocessing) stays
    with them; the parts have to name it, so that a configuration is the record of what was trained.

    Args:
        parts: what the model is made of; its backbone names the weights.
        reading: what a training forward pass computes.
        seed: decides the draw of all that is fresh.
        decided: fields of the backbone that may differ from the weights'; of these the kind of
            patches is taken over from `parts`: they are the same weights.

    Raises:
        ConfigError: an unknown backbone, or heads that do not divide the width.
        CheckpointError: the weights do not fit the parts.
    """
    torch.manual_seed(seed)
    asked, source = parts.backbone, parts.backbone.pretrained
    if not source or is_tag(source):
        model = build_model(*parts)
        model.reading = reading
        return model
    ours = own_weights(source) is not None  # these state their architecture themselves
    backbone = _open_at_size(asked, ours)
    refuse_mismatch(backbone.config, asked, source, but=("context_length", *decided))
    backbone.config = backbone.config.replace(patches=asked.patches)
    backbone.stretch_context(asked.context_length)
    if not ours:  # ours remember what they once started from
        backbone.config = backbone.config.replace(pretrained=source)
    if asked.frozen_positions:
        backbone.frozen_positions = asked.frozen_positions
    torch.manual_seed(seed)
    return equip(BClip(backbone, reading=reading), parts.pooler, parts.heads)


def _open_at_size(asked: BackboneConfig, ours: bool) -> Backbone:
    """The weights' backbone, which reads pictures of the size that a name with "@" asks for."""
    name, size = split_size(asked.name)
    expected = "" if size and ours else name
    backbone = open_model(
        asked.pretrained, architecture=expected, quick_gelu=asked.quick_gelu
    ).backbone
    if size and split_size(backbone.config.name)[0] == name:
        backbone.resize_images(size)
    return backbone
