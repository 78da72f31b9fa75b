"""Weights to and from Hugging Face's `CLIPModel` and what is built on it: GOAL, FG-CLIP 1.

Its projections lie the other way round, queries, keys and values are kept apart, and old files
carry the numbers of the positions. FG-CLIP adds a second text path and two scales of its losses,
which no evaluation reads and which are not kept. `transformers.CLIPModel.from_pretrained(FOLDER)`
loads an export; what that class has no place for lies beside it, see `beside`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file
from torch import Tensor

from bclip_core.backbone import KEPT_POSITIONS, CheckpointError
from bclip_core.backbone.architectures import architecture
from bclip_core.backbone.preprocessing import own_statistics, statistics
from bclip_core.checkpoints import beside
from bclip_core.checkpoints.layout import Layout
from bclip_core.model import BClip
from bclip_core.records.files import write_atomically, write_json

CONFIG, PREPROCESSING = "config.json", "preprocessor_config.json"
WEIGHTS = (
    *("model.safetensors", "pytorch_model.bin"),
    *("model.safetensors.index.json", "pytorch_model.bin.index.json"),  # in several files
)
TABLE = "text_model.embeddings.position_embedding"
_SHORT, _LONG = f"{TABLE}.weight", (f"{TABLE}_ori.weight", f"{TABLE}_res.weight")
_FILIP = "text_filip_projection.weight"
_LOSS_SCALES = {"logit_scale_finegraind", "logit_scale_hardneg"}  # FG-CLIP's, its spelling
_NAMES = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    _SHORT: "positional_embedding",
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
}
_NORMS = {
    "text_model.final_layer_norm": "ln_final",
    "vision_model.pre_layrnorm": "visual.ln_pre",  # their spelling
    "vision_model.post_layernorm": "visual.ln_post",
}
_TOWERS = {
    "text_model.encoder.layers.": "transformer.resblocks.",
    "vision_model.encoder.layers.": "visual.transformer.resblocks.",
}
_PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_LAYER = re.compile(r"^(.+?\.layers\.)(\d+)\.(.+)\.(weight|bias)$")
_EPSILON = 1e-5
_DECIDE = ("hidden_act", "num_attention_heads", "layer_norm_eps", "eos_token_id")


def is_hugging_face(names: Mapping[str, Tensor]) -> bool:
    """Whether weights carry the names of `CLIPModel`."""
    return "vision_model.embeddings.patch_embedding.weight" in names and any(
        name.startswith("text_model.embeddings.") for name in names
    )


def from_hugging_face(
    state: Mapping[str, Tensor], config: Mapping[str, Any] | None, bare: bool
) -> Layout:
    """Weights under `CLIPModel`'s names, GOAL's and FG-CLIP's among them.

    Args:
        state: the weights.
        config: the model's config.json, where there is one.
        bare: whether they lay in a torch file of their own, as GOAL publishes them.

    Raises:
        CheckpointError: a configuration that this collection's towers would not compute.
    """
    weights = {n: v for n, v in state.items() if not n.endswith("embeddings.position_ids")}
    layout = _fg_clip(weights) if _FILIP in weights or _LONG[1] in weights else None
    clip = to_open_clip(weights)
    if layout is None:
        layout = Layout("Hugging Face CLIPModel", clip)
        if bare and len(clip.get("positional_embedding", ())) > 77:
            layout.origin, layout.quick_gelu = "GOAL", True
    else:
        layout.clip |= clip
    if config is not None:
        _apply_config(layout, config)
    return layout


def _fg_clip(weights: dict[str, Tensor]) -> Layout:
    """FG-CLIP's long path as the model's own, its short one beside it; taken out of `weights`."""
    needed = (_SHORT, *_LONG, _FILIP, "text_projection.weight")
    missing = [name for name in needed if name not in weights]
    if missing:
        raise CheckpointError(f"weight {missing[0]!r}: missing: FG-CLIP has two text paths")
    kept, trained = (weights.pop(name) for name in _LONG)
    if kept.shape != trained.shape:
        raise CheckpointError(f"{_LONG[1]}: {list(trained.shape)}, expected {list(kept.shape)}")
    short = {
        "positional_embedding": weights.pop(_SHORT),
        "text_projection": weights["text_projection.weight"].mT,
    }
    weights["text_projection.weight"] = weights.pop(_FILIP)
    for name in _LOSS_SCALES & set(weights):
        del weights[name]
    table = torch.cat([kept[:KEPT_POSITIONS], trained[KEPT_POSITIONS:]])
    return Layout(
        "FG-CLIP", {"positional_embedding": table}, quick_gelu=True, resize="squash", short=short
    )


def _apply_config(layout: Layout, config: Mapping[str, Any]) -> None:
    """What config.json states and shapes do not: heads, activation; and a check of the rest."""
    text, vision = config["text_config"], config["vision_config"]
    for tower, stated in (("text", text), ("vision", vision)):
        second = config.get(f"{tower}_config_dict") or {}  # old files say it twice
        for field in _DECIDE:
            if field in second and second[field] != stated.get(field, second[field]):
                raise CheckpointError(
                    f"{tower}_config says {field}={stated[field]!r}, and {tower}_config_dict "
                    f"{second[field]!r}: expected the same"
                )
    activations = {part.get("hidden_act", "quick_gelu") for part in (text, vision)}
    if len(activations) > 1 or not activations <= {"quick_gelu", "gelu"}:
        raise CheckpointError(
            f"hidden_act {', '.join(map(repr, sorted(activations)))}: expected 'quick_gelu' or "
            "'gelu', the same in both towers"
        )
    for part in (text, vision):
        if part.get("layer_norm_eps", _EPSILON) != _EPSILON:
            raise CheckpointError(f"layer_norm_eps={part['layer_norm_eps']}: expected {_EPSILON}")
    vocabulary = len(layout.clip.get("token_embedding.weight", ()))
    end = text.get("eos_token_id", 2)
    # 2 stands in OpenAI's files and means the highest id; FG-CLIP's class takes the highest anyway.
    if end != 2 and end < vocabulary - 1 and layout.origin != "FG-CLIP":
        raise CheckpointError(
            f"eos_token_id={end}: expected {vocabulary - 1}, the highest id, or 2, which means it"
        )
    layout.quick_gelu = activations == {"quick_gelu"}
    layout.heads = (
        int(vision.get("num_attention_heads", 12)),
        int(text.get("num_attention_heads", 8)),
    )


def config_fits(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of these weights: the same widths and numbers of layers."""
    pairs = (
        ("text", "text_model.embeddings.token_embedding.weight", 512, 12),
        ("vision", "vision_model.embeddings.position_embedding.weight", 768, 12),
    )
    for tower, embedding, width, layers in pairs:
        stated = config[f"{tower}_config"]
        found = {m[2] for n in state if n.startswith(f"{tower}_") and (m := _LAYER.match(n))}
        shape = state[embedding].shape if embedding in state else ()
        if tuple(shape[1:]) != (stated.get("hidden_size", width),):
            return False
        if len(found) != stated.get("num_hidden_layers", layers):
            return False
    return True


