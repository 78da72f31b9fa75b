"""Weights to and from plain open_clip: OpenAI's and open_clip's come in, fine-tuned towers go out.

An exported model is a folder in open_clip's own layout, which names the architecture beside the
weights, so that `open_clip.create_model_and_transforms("local-dir:FOLDER")` loads it as it is,
with its activation and all its text positions. The pooler, which open_clip does not know, lies
beside it in a file of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import save_file

from bclip_core.backbone import CheckpointError, create_backbone
from bclip_core.backbone.architectures import architecture
from bclip_core.backbone.preprocessing import own_statistics, statistics
from bclip_core.checkpoints import beside
from bclip_core.checkpoints.formats import layout_of
from bclip_core.checkpoints.importing import architecture_name, import_file
from bclip_core.checkpoints.layout import assemble, bias_of
from bclip_core.checkpoints.weights import read_weights
from bclip_core.config import BackboneConfig
from bclip_core.model import BClip
from bclip_core.records.files import read_json, write_atomically, write_json

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"  # open_clip's names
THEIRS = (WEIGHTS, "open_clip_pytorch_model.bin")  # what its hub's folders have
POOLER = beside.POOLER


def export_open_clip(model: BClip, path: str | Path) -> Path:
    """Write a model as a folder that plain open_clip loads.

    Load it there with `open_clip.create_model_and_transforms("local-dir:FOLDER")`, and its
    tokenizer with `open_clip.get_tokenizer("local-dir:FOLDER")`.

    Args:
        model: any model of the collection; its towers are exported exactly, and the bias of a
            sigmoid loss; what open_clip has no place for lies beside it, see `beside`; other heads
            that only a loss uses are left out.
        path: the folder; an earlier export there is replaced in one step.

    Raises:
        FileExistsError: something else is there.
    """
    path = Path(path)
    if path.exists() and not (path / CONFIG).is_file() and (path.is_file() or any(path.iterdir())):
        raise FileExistsError(f"{path}: expected a new or empty folder, or an earlier export")
    return write_atomically(path, lambda temporary: _write(model, temporary))


def import_open_clip(
    source: str | Path, name: str | None = None, *, quick_gelu: bool | None = None
) -> BClip:
    """A model from open_clip's or OpenAI's weights; without pooler unless the export has one.

    Args:
        source: a folder of `export_open_clip`; a file (safetensors, a torch state dict, OpenAI's
            TorchScript archive; the relatives' files too, see `formats`); or a tag of open_clip
            such as "openai", which is fetched.
        name: the architecture; needed for a tag, found by the shapes of a file when it is None.
        quick_gelu: the activation. Known for folders, tags and OpenAI's archives; other files do
            not tell theirs, so say it: True for OpenAI's weights and what was tuned from them.

    Raises:
        CheckpointError: unreadable, refused or unfitting weights, or an activation that nobody
            stated.
        ConfigError: an unknown architecture or tag, or an activation that contradicts the weights.
    """
    path = Path(source)
    if path.is_dir():
        return _import_folder(path)
    if path.is_file():
        return import_file(path, name or "", quick_gelu)
    if name is None:
        raise CheckpointError(f"{source}: no such file or folder; a tag needs name=ARCHITECTURE")
    trained = get_pretrained_cfg(name, str(source)) or {}
    if quick_gelu is None:
        quick_gelu = bool(trained.get("quick_gelu", False))
    return BClip(create_backbone(BackboneConfig(name, str(source), quick_gelu=quick_gelu)))


def _write(model: BClip, folder: Path) -> None:
    folder.mkdir(parents=True)
    config = model.backbone.config
    embed_dim, vision, text = architecture(config.name)
    mean, std = statistics(config)
    described: dict[str, Any] = {
        "model_cfg": {
            "embed_dim": embed_dim,
            "quick_gelu": config.quick_gelu,
            "vision_cfg": vision,
            "text_cfg": {**text, "context_length": model.backbone.context_length},
        },
        "preprocess_cfg": {"mean": mean, "std": std},
    }
    if config.resize == "squash":
        described["preprocess_cfg"]["resize_mode"] = "squash"
    state = {name: value.contiguous() for name, value in model.backbone.clip.state_dict().items()}
    bias = bias_of(model)
    if bias is not None:
        described["model_cfg"]["init_logit_bias"] = float(bias)
        state["logit_bias"] = bias.clone()
    write_json(folder / CONFIG, described)
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    beside.write(model, folder, "open_clip")


def _import_folder(folder: Path) -> BClip:
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder}: expected {CONFIG} of open_clip, but there is none")
    try:
        read = read_json(folder / CONFIG)
        described, pixels = read["model_cfg"], read.get("preprocess_cfg", {})
        weights = next((folder / n for n in THEIRS if (folder / n).is_file()), folder / WEIGHTS)
        layout = layout_of(read_weights(weights))
        layout.quick_gelu = bool(described.get("quick_gelu", False))
        layout.resize = "squash" if pixels.get("resize_mode") == "squash" else "crop"
        if "mean" in pixels and "std" in pixels:
            layout.mean, layout.std = own_statistics(pixels["mean"], pixels["std"])
        beside.read(layout, folder)
        name = architecture_name(described, layout.clip)
        positions = described["text_cfg"].get("context_length", 77)
        if positions != len(layout.clip["positional_embedding"]):
            raise CheckpointError(f"context_length={positions}: not that of the weights")
    except (KeyError, TypeError, ValueError, AttributeError, FileNotFoundError) as error:
        found = error if isinstance(error, CheckpointError) else repr(error)
        raise CheckpointError(f"{folder}: cannot be read as {CONFIG} says: {found}") from error
    model = assemble(layout, weights, name)
    beside.read_pooler(model, folder)
    return model
