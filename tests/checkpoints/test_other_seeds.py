"""Every released layout with weights of other seeds and sizes, beside a CLIP computed slowly."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bclip_core.checkpoints import open_model
from tests.checkpoints import slow_clip
from tests.checkpoints.slow_clip import Sizes

# Heads of 64 where nothing states their number; else a configuration lies beside the weights.
PLAIN = [
    Sizes(64, 128, (1, 2), 24, (2, 2), 3, 4, 300, 77),
    Sizes(192, 64, (3, 1), 40, (3, 1), 2, 8, 97, 77),
]
STATED = [
    Sizes(48, 32, (4, 2), 24, (1, 3), 3, 4, 211, 77),
    Sizes(40, 60, (5, 3), 16, (2, 2), 2, 5, 130, 77),
]
CASES = [(seed, sizes) for seed in (11, 12) for sizes in range(2)]


def pixels(sizes: Sizes, seed: int) -> Tensor:
    side = sizes.side * sizes.patch
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed + 1))


def ids(sizes: Sizes, seed: int, length: int) -> Tensor:
    """Texts of several lengths, one that fills all positions; the highest id ends each."""
    generator, end = torch.Generator().manual_seed(seed + 2), sizes.vocabulary - 1
    found = torch.zeros(3, length, dtype=torch.long)
    for row, words in enumerate((length, 30, 9)):
        found[row, :words] = torch.randint(1, end - 1, (words,), generator=generator)
        found[row, 0], found[row, words - 1] = end - 1, end
    return found


def near(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4 * max(1.0, expected.abs().max().item())


def hugging_face(state: dict[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
    """The same weights under `CLIPModel`'s names."""
    found = {
        "logit_scale": state["logit_scale"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_projection.weight": state["text_projection"].T.contiguous(),
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
    }
    for kind in ("weight", "bias"):
        found |= {
            f"text_model.final_layer_norm.{kind}": state[f"ln_final.{kind}"],
            f"vision_model.pre_layrnorm.{kind}": state[f"visual.ln_pre.{kind}"],
            f"vision_model.post_layernorm.{kind}": state[f"visual.ln_post.{kind}"],
        }
        for tower, prefix, layers in (
            ("vision_model", "visual.", sizes.layers[0]), ("text_model", "", sizes.layers[1])
        ):  # fmt: skip
            for layer in range(layers):
                theirs = f"{tower}.encoder.layers.{layer}"
                ours = f"{prefix}transformer.resblocks.{layer}"
                parts = state[f"{ours}.attn.in_proj_{kind}"].chunk(3)
                for letter, part in zip("qkv", parts, strict=True):
                    found[f"{theirs}.self_attn.{letter}_proj.{kind}"] = part.contiguous()
                for name, other in (
                    ("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"),
                    ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
                ):  # fmt: skip
                    found[f"{theirs}.{name}.{kind}"] = state[f"{ours}.{other}.{kind}"]
    return found


def write_config(folder: Path, sizes: Sizes, activation: str, end: int) -> None:
    shared = {"hidden_act": activation, "layer_norm_eps": 1e-05, "projection_dim": sizes.dim}
    (folder / "config.json").write_text(json.dumps({
        "model_type": "clip", "projection_dim": sizes.dim,
        "text_config": {
            "vocab_size": sizes.vocabulary, "hidden_size": sizes.text, "eos_token_id": end,
            "intermediate_size": 4 * sizes.text, "num_hidden_layers": sizes.layers[1],
            "num_attention_heads": sizes.heads[1], "max_position_embeddings": 77, **shared,
        },
        "vision_config": {
            "hidden_size": sizes.vision, "intermediate_size": 4 * sizes.vision,
            "num_hidden_layers": sizes.layers[0], "num_attention_heads": sizes.heads[0],
            "image_size": sizes.side * sizes.patch, "patch_size": sizes.patch, **shared,
        },
    }))  # fmt: skip


@pytest.mark.parametrize(("seed", "size"), CASES)
def test_long_clip(tmp_path: Path, seed: int, size: int) -> None:
    sizes = PLAIN[size]._replace(context=248)
    state = slow_clip.draw(sizes, seed)
    residual = torch.randn(248, sizes.text, generator=torch.Generator().manual_seed(seed + 3))
    torch.save(state | {"positional_embedding_res": residual}, tmp_path / "long.pt")
    backbone = open_model(tmp_path / "long.pt").eval().backbone
    given, texts = pixels(sizes, seed), ids(sizes, seed, 248)
    table = torch.cat([state["positional_embedding"][:20], residual[20:]])
    with torch.no_grad():
        near(backbone.encode_image(given)[0], slow_clip.picture(state, sizes, given, True, True)[0])
        expected = slow_clip.text(state, sizes, texts, True, table, state["text_projection"])
        near(backbone.encode_text(texts), expected)


@pytest.mark.parametrize(("seed", "size"), CASES)
def test_a_stock_checkpoint_of_open_clip_as_dreamlips(tmp_path: Path, seed: int, size: int) -> None:
    sizes = PLAIN[size]
    state = slow_clip.draw(sizes, seed)
    kept = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "name": "x", "state_dict": kept, "optimizer": {}}, tmp_path / "e.pt")
    backbone = open_model(tmp_path / "e.pt", quick_gelu=False).eval().backbone
    given, texts = pixels(sizes, seed), ids(sizes, seed, 77)
    with torch.no_grad():
        near(
            backbone.encode_image(given)[0], slow_clip.picture(state, sizes, given, False, True)[0]
        )
        expected = slow_clip.text(
            state, sizes, texts, False, state["positional_embedding"], state["text_projection"]
        )
        near(backbone.encode_text(texts), expected)


