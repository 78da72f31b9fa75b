"""All texts of a batch as one row of tokens: linear layers see them together, attention each apart.

Groups of one length (`attention.length_buckets`) make a matrix product of a few rows per group and
layer, and one gradient of every weight per group. Packed, each layer has one product over all
tokens, none is padding, and the table of tokens is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from bclip_core.backbone.attention import after_attention


class Packing(NamedTuple):
    """Texts sorted by length and laid end to end.

    Attributes:
        order: which text comes at each place, [U].
        ids: of the tokens, up to each text's end token, [T].
        positions: of the tokens in their text, [T].
        ends: places of the end tokens, [U].
        runs: (texts, tokens of each) for texts of one length, in order.
    """

    order: Tensor
    ids: Tensor
    positions: Tensor
    ends: Tensor
    runs: tuple[tuple[int, int], ...]


def pack(tokens: Tensor, ends: Tensor) -> Packing:
    """Lay texts [U, L], which end at `ends` [U], end to end without what follows their ends."""
    lengths, order = (ends + 1).sort(descending=True, stable=True)
    place = torch.arange(tokens.shape[1], device=tokens.device)
    used = place < lengths[:, None]
    unique = torch.unique_consecutive(lengths, return_counts=True)
    different, counts = unique
    runs = tuple(zip(counts.tolist(), different.tolist(), strict=True))
    positions = place.expand(used.shape)[used]
    return Packing(order, tokens[order][used], positions, lengths.cumsum(0) - 1, runs)


def packed_block(
    block: ResidualAttentionBlock, tokens: Tensor, runs: Sequence[tuple[int, int]]
) -> Tensor:
    """One residual block over packed texts [T, W], each of which attends causally to itself."""
    attn = block.attn
    joint = F.linear(block.ln_1(tokens), attn.in_proj_weight, attn.in_proj_bias)
    attended = []
    for part in _split(joint, runs, 3, attn.num_heads):
        query, key, value = part.unbind(2)
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended.append(found.transpose(1, 2))
    joined = torch.cat([part.flatten(0, 1) for part in attended]).flatten(1)
    return after_attention(block, tokens, attn.out_proj(joined))


def last_block(
    block: ResidualAttentionBlock, tokens: Tensor, ends: Tensor, runs: Sequence[tuple[int, int]]
) -> Tensor:
    """The last block for the end tokens alone, [T, W] -> [U, W]."""
    attn, width = block.attn, block.attn.embed_dim
    normed, weight, bias = block.ln_1(tokens), attn.in_proj_weight, attn.in_proj_bias
    queries = F.linear(normed[ends], weight[:width], bias[:width])
    joint = F.linear(normed, weight[width:], bias[width:])
    asked = queries.view(len(ends), attn.num_heads, 1, -1).split_with_sizes([n for n, _ in runs])
    read = _split(joint, runs, 2, attn.num_heads)
    attended = []
    for query, part in zip(asked, read, strict=True):
        key, value = part.unbind(2)
        attended.append(F.scaled_dot_product_attention(query, key, value).flatten(1))
    return after_attention(block, tokens[ends], attn.out_proj(torch.cat(attended)))


def _split(
    joint: Tensor, runs: Sequence[tuple[int, int]], parts: int, heads: int
) -> Iterator[Tensor]:
    """Of each run the joined queries, keys, values, [texts, heads, parts, L, d]."""
    pieces = joint.split_with_sizes([texts * length for texts, length in runs])
    for piece, (texts, length) in zip(pieces, runs, strict=True):
        yield piece.view(texts, length, parts, heads, -1).permute(0, 3, 2, 1, 4)


def run_packed(
    blocks: Sequence[ResidualAttentionBlock],
    tokens: Tensor,
    packing: Packing,
    run: Callable[..., Tensor],
) -> Tensor:
    """Embedded tokens [T, W] through all blocks; the end tokens [U, W] in the packing's order.

    Args:
        blocks: of a causal text tower.
        tokens: with their positions.
        packing: of the same tokens.
        run: calls a block's function with its arguments, now or again in the backward pass.
    """
    *others, last = blocks
    for block in others:
        tokens = run(packed_block, block, tokens, packing.runs)
    return last_block(last, tokens, packing.ends, packing.runs)
