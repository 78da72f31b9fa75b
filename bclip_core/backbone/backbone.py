"""An open_clip ViT wrapped once: global and dense image embeddings, text without padding.

The wrapper owns no parameters of its own: `Backbone.clip` is a plain `open_clip.model.CLIP`, so
weights move in and out of open_clip unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from bclip_core.backbone.architectures import (
    SMALL_ARCHITECTURES,
    build_clip,
    check_activation,
    check_towers,
    known_architectures,
)
from bclip_core.backbone.attention import (
    after_attention,
    attend_once,
    attention_kernel,
    length_buckets,
    pass_overhead,
    residual_block,
)
from bclip_core.backbone.positions import KEPT_POSITIONS, stretch_positions
from bclip_core.config import BackboneConfig

__all__ = [
    "KEPT_POSITIONS", "SMALL_ARCHITECTURES", "Backbone", "attention_kernel", "create_backbone",
    "known_architectures", "stretch_positions",
]  # fmt: skip


class Backbone(nn.Module):
    """A CLIP whose image side also gives dense patches and whose text side skips padding.

    Embeddings are not normalised.

    Args:
        clip: an open_clip CLIP with two plain towers: a VisionTransformer pooled at its class
            token, and a causal text tower pooled at the end token.
        config: what it was built from.

    Attributes:
        clip: the wrapped model.
        config: as given.
        frozen_positions: so many first text positions get no gradient (Long-CLIP freezes 20);
            exclude positions from weight decay to keep them exactly.

    Raises:
        ValueError: the towers are of another kind.
        ConfigError: the activation is not the configuration's.
    """

    def __init__(self, clip: CLIP, config: BackboneConfig) -> None:
        super().__init__()
        check_towers(clip)
        check_activation(clip, config.quick_gelu)
        self.clip = clip
        self.config = config
        self.frozen_positions = 0
        self._checkpointing = False

    @property
    def dim(self) -> int:
        """D, the width of the joint embedding space."""
        return int(self.clip.visual.output_dim)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches; P = rows · columns, row-major."""
        rows, columns = self.clip.visual.grid_size
        return rows, columns

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        height, width = self.clip.visual.image_size
        return height, width

    @property
    def context_length(self) -> int:
        """The largest number of tokens of a text."""
        return len(self.clip.positional_embedding)

    @property
    def logit_scale(self) -> nn.Parameter:
        """Scalar parameter: the logarithm of the global loss's scale."""
        scale: nn.Parameter = self.clip.logit_scale
        return scale

    def set_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass instead of storing their activations."""
        self._checkpointing = enable

    def stretch_context(self, context_length: int) -> None:
        """Replace the text positions by a table of `context_length` rows.

        A longer table keeps the first `KEPT_POSITIONS` rows and stretches the rest by the smallest
        whole factor that suffices (248 from 77: exactly 4); a shorter one is cut. `config` follows.
        The parameter is a new one: build the optimiser afterwards.
        """
        clip, table = self.clip, self.clip.positional_embedding.detach()
        if context_length == len(table):
            return
        if context_length > len(table):
            factor = -(-(context_length - KEPT_POSITIONS) // (len(table) - KEPT_POSITIONS))
            table = stretch_positions(table, KEPT_POSITIONS, factor)
        clip.positional_embedding = nn.Parameter(table[:context_length].clone())
        clip.context_length = context_length
        clip.attn_mask = table.new_full((context_length, context_length), -torch.inf).triu_(1)
        self.config = self.config.replace(context_length=context_length)

    def _blocks(
        self, blocks: Iterable[nn.Module], tokens: Tensor, causal_mask: Tensor | None = None
    ) -> Tensor:
        for block in blocks:
            if self._checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(residual_block, block, tokens, causal_mask, use_reentrant=False)
            else:
                tokens = residual_block(block, tokens, causal_mask)
        return tokens

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Global and dense embeddings in one pass (β-CLIP's dense patches, after MaskCLIP).

        In the last block the class token attends as usual, while each patch keeps only its own
        value: v-projection, out-projection, residual, MLP. So patches stay local, and the global
        embedding is open_clip's own.

        Args:
            images: [B, 3, H, W], normalised with CLIP's mean and deviation.

        Returns:
            Global embeddings [B, D] and patch embeddings [B, P, D].
        """
        visual = self.clip.visual
        *blocks, last = visual.transformer.resblocks
        tokens = self._blocks(blocks, visual._embeds(images))
        normed = last.ln_1(tokens)
        attended, values = attend_once(last.attn, normed[:, 0], normed)
        mixed = torch.cat([attended[:, None], values[:, 1:]], dim=1)
        tokens = after_attention(last, tokens, last.attn.out_proj(mixed))
        embeddings = visual.ln_post(tokens) @ visual.proj
        return embeddings[:, 0], embeddings[:, 1:]

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Text embeddings at the end token, as open_clip's but without computing on padding.

        Attention is causal, so what follows the end token changes nothing: texts are grouped by
        length and cut, and in the last block only the end token is computed.

        Args:
            tokens: [U, L] ids, zeros after the end token, which is the highest id.

        Returns:
            [U, D].

        Raises:
            ValueError: L exceeds the number of positions.
        """
        if not len(tokens):
            return torch.zeros(0, self.dim, device=tokens.device)
        groups, place = self._length_groups(tokens)
        return torch.cat([self._encode_group(cut, ends) for cut, ends in groups])[place]

    def encode_words(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Text embeddings and those of every word, the text tower's output at each token.

        Args:
            tokens: as for `encode_text`, at least one text.

        Returns:
            The texts [U, D], as `encode_text` gives them; their words [U, L, D], projected alike
            and zero elsewhere; and which tokens are words [U, L] bool: neither start, end nor
            padding.

        Raises:
            ValueError: L exceeds the number of positions.
        """
        clip, width, parts = self.clip, tokens.shape[1], []
        groups, place = self._length_groups(tokens)
        for cut, _ in groups:
            length = cut.shape[1]
            mask = clip.attn_mask[:length, :length]
            hidden = self._blocks(clip.transformer.resblocks, self._embed_tokens(cut), mask)
            embedded = clip.ln_final(hidden) @ clip.text_projection
            parts.append(functional.pad(embedded, (0, 0, 0, width - length)))
        embedded, ends = torch.cat(parts)[place], tokens.argmax(dim=1)
        position = torch.arange(width, device=tokens.device)
        words = (position > 0) & (position < ends[:, None])
        text = embedded[torch.arange(len(tokens), device=tokens.device), ends]
        return text, embedded * words[..., None], words

    def _length_groups(self, tokens: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Texts of similar length, cut, with the places of their ends; and where each text went."""
        if tokens.ndim != 2 or tokens.shape[1] > self.context_length:
            raise ValueError(
                f"tokens {tuple(tokens.shape)}: expected [U, L] with L <= {self.context_length}, "
                "the number of text positions"
            )
        ends, order = tokens.argmax(dim=1).sort(descending=True, stable=True)
        lengths = (ends + 1).tolist()
        overhead = pass_overhead(self.clip.transformer.width, tokens.device)
        groups = [
            (tokens[order[rows], : lengths[rows.start]], ends[rows])
            for rows in length_buckets(lengths, overhead)
        ]
        return groups, order.argsort()

    def _embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token and position embeddings [U, L, W]; the first positions may be frozen."""
        table = self.clip.positional_embedding[: tokens.shape[1]]
        if self.frozen_positions:
            frozen = table[: self.frozen_positions].detach()
            table = torch.cat([frozen, table[self.frozen_positions :]])
        embedded: Tensor = self.clip.token_embedding(tokens) + table
        return embedded

    def _encode_group(self, tokens: Tensor, end: Tensor) -> Tensor:
        """Embeddings [U, D] of texts [U, L] that are read at the positions `end` [U]."""
        clip, length = self.clip, tokens.shape[1]
        *blocks, last = clip.transformer.resblocks
        mask = clip.attn_mask[:length, :length]
        hidden = self._blocks(blocks, self._embed_tokens(tokens), mask)
        rows = torch.arange(len(tokens), device=tokens.device)
        normed = last.ln_1(hidden)
        visible = torch.arange(length, device=tokens.device) <= end[:, None]
        attended, _ = attend_once(last.attn, normed[rows, end], normed, visible)
        hidden = after_attention(last, hidden[rows, end], last.attn.out_proj(attended))
        return clip.ln_final(hidden) @ clip.text_projection  # type: ignore[no-any-return]


def create_backbone(
    config: BackboneConfig, state_dict: Mapping[str, Tensor] | None = None
) -> Backbone:
    """Build a backbone: architecture, weights, activation and context length of `config`.

    Random weights are decided by `torch.manual_seed`.

    Args:
        config: see `BackboneConfig`.
        state_dict: weights under open_clip's names, instead of `config.pretrained`.

    Raises:
        ConfigError: unknown architecture or weights, or an activation that contradicts them.
    """
    backbone = Backbone(build_clip(config, state_dict), config)
    backbone.stretch_context(config.context_length)
    return backbone