@pytest.mark.parametrize("context", [77, 248])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize(("seed", "size"), CASES[:2])
def test_hugging_face(tmp_path: Path, seed: int, size: int, activation: str, context: int) -> None:
    sizes = STATED[size]._replace(context=context)
    state = slow_clip.draw(sizes, seed)
    write_config(tmp_path, sizes, activation, 2 if size else sizes.vocabulary - 1)
    weights = hugging_face(state, sizes)
    if context == 77:  # as old files have them
        weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    given, texts = pixels(sizes, seed), ids(sizes, seed, context)
    quick = activation == "quick_gelu"
    with torch.no_grad():
        for source in (tmp_path, tmp_path / "model.safetensors"):
            backbone = open_model(source).eval().backbone
            near(backbone.encode_image(given)[0],
                 slow_clip.picture(state, sizes, given, quick, True)[0])  # fmt: skip
            expected = slow_clip.text(
                state, sizes, texts, quick, state["positional_embedding"], state["text_projection"]
            )
            near(backbone.encode_text(texts), expected)


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(("seed", "size"), CASES)
def test_goal(tmp_path: Path, seed: int, size: int, beside: bool) -> None:
    sizes = (STATED if beside else PLAIN)[size]._replace(context=248)
    state = slow_clip.draw(sizes, seed)
    if beside:
        write_config(tmp_path, sizes, "quick_gelu", 2)
    torch.save(hugging_face(state, sizes), tmp_path / "goal.pth")
    backbone = open_model(tmp_path / "goal.pth").eval().backbone
    given, texts = pixels(sizes, seed), ids(sizes, seed, 248)
    with torch.no_grad():
        near(backbone.encode_image(given)[0], slow_clip.picture(state, sizes, given, True, True)[0])
        expected = slow_clip.text(
            state, sizes, texts, True, state["positional_embedding"], state["text_projection"]
        )
        near(backbone.encode_text(texts), expected)


@pytest.mark.parametrize(("seed", "size"), CASES)
def test_fg_clip(tmp_path: Path, seed: int, size: int) -> None:
    sizes = STATED[size]
    state, generator = slow_clip.draw(sizes, seed), torch.Generator().manual_seed(seed + 3)
    base, residual = torch.randn(2, 248, sizes.text, generator=generator)
    filip = torch.randn(sizes.text, sizes.dim, generator=generator) / math.sqrt(sizes.text)
    write_config(tmp_path, sizes, "quick_gelu", 49407)
    table = "text_model.embeddings.position_embedding"
    save_file(hugging_face(state, sizes) | {
        f"{table}_ori.weight": base, f"{table}_res.weight": residual,
        "text_filip_projection.weight": filip.T.contiguous(),
        "logit_scale_finegraind": torch.tensor(3.0), "logit_scale_hardneg": torch.tensor(3.0),
    }, tmp_path / "model.safetensors")  # fmt: skip
    backbone = open_model(tmp_path / "model.safetensors").eval().backbone
    given, short, long = pixels(sizes, seed), ids(sizes, seed, 77), ids(sizes, seed, 248)
    own, whole = state["positional_embedding"], torch.cat([base[:20], residual[20:]])
    with torch.no_grad():
        image, patches = slow_clip.picture(state, sizes, given, True, True)
        found = backbone.encode_image(given)
        near(found[0], image)
        near(found[1], patches)
        near(backbone.encode_text(long), slow_clip.text(state, sizes, long, True, whole, filip))
        expected = slow_clip.text(state, sizes, short, True, own, state["text_projection"])
        near(backbone.encode_text(short), expected)
        boxes = slow_clip.text(state, sizes, short, True, own, filip)
        near(backbone.encode_text(short, "box"), boxes)