def apply_preprocessing(layout: Layout, stated: Mapping[str, Any]) -> None:
    """What preprocessor_config.json states: mean, deviation, and whether pictures are cropped."""
    size = stated.get("size")
    if stated.get("do_center_crop") is False and isinstance(size, dict) and "height" in size:
        layout.resize = "squash"
    if "image_mean" in stated and "image_std" in stated:
        layout.mean, layout.std = own_statistics(stated["image_mean"], stated["image_std"])


def to_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`CLIPModel`'s weights under open_clip's names; unknown names are passed on unchanged."""
    rest, renamed = dict(state), dict[str, Tensor]()
    for name in list(rest):
        match = _LAYER.match(name)
        if not match or match[1] not in _TOWERS or match[3] != "self_attn.q_proj":
            continue
        block = f"{match[1]}{match[2]}.self_attn."
        parts = [f"{block}{part}_proj.{match[4]}" for part in "qkv"]
        if all(part in rest and rest[part].shape == rest[name].shape for part in parts):
            joint = torch.cat([rest.pop(part) for part in parts])
            renamed[f"{_TOWERS[match[1]]}{match[2]}.attn.in_proj_{match[4]}"] = joint
    for name, value in rest.items():
        renamed[_open_clip_name(name)] = value.mT if name.endswith("_projection.weight") else value
    return renamed


def from_open_clip(clip: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's weights under `CLIPModel`'s names: the inverse of `to_open_clip`."""
    back = {ours: theirs for theirs, ours in _NAMES.items()}
    back |= {f"{o}.{p}": f"{t}.{p}" for t, o in _NORMS.items() for p in ("weight", "bias")}
    parts = {ours: theirs for theirs, ours in _PARTS.items()}
    found: dict[str, Tensor] = {}
    for name, value in clip.items():
        if name in back:
            turned = back[name].endswith("_projection.weight")
            found[back[name]] = (value.mT if turned else value).contiguous()
            continue
        tower, number, part, kind = _split_block(name)
        if part == "attn.in_proj":
            for letter, third in zip("qkv", value.chunk(3), strict=True):
                found[f"{tower}{number}.self_attn.{letter}_proj.{kind}"] = third.contiguous()
        elif part in parts:
            found[f"{tower}{number}.{parts[part]}.{kind}"] = value.contiguous()
        else:
            raise CheckpointError(f"weight {name!r}: a CLIPModel has no place for it")
    return found


