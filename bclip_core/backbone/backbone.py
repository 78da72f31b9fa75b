"""An open_clip ViT wrapped once: global and dense image embeddings, text without padding.

The wrapper owns no parameters of its own: `Backbone.clip` is a plain `open_clip.model.CLIP`, so
weights move in and out of open_clip unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from open_clip.model import CLIP, resize_pos_embed
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from bclip_core.backbone.architectures import (
    SMALL_ARCHITECTURES,
    architecture,
    at_size,
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
from bclip_core.backbone.description import describe
from bclip_core.backbone.packed import pack, run_packed
from bclip_core.backbone.patches import value_only_block
from bclip_core.backbone.positions import KEPT_POSITIONS, stretch_positions
from bclip_core.backbone.preprocessing import renormalise
from bclip_core.backbone.text_paths import ShortPath, TextPath, take_short
from bclip_core.backbone.token_table import look_up
from bclip_core.config import BackboneConfig, ConfigError

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
        config: as given; what released models differ in is here.
        short: positions and projection of short texts where the model has them (FG-CLIP), or None.
        text_path: which way texts go in a model that has two, see `text_paths.take_short`; it is
            not stored, because it belongs to how a model is asked.
        packed: whether `encode_text` lays texts end to end instead of grouping them by length: the
            same embeddings but for rounding, see `packed`.

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
        self.short: ShortPath | None = None
        if config.short_context:
            self.short = ShortPath(config.short_context, *clip.text_projection.shape)
        self.text_path = "auto"
        self.packed = False
        self._checkpointing = False

    @property
    def frozen_positions(self) -> int:
        """So many first text positions get no gradient (Long-CLIP freezes 20).

        Exclude positions from weight decay to keep them exactly. Part of the configuration, so
        that checkpoints keep it.
        """
        return self.config.frozen_positions

    @frozen_positions.setter
    def frozen_positions(self, count: int) -> None:
        self.config = self.config.replace(frozen_positions=count)

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

        Raises:
            ConfigError: another length for a model with a path of its own for short texts.
        """
        clip, table = self.clip, self.clip.positional_embedding.detach()
        if context_length == len(table):
            return
        if self.short is not None:
            raise ConfigError(
                f"context_length={context_length}: expected {len(table)}, as these weights have "
                f"two text paths, for up to {self.config.short_context} ids and for more"
            )
        if context_length > len(table):
            factor = -(-(context_length - KEPT_POSITIONS) // (len(table) - KEPT_POSITIONS))
            table = stretch_positions(table, KEPT_POSITIONS, factor)
        clip.positional_embedding = nn.Parameter(table[:context_length].clone())
        clip.context_length = context_length
        clip.attn_mask = table.new_full((context_length, context_length), -torch.inf).triu_(1)
        frozen = min(self.frozen_positions, context_length)
        self.config = self.config.replace(context_length=context_length, frozen_positions=frozen)

    def resize_images(self, image_size: int) -> None:
        """Read pictures of another size: the image tower's positions are interpolated (bicubic).

        The usual last stage of training; also how weights of 224 pixels read 336. `config` follows.
        The parameter is a new one: build the optimiser afterwards.

        Args:
            image_size: pixels a side, a multiple of the patches'.

        Raises:
            ConfigError: not a multiple.
        """
        visual, name = self.clip.visual, at_size(self.config.name, image_size)
        pixels = architecture(name)[1]["image_size"]
        rows, columns = (pixels // side for side in visual.patch_size)
        visual.image_size, visual.grid_size = (pixels, pixels), (rows, columns)
        table = {"visual.positional_embedding": visual.positional_embedding.detach()}
        resize_pos_embed(table, self.clip)
        visual.positional_embedding = nn.Parameter(table["visual.positional_embedding"].clone())
        self.config = self.config.replace(name=name)

    def _blocks(
        self, blocks: Iterable[nn.Module], tokens: Tensor, causal_mask: Tensor | None = None
    ) -> Tensor:
        for block in blocks:
            tokens = self._run(residual_block, block, tokens, causal_mask)
        return tokens

    def _run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """A block's function of its arguments, now or, checkpointed, also in the backward pass."""
        if self._checkpointing and torch.is_grad_enabled():
            again: Tensor = checkpoint(function, *arguments, use_reentrant=False)
            return again
        return function(*arguments)

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Global and dense embeddings in one pass.

        The class token always attends as usual, so the global embedding is open_clip's own. What
        patches do in the last block `config.patches` says: "value" (β-CLIP's and FG-CLIP's, after
        MaskCLIP) keeps only each patch's own value: v-projection, out-projection, residual, MLP, so
        that patches stay local; with "attention" (FLAIR) they attend like the class token. The
        final norm and the projection follow for all.

        Args:
            images: [B, 3, H, W], normalised with CLIP's mean and deviation; a model that was
                trained with others converts them itself.

        Returns:
            Global embeddings [B, D] and patch embeddings [B, P, D].
        """
        visual = self.clip.visual
        images = renormalise(images, self.config)
        *blocks, last = visual.transformer.resblocks
        if self.config.patches == "attention":
            tokens = self._blocks([*blocks, last], visual._embeds(images))
            attending: Tensor = visual.ln_post(tokens) @ visual.proj
            return attending[:, 0], attending[:, 1:]
        tokens = self._blocks(blocks, visual._embeds(images))
        embeddings = visual.ln_post(self._run(value_only_block, last, tokens)) @ visual.proj
        return embeddings[:, 0], embeddings[:, 1:]

    def encode_text(self, tokens: Tensor, path: str = "") -> Tensor:
        """Text embeddings at the end token, as open_clip's but without computing on padding.

        Attention is causal, so what follows the end token changes nothing: texts are grouped by
        length and cut, and in the last block only the end token is computed.

        Args:
            tokens: [U, L] ids, zeros after the end token, which is the highest id.
            path: which way they go in a model with two; "": `text_path`.

        Returns:
            [U, D].

        Raises:
            ValueError: L exceeds the number of positions.
        """
        if not len(tokens):
            return torch.zeros(0, self.dim, device=tokens.device)
        if self.packed:
            return self._encode_packed(tokens, path)
        groups, place = self._length_groups(tokens, path)
        looked_up = look_up(self.clip.token_embedding.weight, [cut for cut, _, _ in groups])
        parts = [
            self._encode_group(hidden, end, way)
            for hidden, (_, end, way) in zip(looked_up, groups, strict=True)
        ]
        return torch.cat(parts)[place]

    def encode_words(self, tokens: Tensor, path: str = "") -> tuple[Tensor, Tensor, Tensor]:
        """Text embeddings and those of every word, the text tower's output at each token.

        Args:
            tokens: as for `encode_text`, at least one text.
            path: as for `encode_text`.

        Returns:
            The texts [U, D], as `encode_text` gives them; their words [U, L, D], projected alike
            and zero elsewhere; and which tokens are words [U, L] bool: neither start, end nor
            padding.

        Raises:
            ValueError: L exceeds the number of positions.
        """
        clip, width, parts = self.clip, tokens.shape[1], []
        groups, place = self._length_groups(tokens, path)
        for cut, _, way in groups:
            length = cut.shape[1]
            mask = clip.attn_mask[:length, :length]
            embedded = self._embed_tokens(cut, way.positions)
            hidden = self._blocks(clip.transformer.resblocks, embedded, mask)
            embedded = clip.ln_final(hidden) @ way.projection
            parts.append(functional.pad(embedded, (0, 0, 0, width - length)))
        embedded, ends = torch.cat(parts)[place], tokens.argmax(dim=1)
        position = torch.arange(width, device=tokens.device)
        words = (position > 0) & (position < ends[:, None])
        text = embedded[torch.arange(len(tokens), device=tokens.device), ends]
        return text, embedded * words[..., None], words

    def _length_groups(
        self, tokens: Tensor, path: str
    ) -> tuple[list[tuple[Tensor, Tensor, TextPath]], Tensor]:
        """Texts of one path and similar length, cut, with the places of their ends and their path.

        Beside it, where each text went.
        """
        ends = self._ends(tokens)
        groups, orders = [], []
        for rows, way in self._paths(tokens, ends, path):
            sorted_ends, order = ends[rows].sort(descending=True, stable=True)
            order, lengths = rows[order], (sorted_ends + 1).tolist()
            overhead = pass_overhead(self.clip.transformer.width, tokens.device)
            groups += [
                (tokens[order[part], : lengths[part.start]], sorted_ends[part], way)
                for part in length_buckets(lengths, overhead)
            ]
            orders.append(order)
        return groups, torch.cat(orders).argsort()

    def _ends(self, tokens: Tensor) -> Tensor:
        """Places of the end tokens [U] of texts [U, L], whose shape is checked."""
        if tokens.ndim != 2 or tokens.shape[1] > self.context_length:
            raise ValueError(
                f"tokens {tuple(tokens.shape)}: expected [U, L] with L <= {self.context_length}, "
                "the number of text positions"
            )
        return tokens.argmax(dim=1)

    def _paths(self, tokens: Tensor, ends: Tensor, path: str) -> list[tuple[Tensor, TextPath]]:
        """The rows of `tokens` that go each way; ways that nobody goes are left out."""
        own = TextPath(self.clip.positional_embedding, self.clip.text_projection)
        rows = torch.arange(len(tokens), device=tokens.device)
        if self.short is None:
            return [(rows, own)]
        limit, choice = self.config.short_context, path or self.text_path
        short, other = take_short(choice, tokens.shape[1], ends, limit), self.short.path()
        if choice == "box":
            other = TextPath(other.positions, own.projection)
        ways = [(rows[short], other), (rows[~short], own)]
        return [(chosen, way) for chosen, way in ways if len(chosen)]

    def _embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Token and position embeddings [U, L, W]; the first positions may be frozen."""
        embedded: Tensor = self.clip.token_embedding(tokens)
        return embedded + self._partly_frozen(positions[: tokens.shape[1]])

    def _partly_frozen(self, table: Tensor) -> Tensor:
        """The first rows of a table of positions [L, W], those that get no gradient cut off."""
        if not self.frozen_positions:
            return table
        frozen = table[: self.frozen_positions].detach()
        return torch.cat([frozen, table[self.frozen_positions :]])

    def _encode_packed(self, tokens: Tensor, path: str) -> Tensor:
        """As `encode_text`, with the texts of each path laid end to end."""
        clip, ends, parts, orders = self.clip, self._ends(tokens), [], []
        for rows, way in self._paths(tokens, ends, path):
            packing = pack(tokens[rows], ends[rows])
            places = functional.embedding(packing.positions, self._partly_frozen(way.positions))
            hidden = clip.token_embedding(packing.ids) + places
            ended = run_packed(clip.transformer.resblocks, hidden, packing, self._run)
            parts.append(clip.ln_final(ended) @ way.projection)
            orders.append(rows[packing.order])
        return torch.cat(parts)[torch.cat(orders).argsort()]

    def _encode_group(self, tokens: Tensor, end: Tensor, way: TextPath) -> Tensor:
        """Embeddings [U, D] of tokens [U, L, W] that go one way, read at positions `end` [U]."""
        clip, (count, length) = self.clip, tokens.shape[:2]
        *blocks, last = clip.transformer.resblocks
        mask = clip.attn_mask[:length, :length]
        placed = tokens + self._partly_frozen(way.positions[:length])
        hidden = self._blocks(blocks, placed, mask)
        rows = torch.arange(count, device=tokens.device)
        normed = last.ln_1(hidden)
        visible = torch.arange(length, device=tokens.device) <= end[:, None]
        attended, _ = attend_once(last.attn, normed[rows, end], normed, visible)
        hidden = after_attention(last, hidden[rows, end], last.attn.out_proj(attended))
        return clip.ln_final(hidden) @ way.projection  # type: ignore[no-any-return]

    def describe(self) -> dict[str, Any]:
        """What it is, in plain values: sizes, activation, patches, texts, preprocessing."""
        return describe(self.clip, self.config)


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
