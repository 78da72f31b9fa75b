"""Weights as the authors of β-CLIP released them, under open_clip's names.

Their vision tower is timm's, their text tower keeps queries, keys and values apart, and the text
positions are two tables: a frozen one for the first positions and a trained one for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from bclip_core.backbone import KEPT_POSITIONS
from bclip_core.checkpoints.layout import Layout

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
_FROZEN, _TRAINED = "positional_embedding", "positional_embedding_res"


def is_beta_clip(state: Mapping[str, Tensor]) -> bool:
    """Whether weights carry the names of β-CLIP's authors."""
    return "visual.cls_token" in state


def released_layout(state: Mapping[str, Tensor]) -> Layout:
    """A checkpoint of β-CLIP's authors (github.com/fzohra/B-CLIP).

    QuickGELU, the file's number of text positions, of which the first are frozen as the authors
    do, and, where the file has one, the pooler of 8 heads.
    """
    weights, pooler = released_to_open_clip(state)
    frozen = KEPT_POSITIONS if _TRAINED in state else 0
    return Layout(
        "β-CLIP", weights, quick_gelu=True, frozen_positions=frozen, pooler=pooler,
        pooler_prefix=POOLER_PREFIX,
    )  # fmt: skip


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
    _join_positions(state)
    clip = {_open_clip_name(name): value for name, value in state.items()}
    for name in ("visual.class_embedding", "visual.positional_embedding"):
        if name in clip:
            clip[name] = clip[name].flatten(0, -2).squeeze(0)
    return clip, pooler


def _join_projections(state: dict[str, Tensor]) -> None:
    """Replace the text tower's three projections of each block by the joint one, in place."""
    for name in list(state):
        if match := _QUERY.match(name):
            block, kind = match.groups()
            names = [f"{block}{part}_proj.{kind}" for part in "qkv"]
            if all(part in state and state[part].shape == state[name].shape for part in names):
                state[f"{block}in_proj_{kind}"] = torch.cat([state.pop(part) for part in names])


def _join_positions(state: dict[str, Tensor]) -> None:
    """Replace the two tables of text positions by the one that they amount to, in place."""
    if _FROZEN in state and _TRAINED in state and state[_FROZEN].shape == state[_TRAINED].shape:
        trained = state.pop(_TRAINED)
        state[_FROZEN] = torch.cat([state[_FROZEN][:KEPT_POSITIONS], trained[KEPT_POSITIONS:]])


def _open_clip_name(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name