def fg_clip_names(weights: Mapping[str, Tensor], short: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`CLIPModel`'s weights and a short text path under FG-CLIP's names, its own way round."""
    found = dict(weights)
    table, projection = found.pop(_SHORT), found.pop("text_projection.weight")
    return found | {
        _LONG[0]: table,
        _LONG[1]: table.clone(),
        _FILIP: projection,
        _SHORT: short["positional_embedding"],
        "text_projection.weight": short["text_projection"].mT.contiguous(),
    }


def _split_block(name: str) -> tuple[str, str, str, str]:
    for theirs, ours in _TOWERS.items():
        if name.startswith(ours):
            number, _, rest = name.removeprefix(ours).partition(".")
            part, kind = re.sub(r"in_proj_(weight|bias)$", r"in_proj.\1", rest).rsplit(".", 1)
            return theirs, number, part, kind
    raise CheckpointError(f"weight {name!r}: a CLIPModel has no place for it")


def _open_clip_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    for theirs, ours in _NORMS.items():
        if name.startswith(f"{theirs}."):
            return ours + name.removeprefix(theirs)
    match = _LAYER.match(name)
    if match and match[1] in _TOWERS and match[3] in _PARTS:
        return f"{_TOWERS[match[1]]}{match[2]}.{_PARTS[match[3]]}.{match[4]}"
    return name


def export_hugging_face(model: BClip, path: str | Path) -> Path:
    """Write a model as a folder that Hugging Face's `CLIPModel` loads.

    Of a model with two text paths it is FG-CLIP's layout, of which a `CLIPModel` sees the short
    path.

    Args:
        model: any model of the collection.
        path: the folder; an earlier export there is replaced in one step.

    Raises:
        FileExistsError: something else is there.
        CheckpointError: a weight that a `CLIPModel` has no place for.
    """
    path = Path(path)
    if path.exists() and not (path / CONFIG).is_file():
        if path.is_file() or any(path.iterdir()):
            raise FileExistsError(f"{path}: expected a new or empty folder, or an earlier export")
    return write_atomically(path, lambda temporary: _write(model, temporary))


def _write(model: BClip, folder: Path) -> None:
    weights = from_open_clip(model.backbone.clip.state_dict())
    if model.backbone.short is not None:
        weights = fg_clip_names(weights, model.backbone.short.state_dict())
    folder.mkdir(parents=True)
    write_json(folder / CONFIG, configuration(model))
    write_json(folder / PREPROCESSING, _preprocessing(model))
    save_file(weights, folder / WEIGHTS[0], {"format": "pt"})
    beside.write(model, folder, "hugging_face")


def configuration(model: BClip) -> dict[str, Any]:
    """Its config.json."""
    backbone = model.backbone
    dim, vision_values, text_values = architecture(backbone.config.name)
    vision, text = CLIPVisionCfg(**vision_values), CLIPTextCfg(**text_values)
    shared = {
        "hidden_act": "quick_gelu" if backbone.config.quick_gelu else "gelu",
        "layer_norm_eps": 1e-05,
        "attention_dropout": 0.0,
        "projection_dim": dim,
    }
    end = text.vocab_size - 1
    clip = backbone.clip
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": dim,
        "torch_dtype": "float32",
        "text_config": {
            "model_type": "clip_text_model",
            "hidden_size": text.width,
            "intermediate_size": clip.transformer.resblocks[0].mlp.c_fc.out_features,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": backbone.config.short_context or backbone.context_length,
            "vocab_size": text.vocab_size,
            "bos_token_id": end - 1,
            "eos_token_id": end,
            "pad_token_id": end,
            **shared,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": vision.width,
            "intermediate_size": clip.visual.transformer.resblocks[0].mlp.c_fc.out_features,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.width // vision.head_width,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "num_channels": 3,
            **shared,
        },
    }


def _preprocessing(model: BClip) -> dict[str, Any]:
    """Its preprocessor_config.json."""
    config, (height, width) = model.backbone.config, model.backbone.image_size
    mean, std = statistics(config)
    values: dict[str, Any] = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "resample": 3,
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }
    if config.resize == "squash":
        return values | {"do_center_crop": False, "size": {"height": height, "width": width}}
    return values | {
        "do_center_crop": True,
        "size": {"shortest_edge": min(height, width)},
        "crop_size": {"height": height, "width": width},
    }
