"""Weights as the authors of β-CLIP released them, under open_clip's names.

Their vision tower is timm's, their text tower keeps queries, keys and values apart, and the text
positions are two tables: a frozen one for the first positions and a trained one for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from bclip_core.positions import KEPT_POSITIONS

POOLER_PREFIX = "text_conditioned_patches_block."

_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^image_projection$", "visual.proj"),
        (r"^visual\.cls_token$", "visual.class_embedding"),
        (r"^visual\.pos_embed$", "visual.positional_embedding"),
        (r"^visual\.patch_embed\.proj\.", "visual.conv1."),
        (r"^visual\.norm_pre\.", "visual.ln_pre."),
        (r"^visual\.norm\.", "visual.ln_post."),
        (r"^visual\.blocks\.", "visual.transformer.resblocks."),
        (r"(resblocks\.\d+)\.norm([12])\.", r"\1.ln_\2."),
        (r"(resblocks\.\d+)\.attn\.qkv\.", r"\1.attn.in_proj_"),
        (r"(resblocks\.\d+)\.attn\.proj\.", r"\1.attn.out_proj."),
        (r"(resblocks\.\d+)\.mlp\.fc1\.", r"\1.mlp.c_fc."),
        (r"(resblocks\.\d+)\.mlp\.fc2\.", r"\1.mlp.c_proj."),
    )
)
_QUERY = re.compile(r"^(transformer\.resblocks\.\d+\.attn\.)q_proj\.(weight|bias)$")


def _open_clip_name(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name


def _join_projections(state: dict[str, Tensor]) -> None:
    """Replace the text tower's three projections of each block by the joint one, in place."""
    for name in list(state):
        if match := _QUERY.match(name):
            block, kind = match.groups()
            parts = [state.pop(f"{block}{part}_proj.{kind}") for part in "qkv"]
            state[f"{block}in_proj_{kind}"] = torch.cat(parts)


def released_to_open_clip(
    state_dict: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Translate a released state dict.

    Args:
        state_dict: the authors' names, with or without the prefix "module." of distributed
            training.

    Returns:
        The weights of an `open_clip.model.CLIP` and those of a `TextConditionedPooler`; the second
        is empty when there is no pooler. Load both strictly: names that are not known here are
        passed on unchanged, so that loading names them.
    """
    state = {name.removeprefix("module."): value for name, value in state_dict.items()}
    pooler = {
        name.removeprefix(POOLER_PREFIX): state.pop(name)
        for name in list(state)
        if name.startswith(POOLER_PREFIX)
    }
    _join_projections(state)
    trained = state.pop("positional_embedding_res", None)
    if trained is not None:
        frozen = state["positional_embedding"][:KEPT_POSITIONS]
        state["positional_embedding"] = torch.cat([frozen, trained[KEPT_POSITIONS:]])
    clip = {_open_clip_name(name): value for name, value in state.items()}
    for name in ("visual.class_embedding", "visual.positional_embedding"):
        if name in clip:
            clip[name] = clip[name].flatten(0, -2).squeeze(0)
    return clip, pooler
