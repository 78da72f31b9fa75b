"""Dense patches: what the patches of the image tower do in its last block.

β-CLIP and FG-CLIP, after MaskCLIP, let each patch keep its own value alone, so that it stays local;
FLAIR's attend like the class token.
"""

from __future__ import annotations

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from bclip_core.backbone.attention import after_attention, attend_once


def value_only_block(block: ResidualAttentionBlock, tokens: Tensor) -> Tensor:
    """The last block where patches do not attend; the class token, the first, does as usual.

    Args:
        block: of the image tower.
        tokens: [B, 1 + P, W], class token and patches.

    Returns:
        [B, 1 + P, W]: of each patch its value by v- and out-projection, residual, MLP.
    """
    normed = block.ln_1(tokens)
    attended, values = attend_once(block.attn, normed[:, 0], normed)
    mixed = torch.cat([attended[:, None], values[:, 1:]], dim=1)
    return after_attention(block, tokens, block.attn.out_proj(mixed))
