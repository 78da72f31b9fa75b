"""What flows through the model: the texts of a batch in, features for the losses out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bclip_core.config import TEXT_KINDS


class TextBatch(NamedTuple):
    """The texts of a batch, each distinct text stored once.

    Attributes:
        tokens: token ids of the U distinct texts, zero-padded, [U, L] int64.
        index: which row of `tokens` is text k of image b, [B, K] int64; 0 where padded.
        mask: whether text k of image b exists, [B, K] bool.
    """

    tokens: Tensor
    index: Tensor  # type: ignore[assignment]  # a tuple's method of that name is not needed
    mask: Tensor

    def to(self, device: torch.device | str) -> TextBatch:
        """The same batch on another device."""
        return TextBatch(*(part.to(device, non_blocking=True) for part in self))


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
        crossed_alike: which of those M images have the text themselves, [B, K, M] bool.
        crossed_captions: cosines of all captions with all images pooled under them, [B, 2, B], see
            `poolers.cross_captions`.
        reference: mean of those M images' conditioned embeddings, [B, K, D].
        nested: which texts of an image contain one another, see `nesting`, [B, K, K] bool.

    Always there:
        learnt: the scalars that the terms declare, by name; a `..._scale` is the multiplier itself.
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
    crossed_alike: Tensor | None = None
    crossed_captions: Tensor | None = None
    reference: Tensor | None = None
    nested: Tensor | None = None
    learnt: Mapping[str, Tensor] = MappingProxyType({})
    ranks: int = 1

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that is there, by name; the learnt scalars as "learnt.NAME"."""
        fields = {name: x for name, x in self._asdict().items() if isinstance(x, Tensor)}
        return fields | {f"learnt.{name}": value for name, value in self.learnt.items()}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Features:
        """The same with other tensors, named as `tensors` does; it needs all of `learnt`."""
        fields: dict[str, Any] = {name: x for name, x in tensors.items() if "." not in name}
        learnt = {name: tensors[f"learnt.{name}"] for name in self.learnt}
        return self._replace(**fields, learnt=learnt)

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
        conditioned: each image pooled with each of its texts, where there is a pooler.
        patches: the dense patches.
        tokens: patch and word tokens.
        crossed: other images pooled with a text: "" none, "all" texts, or "one" text per image.
        cross_images: how many other images; 0: all of the batch.
        crossed_alike: which of them have the text themselves.
        crossed_captions: all images of the batch pooled with all captions.
        reference: the mean of what they give.
        nested: which texts of an image contain one another.
    """

    kinds: tuple[str, ...] = ()
    conditioned: bool = True
    patches: bool = False
    tokens: bool = False
    crossed: str = ""
    cross_images: int = 0
    crossed_alike: bool = False
    crossed_captions: bool = False
    reference: bool = False
    nested: bool = False
