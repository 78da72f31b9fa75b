"""A model as a folder in Hugging Face's `CLIPModel` layout.

`transformers.CLIPModel.from_pretrained(FOLDER)` loads it, with its activation and all its text
positions. What that class has no place for lies beside it, see `beside`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

from bclip_core.backbone.architectures import architecture
from bclip_core.backbone.preprocessing import statistics
from bclip_core.checkpoints import beside
from bclip_core.checkpoints.hugging_face import fg_clip_names, from_open_clip
from bclip_core.checkpoints.importing import HF_CONFIG, HF_PREPROCESSING, HF_WEIGHTS
from bclip_core.model import BClip
from bclip_core.records.files import write_atomically, write_json


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
    if path.exists() and not (path / HF_CONFIG).is_file():
        if path.is_file() or any(path.iterdir()):
            raise FileExistsError(f"{path}: expected a new or empty folder, or an earlier export")
    return write_atomically(path, lambda temporary: _write(model, temporary))


def _write(model: BClip, folder: Path) -> None:
    weights = from_open_clip(model.backbone.clip.state_dict())
    if model.backbone.short is not None:
        weights = fg_clip_names(weights, model.backbone.short.state_dict())
    folder.mkdir(parents=True)
    write_json(folder / HF_CONFIG, configuration(model))
    write_json(folder / HF_PREPROCESSING, _preprocessing(model))
    save_file(weights, folder / HF_WEIGHTS[0], {"format": "pt"})
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
