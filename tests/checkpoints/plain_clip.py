"""A `CLIPModel` of Hugging Face's layout in plain torch, by its documented names alone.

Run as a program of its own, `python plain_clip.py FOLDER...`, by a test: it imports
nothing of this project, and stands for any other program that reads an export.
"""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file


def layer_norm(x, weights, name, eps):
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps)


def linear(x, weights, name):
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def encoder(x, weights, tower, config, causal):
    """The blocks of a tower: attention and MLP, each after its norm, each beside a residual."""
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        name = f"{tower}.encoder.layers.{layer}"
        normed = layer_norm(x, weights, f"{name}.layer_norm1", eps)
        parts = [linear(normed, weights, f"{name}.self_attn.{part}_proj") for part in "qkv"]
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)
        x = x + linear(mixed, weights, f"{name}.self_attn.out_proj")
        hidden = linear(
            layer_norm(x, weights, f"{name}.layer_norm2", eps), weights, f"{name}.mlp.fc1"
        )
        quick = config["hidden_act"] == "quick_gelu"
        hidden = hidden * torch.sigmoid(1.702 * hidden) if quick else F.gelu(hidden)
        x = x + linear(hidden, weights, f"{name}.mlp.fc2")
    return x


def image_features(pixels, weights, config):
    name, eps = "vision_model", config["layer_norm_eps"]
    patches = F.conv2d(
        pixels, weights[f"{name}.embeddings.patch_embedding.weight"], stride=config["patch_size"]
    )
    first = weights[f"{name}.embeddings.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
    x = x + weights[f"{name}.embeddings.position_embedding.weight"]
    x = encoder(layer_norm(x, weights, f"{name}.pre_layrnorm", eps), weights, name, config, False)
    return linear(layer_norm(x[:, 0], weights, f"{name}.post_layernorm", eps), weights,
                  "visual_projection")  # fmt: skip


def text_features(ids, weights, config):
    name = "text_model"
    x = weights[f"{name}.embeddings.token_embedding.weight"][ids]
    x = x + weights[f"{name}.embeddings.position_embedding.weight"][: ids.shape[1]]
    x = encoder(x, weights, name, config, True)
    x = layer_norm(x, weights, f"{name}.final_layer_norm", config["layer_norm_eps"])
    ends = (ids == config["eos_token_id"]).int().argmax(1)  # the first end token
    return linear(x[torch.arange(len(ids)), ends], weights, "text_projection")


def main(folder):
    config = json.loads(Path(folder, "config.json").read_text())
    weights = load_file(Path(folder, "model.safetensors"))
    given = load_file(Path(f"{folder}.given"))
    assert not any(name.startswith("bclip") for name in sys.modules)
    with torch.no_grad():
        image = image_features(given["pixel_values"], weights, config["vision_config"])
        text = text_features(given["ids"], weights, config["text_config"])
    save_file({"image": image, "text": text}, f"{folder}.result")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        main(each)
