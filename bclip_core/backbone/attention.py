"""Pieces of a transformer's forward pass that both towers share, and the choice of its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# One more pass through a text tower takes as long as so many token positions, times the square of
# the tower's width: a position gets dearer with the width, a pass does not. On the CPU measured at
# width 128 (256 positions; one core, bf16); on GPUs estimated (a launch of 5 µs per kernel at
# 400 TFLOP/s), not measured.
_PASS_OVERHEAD = {"cpu": 256 * 128**2}
_GPU_PASS_OVERHEAD = 4096 * 512**2


def attention_kernel(
    device: torch.device | str, precision: str, chosen: str = "default"
) -> AbstractContextManager[None]:
    """The attention kernels to train with: not fused for bf16 on a CPU, not cuDNN's on a GPU.

    On a CPU the fused kernel's backward pass is so slow in bf16 that it costs what bf16 gains; and
    its own products are not those that "bf16-products" makes faster. cuDNN's kernel, torch's first
    choice on an H200, makes a plan for every new shape, and texts come in ever new shapes: a step
    that took 0.1 s the second time took 0.6 to 2 s the first (ViT-B/16, 64 images, fp16).
    The returned context serves one `with` statement.

    Args:
        device: where the model runs.
        precision: "fp32", "bf16", "fp16" or "bf16-products".
        chosen: on a CPU "fused" or "explicit", whatever the precision.
    """
    if chosen == "fused":
        return nullcontext()
    if chosen == "explicit":
        return sdpa_kernel(SDPBackend.MATH)
    if torch.device(device).type == "cpu" and precision in ("bf16", "bf16-products"):
        return sdpa_kernel(SDPBackend.MATH)
    if torch.device(device).type == "cuda":
        return sdpa_kernel(
            [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        )
    return nullcontext()


def pass_overhead(width: int, device: torch.device | str) -> float:
    """The overhead of one pass through a text tower of that width, in token positions."""
    return _PASS_OVERHEAD.get(torch.device(device).type, _GPU_PASS_OVERHEAD) / width**2


def length_buckets(lengths: Sequence[int], overhead: float) -> list[slice]:
    """Split texts sorted by length, longest first, into groups that are cheap to encode.

    A group costs its rows times its longest text, and the overhead of one more pass; the split is
    the cheapest of all.

    Args:
        lengths: numbers of tokens, not increasing.
        overhead: of a pass, counted in token positions, see `pass_overhead`.

    Returns:
        Consecutive slices that cover all texts.
    """
    starts = [row for row, length in enumerate(lengths) if not row or length < lengths[row - 1]]
    ends = [*starts[1:], len(lengths)]
    cheapest, previous = [0.0], list[int]()  # over the first so many lengths; where the last begins
    for end in ends:
        costs = [
            cheapest[number] + (end - start) * lengths[start] + overhead
            for number, start in enumerate(starts[: len(cheapest)])
        ]
        best = min(range(len(costs)), key=costs.__getitem__)
        cheapest.append(costs[best])
        previous.append(best)
    buckets, last = list[slice](), len(starts)
    while last:
        buckets.append(slice(starts[previous[last - 1]], ends[last - 1]))
        last = previous[last - 1]
    return buckets[::-1]


def residual_block(
    block: ResidualAttentionBlock, tokens: Tensor, causal_mask: Tensor | None
) -> Tensor:
    """One residual block; told that the mask is causal, attention may skip the masked half."""
    normed = block.ln_1(tokens)
    causal = causal_mask is not None
    attended, _ = block.attn(
        normed, normed, normed, need_weights=False, attn_mask=causal_mask, is_causal=causal
    )
    return after_attention(block, tokens, attended)


def after_attention(block: ResidualAttentionBlock, tokens: Tensor, attended: Tensor) -> Tensor:
    """The residual and the MLP of a block, for attention that is already projected."""
    tokens = tokens + block.ls_1(attended)
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))  # type: ignore[no-any-return]


def attend_once(
    attn: nn.MultiheadAttention, query: Tensor, tokens: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention of a single query [B, W] over tokens [B, L, W]; mask [B, L], True where visible.

    Returns the attended values [B, W] and all values [B, L, W], neither output-projected yet.
    """
    width, weight, bias = attn.embed_dim, attn.in_proj_weight, attn.in_proj_bias
    joint = F.linear(tokens, weight[width:], bias[width:])
    q = F.linear(query, weight[:width], bias[:width]).view(len(query), attn.num_heads, 1, -1)
    k, v = joint.view(*tokens.shape[:2], 2, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    visible = None if mask is None else mask[:, None, None]
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
    return attended.flatten(1), joint[..., width:]
