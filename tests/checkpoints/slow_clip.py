"""A CLIP computed slowly from a dictionary of weights, head by head, and weights of any seed."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Sizes(NamedTuple):
    vision: int  # width
    text: int
    heads: tuple[int, int]  # of the vision and the text tower
    dim: int
    layers: tuple[int, int]
    side: int  # patches of a side
    patch: int
    vocabulary: int
    context: int


def draw(sizes: Sizes, seed: int) -> dict[str, Tensor]:
    """Weights under OpenAI's names, large enough for activations and tables to matter."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(shape, generator=generator)

    def matrix(rows: int, columns: int) -> Tensor:
        return normal(rows, columns, scale=1.6 / math.sqrt(columns))

    def norm(width: int) -> tuple[Tensor, Tensor]:
        return 1 + normal(width, scale=0.3), normal(width, scale=0.3)

    state: dict[str, Tensor] = {
        "logit_scale": torch.tensor(3.1),
        "token_embedding.weight": normal(sizes.vocabulary, sizes.text),
        "positional_embedding": normal(sizes.context, sizes.text),
        "text_projection": matrix(sizes.text, sizes.dim),
        "visual.proj": matrix(sizes.vision, sizes.dim),
        "visual.class_embedding": normal(sizes.vision),
        "visual.positional_embedding": normal(1 + sizes.side**2, sizes.vision),
        "visual.conv1.weight": normal(sizes.vision, 3, sizes.patch, sizes.patch, scale=0.2),
    }  # fmt: skip
    norms = {"ln_final": sizes.text, "visual.ln_pre": sizes.vision, "visual.ln_post": sizes.vision}
    for prefix, width, layers in (
        ("visual.", sizes.vision, sizes.layers[0]), ("", sizes.text, sizes.layers[1])
    ):  # fmt: skip
        for layer in range(layers):
            block = f"{prefix}transformer.resblocks.{layer}"
            norms |= {f"{block}.ln_1": width, f"{block}.ln_2": width}
            for name, rows, columns in (
                ("attn.in_proj_", 3 * width, width), ("attn.out_proj.", width, width),
                ("mlp.c_fc.", 4 * width, width), ("mlp.c_proj.", width, 4 * width),
            ):  # fmt: skip
                state[f"{block}.{name}weight"] = matrix(rows, columns)
                state[f"{block}.{name}bias"] = normal(rows, scale=0.3)
    for name, width in norms.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = norm(width)
    return state


def attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int, causal: bool) -> Tensor:
    """One text or picture after the other, one head after the other."""
    size = queries.shape[-1] // heads
    mixed = torch.zeros_like(queries)
    for row in range(len(queries)):
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            scores = queries[row, :, own] @ keys[row, :, own].T / math.sqrt(size)
            if causal:
                later = torch.ones_like(scores).triu(1).bool()
                scores = scores.masked_fill(later, -torch.inf)
            mixed[row, :, own] = scores.softmax(-1) @ values[row, :, own]
    return mixed


def normed(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def block_of(
    state: dict[str, Tensor], name: str, x: Tensor, heads: int, quick: bool, causal: bool,
    local: bool = False,
) -> Tensor:  # fmt: skip
    """A residual block; `local`: every token but the first keeps its own value."""
    projected = normed(state, f"{name}.ln_1", x) @ state[f"{name}.attn.in_proj_weight"].T
    queries, keys, values = (projected + state[f"{name}.attn.in_proj_bias"]).chunk(3, -1)
    mixed = attend(queries, keys, values, heads, causal)
    if local:
        mixed[:, 1:] = values[:, 1:]
    x = x + mixed @ state[f"{name}.attn.out_proj.weight"].T + state[f"{name}.attn.out_proj.bias"]
    hidden = normed(state, f"{name}.ln_2", x) @ state[f"{name}.mlp.c_fc.weight"].T
    hidden = hidden + state[f"{name}.mlp.c_fc.bias"]
    if quick:
        hidden = hidden * (1 + (-1.702 * hidden).exp()).reciprocal()
    else:
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return x + hidden @ state[f"{name}.mlp.c_proj.weight"].T + state[f"{name}.mlp.c_proj.bias"]


def picture(
    state: dict[str, Tensor], sizes: Sizes, pixels: Tensor, quick: bool, local: bool
) -> tuple[Tensor, Tensor]:
    """Global embeddings and patches."""
    p, side = sizes.patch, sizes.side
    cut = pixels.reshape(len(pixels), 3, side, p, side, p).permute(0, 2, 4, 1, 3, 5)
    patches = cut.reshape(len(pixels), side * side, -1)
    patches = patches @ state["visual.conv1.weight"].reshape(sizes.vision, -1).T
    first = state["visual.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([first, patches], 1) + state["visual.positional_embedding"]
    x = normed(state, "visual.ln_pre", x)
    for layer in range(sizes.layers[0]):
        last = layer == sizes.layers[0] - 1
        name = f"visual.transformer.resblocks.{layer}"
        x = block_of(state, name, x, sizes.heads[0], quick, False, local and last)
    found = normed(state, "visual.ln_post", x) @ state["visual.proj"]
    return found[:, 0], found[:, 1:]


def text(
    state: dict[str, Tensor], sizes: Sizes, ids: Tensor, quick: bool, table: Tensor,
    projection: Tensor,
) -> Tensor:  # fmt: skip
    x = state["token_embedding.weight"][ids] + table[: ids.shape[1]]
    for layer in range(sizes.layers[1]):
        x = block_of(state, f"transformer.resblocks.{layer}", x, sizes.heads[1], quick, True)
    ends = x[torch.arange(len(ids)), ids.argmax(1)]
    return normed(state, "ln_final", ends) @ projection