def pool(state: dict[str, Tensor], patches: Tensor, texts: Tensor) -> Tensor:
    """FLAIR's pooler: eight heads, a key and a value of zero beside the patches'."""
    weight, bias = state["visual_proj.attn.in_proj_weight"], state["visual_proj.attn.in_proj_bias"]
    (wq, wk, wv), (bq, bk, bv) = weight.chunk(3), bias.chunk(3)
    queries = slow_clip.normed(state, "visual_proj.ln_q", texts) @ wq.T + bq
    keys = slow_clip.normed(state, "visual_proj.ln_k", patches) @ wk.T + bk
    values = slow_clip.normed(state, "visual_proj.ln_v", patches) @ wv.T + bv
    nothing = torch.zeros_like(keys[:, :1])
    mixed = slow_clip.attend(
        queries, torch.cat([keys, nothing], 1), torch.cat([values, nothing], 1), 8, False
    )
    out = state["visual_proj.attn.out_proj.weight"]
    return mixed @ out.T + state["visual_proj.attn.out_proj.bias"]


@pytest.mark.parametrize("stated", [False, True])
@pytest.mark.parametrize(("seed", "size"), CASES)
def test_flair(tmp_path: Path, seed: int, size: int, stated: bool) -> None:
    sizes = (STATED if stated else PLAIN)[size]
    state, dim = slow_clip.draw(sizes, seed), sizes.dim
    generator = torch.Generator().manual_seed(seed + 3)
    for name, shape in (("in_proj_weight", (3 * dim, dim)), ("out_proj.weight", (dim, dim)),
                        ("in_proj_bias", (3 * dim,)), ("out_proj.bias", (dim,))):  # fmt: skip
        state[f"visual_proj.attn.{name}"] = torch.randn(shape, generator=generator) / dim**0.5
    for letter in "qkv":
        for kind in ("weight", "bias"):
            drawn = torch.randn(dim, generator=generator)
            state[f"visual_proj.ln_{letter}.{kind}"] = drawn
    theirs = {name: value for name, value in state.items()
              if name not in ("visual.proj", "text_projection")}  # fmt: skip
    theirs |= {"image_post.proj": state["visual.proj"], "text_post.proj": state["text_projection"],
               "logit_bias": torch.tensor(-10.0)}  # fmt: skip
    prefix = "module." if seed % 2 else ""
    kept = {prefix + name: value for name, value in theirs.items()}
    torch.save({"epoch": 1, "name": "f", "state_dict": kept, "optimizer": {}}, tmp_path / "f.pt")
    if stated:
        (tmp_path / "open_clip_style_config.json").write_text(json.dumps({
            "embed_dim": dim, "init_logit_bias": -10,
            "vision_cfg": {"image_size": sizes.side * sizes.patch, "layers": sizes.layers[0],
                           "width": sizes.vision, "patch_size": sizes.patch,
                           "head_width": sizes.vision // sizes.heads[0]},
            "text_cfg": {"context_length": 77, "vocab_size": sizes.vocabulary,
                         "width": sizes.text, "heads": sizes.heads[1], "layers": sizes.layers[1]},
        }))  # fmt: skip
    model = open_model(tmp_path / "f.pt").eval()
    given, texts = pixels(sizes, seed), ids(sizes, seed, 77)
    with torch.no_grad():
        image, patches = slow_clip.picture(state, sizes, given, False, False)
        text = slow_clip.text(
            state, sizes, texts, False, state["positional_embedding"], state["text_projection"]
        )
        found = model.backbone.encode_image(given)
        near(found[0], image)
        near(found[1], patches)
        near(model.backbone.encode_text(texts), text)
        assert model.pooler is not None
        every = text.expand(len(given), -1, -1)
        near(model.pooler(found[1], every)[0], pool(state, patches, every))
