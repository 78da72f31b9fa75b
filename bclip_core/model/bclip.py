"""The model: a CLIP backbone, with a pooler and learnt heads where the method has them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bclip_core.backbone import Backbone
from bclip_core.config import TEXT_KINDS
from bclip_core.model.features import Features, Reading, TextBatch
from bclip_core.model.heads import Heads
from bclip_core.poolers import Pooler, cross_alike, cross_captions, cross_images, describe_pooler

MAX_LOG_SCALE = 4.6052  # ln 100: CLIP's bound on the temperature, for both scales


def text_identity(tokens: Tensor) -> Tensor:
    """A 64-bit polynomial hash of each row of token ids, [U, L] -> [U]; padding changes nothing."""
    powers = torch.full_like(tokens[0], 6364136223846793005).cumprod(0)  # int64, wraps around
    return (tokens * powers).sum(1)


def nesting(tokens: Tensor, index: Tensor) -> Tensor:
    """Which texts of an image contain one another: all tokens of one are among the other's.

    "heart", "green heart" and a sentence with both words are; "green heart" and "red heart" are
    not. Order and repetitions do not count. Start and end tokens are in every text alike.

    Args:
        tokens: distinct texts [U, L], padded with 0.
        index: their places, [B, K].

    Returns:
        [B, K, K] bool, symmetric and true of each text with itself. Of padded slots arbitrary.
    """
    known, place = torch.unique(tokens, return_inverse=True)
    has = torch.zeros(len(tokens), len(known), device=tokens.device)
    has.scatter_(1, place, 1.0)
    has[:, known == 0] = 0  # padding
    of_image = has[index]  # [B, K, V]
    with torch.autocast(tokens.device.type, enabled=False):  # counts have to be exact
        shared = of_image @ of_image.mT
    within = shared == of_image.sum(-1)[:, None]  # [b, k, l]: l's are among k's
    return within | within.mT


class BClip(nn.Module):
    """Backbone and, optionally, text-conditioned pooler and learnt heads.

    Args:
        backbone: encodes images and texts into the shared space of width D.
        pooler: turns patches and texts into text-conditioned image embeddings, or None.
        heads: scales, biases and calibration that the method's losses learn, or None.
        reading: what `forward` computes beside embeddings; training sets it, evaluation needs none.

    Attributes:
        origin: which released format the weights came in, "" for the collection's own.
    """

    def __init__(
        self,
        backbone: Backbone,
        pooler: Pooler | None = None,
        heads: Heads | None = None,
        reading: Reading | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooler: Pooler | None = pooler
        self.heads = heads
        self.reading = reading or Reading()
        self.origin = ""

    def describe(self) -> dict[str, Any]:
        """What the model is and what sets it apart from others, in plain values for reading."""
        pooler, heads = self.pooler, self.heads
        return {
            "origin": self.origin or "bclip",
            "parameters": sum(parameter.numel() for parameter in self.parameters()),
            **self.backbone.describe(),
            "pooler": None if pooler is None else describe_pooler(pooler.config),
            "learnt scalars": [] if heads is None else list(heads.names),
        }

    def forward(self, images: Tensor, texts: TextBatch) -> Features:
        """Encode a batch.

        Args:
            images: normalised pixels [B, 3, H, W].
            texts: the batch's texts; each distinct one is encoded once.

        Returns:
            `Features` of the B images and K texts per image.
        """
        image, patches = self.backbone.encode_image(images)
        text, extra = self._encode_texts(texts, patches)
        conditioned = pooler_scale = None
        identity = text_identity(texts.tokens)[texts.index]
        if self.pooler is not None:
            if self.reading.conditioned:
                conditioned, _ = self.pooler(patches, text)
            if self.pooler.logit_scale is not None:
                pooler_scale = self.pooler.logit_scale.exp()
            if self.reading.crossed:
                extra["crossed"], extra["reference"] = cross_images(
                    self.pooler, patches, text, texts.mask, seed=int(identity.sum()),
                    count=self.reading.cross_images, one_text=self.reading.crossed == "one",
                    reference=self.reading.reference,
                )  # fmt: skip
            if self.reading.crossed_alike:
                extra["crossed_alike"] = cross_alike(
                    identity, texts.mask, seed=int(identity.sum()), count=self.reading.cross_images
                )
            if self.reading.crossed_captions:
                extra["crossed_captions"] = cross_captions(self.pooler, patches, text[:, 0])
        if self.reading.nested:
            extra["nested"] = nesting(texts.tokens, texts.index)
        if self.reading.patches:
            extra["patches"] = patches
        if self.reading.kinds:
            kind = [TEXT_KINDS.index(name) for name in self.reading.kinds]
            extra["kind"] = torch.tensor(kind, device=text.device).expand(texts.mask.shape)
        if self.heads is not None:
            extra["learnt"] = self.heads.values()
        scale = self.backbone.logit_scale.exp()
        return Features(
            image, text, texts.mask, identity, conditioned, scale, pooler_scale, **extra
        )

    def _encode_texts(self, texts: TextBatch, patches: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Every text [B, K, D] and, where they are read, patch and word tokens of the captions.

        In a model with two text paths each text goes by its own length, so that no embedding
        depends on the other texts of the batch.
        """
        if not self.reading.tokens:
            return self.backbone.encode_text(texts.tokens, "each")[texts.index], {}
        captions = texts.tokens[texts.index[:, 0]]
        caption, words, mask = self.backbone.encode_words(captions, "each")
        if self.heads is not None and self.heads.calibrate_patches is not None:
            assert self.heads.calibrate_words is not None
            words, patches = (
                self.heads.calibrate_words(words, mask),
                self.heads.calibrate_patches(patches),
            )
            mask = mask.new_ones(words.shape[:2])
        distinct, place = torch.unique(texts.index[:, 1:], return_inverse=True)
        others = self.backbone.encode_text(texts.tokens[distinct], "each")[place]
        text = torch.cat([caption[:, None], others], dim=1)
        return text, {"patch_tokens": patches, "word_tokens": words, "word_mask": mask}

    @torch.no_grad()
    def clamp_scales(self) -> None:
        """Keep every learnt scale in [1, 100], as CLIP does after every update."""
        for name, parameter in self.named_parameters():
            if name.endswith(("logit_scale", "_scale")) and not parameter.ndim:
                parameter.clamp_(0, MAX_LOG_SCALE)
