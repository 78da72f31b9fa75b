"""The model: a CLIP backbone, and a pooler where the method has one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bclip_core.backbone import Backbone
from bclip_core.data.batches import TextBatch
from bclip_core.poolers import TextConditionedPooler

MAX_LOG_SCALE = 4.6052  # ln 100: CLIP's bound on the temperature, for both scales


class Features(NamedTuple):
    """What a step's losses may read. Embeddings are not normalised; losses do that.

    Attributes:
        image: global image embedding (class token), [B, D].
        text: embedding of every text, [B, K, D]; caption first; arbitrary where padded.
        mask: which texts exist, [B, K] bool.
        identity: a number of each text, [B, K] int64; equal numbers are equal texts, on any rank.
        conditioned: each image pooled with each of its own texts, [B, K, D], or None.
        logit_scale: multiplier of the global similarity, scalar.
        pooler_logit_scale: multiplier of the conditioned similarity, scalar, or None.
    """

    image: Tensor
    text: Tensor
    mask: Tensor
    identity: Tensor
    conditioned: Tensor | None
    logit_scale: Tensor
    pooler_logit_scale: Tensor | None


def text_identity(tokens: Tensor) -> Tensor:
    """A 64-bit polynomial hash of each row of token ids, [U, L] -> [U]; padding changes nothing."""
    powers = torch.full_like(tokens[0], 6364136223846793005).cumprod(0)  # int64, wraps around
    return (tokens * powers).sum(1)


class BClip(nn.Module):
    """Backbone and, optionally, text-conditioned pooler.

    Args:
        backbone: encodes images and texts into the shared space of width D.
        pooler: turns patches and texts into text-conditioned image embeddings, or None.
    """

    def __init__(self, backbone: Backbone, pooler: TextConditionedPooler | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooler = pooler

    def forward(self, images: Tensor, texts: TextBatch) -> Features:
        """Encode a batch.

        Args:
            images: normalised pixels [B, 3, H, W].
            texts: the batch's texts; each distinct one is encoded once.

        Returns:
            `Features` of the B images and K texts per image.
        """
        image, patches = self.backbone.encode_image(images)
        text = self.backbone.encode_text(texts.tokens)[texts.index]
        conditioned = pooler_scale = None
        if self.pooler is not None:
            conditioned, _ = self.pooler(patches, text)
            pooler_scale = self.pooler.logit_scale.exp()
        scale = self.backbone.logit_scale.exp()
        identity = text_identity(texts.tokens)[texts.index]
        return Features(image, text, texts.mask, identity, conditioned, scale, pooler_scale)

    @torch.no_grad()
    def clamp_scales(self) -> None:
        """Keep both learnt scales in [1, 100], as CLIP does after every update."""
        self.backbone.logit_scale.clamp_(0, MAX_LOG_SCALE)
        if self.pooler is not None:
            self.pooler.logit_scale.clamp_(0, MAX_LOG_SCALE)
