"""The model: a CLIP backbone, with a pooler and learnt heads where the method has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bclip_core.backbone import Backbone
from bclip_core.config import TEXT_KINDS
from bclip_core.crossing import cross_images
from bclip_core.data.batches import TextBatch
from bclip_core.heads import Heads

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

    The rest is there where the method reads it (`Reading`), else None:
        kind: what each text is, [B, K] int64 places in `TEXT_KINDS`.
        patches: [B, P, D].
        patch_tokens: patches or, where the method calibrates, fewer tokens made of them, [B, T, D].
        word_tokens: the same of the caption's words, [B, T', D].
        word_mask: which word tokens exist, [B, T'] bool.
        crossed: cosine of text k of image b with M other images pooled under it, [B, K, M]; or of
            one text of b, [B, 1, M].
        reference: mean of those M images' conditioned embeddings, [B, K, D].
        cross_scale, cross_bias, word_scale, subcaption_scale, sigmoid_bias: learnt scalars.

    Always there:
        ranks: how many processes hold these very features, see `distributed.gather_features`.
    """

    image: Tensor
    text: Tensor
    mask: Tensor
    identity: Tensor
    conditioned: Tensor | None
    logit_scale: Tensor
    pooler_logit_scale: Tensor | None
    kind: Tensor | None = None
    patches: Tensor | None = None
    patch_tokens: Tensor | None = None
    word_tokens: Tensor | None = None
    word_mask: Tensor | None = None
    crossed: Tensor | None = None
    reference: Tensor | None = None
    cross_scale: Tensor | None = None
    cross_bias: Tensor | None = None
    word_scale: Tensor | None = None
    subcaption_scale: Tensor | None = None
    sigmoid_bias: Tensor | None = None
    ranks: int = 1

    def where(self, *kinds: str) -> Tensor:
        """Which texts exist and are of these kinds, [B, K] bool; every text where none is told."""
        if self.kind is None:
            return self.mask
        numbers = [TEXT_KINDS.index(kind) for kind in kinds]
        return self.mask & torch.isin(self.kind, torch.tensor(numbers, device=self.kind.device))


@dataclass(frozen=True)
class Reading:
    """What the losses of a method read beside embeddings; decides what a forward pass computes.

    Attributes:
        kinds: what the K slots of a batch hold, see `TextConfig.kinds`; empty: not told.
        patches: the dense patches.
        tokens: patch and word tokens.
        crossed: other images pooled with a text: "" none, "all" texts, or "one" text per image.
        cross_images: how many other images; 0: all of the batch.
        reference: the mean of what they give.
    """

    kinds: tuple[str, ...] = ()
    patches: bool = False
    tokens: bool = False
    crossed: str = ""
    cross_images: int = 0
    reference: bool = False


def text_identity(tokens: Tensor) -> Tensor:
    """A 64-bit polynomial hash of each row of token ids, [U, L] -> [U]; padding changes nothing."""
    powers = torch.full_like(tokens[0], 6364136223846793005).cumprod(0)  # int64, wraps around
    return (tokens * powers).sum(1)


class BClip(nn.Module):
    """Backbone and, optionally, text-conditioned pooler and learnt heads.

    Args:
        backbone: encodes images and texts into the shared space of width D.
        pooler: turns patches and texts into text-conditioned image embeddings, or None. Any of
            `pooler_kinds`.
        heads: scales, biases and calibration that the method's losses learn, or None.
        reading: what `forward` computes beside embeddings; training sets it, evaluation needs none.
    """

    def __init__(
        self,
        backbone: Backbone,
        pooler: Any = None,
        heads: Heads | None = None,
        reading: Reading | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooler = pooler
        self.heads = heads
        self.reading = reading or Reading()

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
            conditioned, _ = self.pooler(patches, text)
            if self.pooler.logit_scale is not None:
                pooler_scale = self.pooler.logit_scale.exp()
            if self.reading.crossed:
                extra["crossed"], extra["reference"] = cross_images(
                    self.pooler, patches, text, texts.mask, seed=int(identity.sum()),
                    count=self.reading.cross_images, one_text=self.reading.crossed == "one",
                    reference=self.reading.reference,
                )  # fmt: skip
        if self.reading.patches:
            extra["patches"] = patches
        if self.reading.kinds:
            kind = [TEXT_KINDS.index(name) for name in self.reading.kinds]
            extra["kind"] = torch.tensor(kind, device=text.device).expand(texts.mask.shape)
        if self.heads is not None:
            extra |= self.heads.values()
        scale = self.backbone.logit_scale.exp()
        return Features(
            image, text, texts.mask, identity, conditioned, scale, pooler_scale, **extra
        )

    def _encode_texts(self, texts: TextBatch, patches: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Every text [B, K, D] and, where they are read, patch and word tokens of the captions."""
        if not self.reading.tokens:
            return self.backbone.encode_text(texts.tokens)[texts.index], {}
        captions = texts.tokens[texts.index[:, 0]]
        caption, words, mask = self.backbone.encode_words(captions)
        if self.heads is not None and self.heads.calibrate_patches is not None:
            assert self.heads.calibrate_words is not None
            words, patches = (
                self.heads.calibrate_words(words, mask),
                self.heads.calibrate_patches(patches),
            )
            mask = mask.new_ones(words.shape[:2])
        distinct, place = torch.unique(texts.index[:, 1:], return_inverse=True)
        others = self.backbone.encode_text(texts.tokens[distinct])[place]
        text = torch.cat([caption[:, None], others], dim=1)
        return text, {"patch_tokens": patches, "word_tokens": words, "word_mask": mask}

    @torch.no_grad()
    def clamp_scales(self) -> None:
        """Keep every learnt scale in [1, 100], as CLIP does after every update."""
        for name, parameter in self.named_parameters():
            if name.endswith(("logit_scale", "_scale")) and not parameter.ndim:
                parameter.clamp_(0, MAX_LOG_SCALE)
