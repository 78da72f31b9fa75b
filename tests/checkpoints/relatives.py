"""The golden files of the relatives, opened: inputs, the authors' outputs, and our own."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from bclip_core.checkpoints import open_model
from bclip_core.model import BClip

FOLDER = Path(__file__).parents[1] / "golden" / "relatives"
WEIGHTS = {
    "longclip": "weights.pt",
    "longclip_smallvocab": "weights.pt",
    "flair": "weights.pt",
    "flair_multihead": "weights.pt",
    "hf_clip_77": "weights.safetensors",
    "hf_clip_248": "weights.safetensors",
    "goal": "weights.pth",
    "fgclip": "weights.safetensors",
}
TOLERANCE = {"longclip": 1e-4, "longclip_smallvocab": 1e-4}  # else 1e-5, as the reports say


def path(name: str) -> Path:
    return FOLDER / name / WEIGHTS[name]


def open_golden(name: str) -> BClip:
    return open_model(path(name)).eval()


def inputs(name: str) -> dict[str, Tensor]:
    return load_file(FOLDER / name / "inputs.safetensors")


def outputs(name: str) -> dict[str, Tensor]:
    """The authors' outputs under one name each, whatever the format calls them."""
    stored = load_file(FOLDER / name / "outputs.safetensors")
    same = {
        "image_features_fp32weights": "image", "image_features": "image",
        "text_features_fp32weights": "text", "text_features": "text", "text_long": "text",
        "text_short": "short", "text_bbox_filip": "box", "image_tokens": "patches",
        "dense_features": "patches",
        "conditioned": "conditioned", "attention_heads": "attention",
    }  # fmt: skip
    return {same[key]: value for key, value in stored.items() if key in same}


@torch.no_grad()
def computed(name: str, model: BClip) -> dict[str, Tensor]:
    """The same of a model."""
    given, backbone = inputs(name), model.backbone
    image, patches = backbone.encode_image(given["pixel_values"])
    ids = given.get("text_ids", given.get("text_ids_248"))
    found = {"image": image, "patches": patches, "text": backbone.encode_text(ids.long())}
    if "text_ids_77" in given:
        found["short"] = backbone.encode_text(given["text_ids_77"])
        found["box"] = backbone.encode_text(given["text_ids_77"], "box")
    if model.pooler is not None:
        texts = found["text"].expand(len(patches), -1, -1)
        pooled, weights = model.pooler(patches, texts, need_weights=True)
        rest = 1 - weights.sum(-1, keepdim=True)  # what the zero key gets
        found |= {"conditioned": pooled, "attention": torch.cat([weights, rest], -1)}
    return found


def distances(name: str, model: BClip, *keys: str) -> dict[str, float]:
    """How far a model is from the authors' outputs, by the name of the output; all by default."""
    found, expected = computed(name, model), outputs(name)
    return {k: (found[k] - expected[k]).abs().max().item() for k in keys or expected}
