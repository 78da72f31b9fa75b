"""Weights to and from plain open_clip: OpenAI's and open_clip's come in, fine-tuned towers go out.

An exported model is a folder in open_clip's own layout, which names the architecture beside the
weights, so that `open_clip.create_model_and_transforms("local-dir:FOLDER")` loads it as it is,
with its activation and all its text positions. The pooler, which open_clip does not know, lies
beside it in a file of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import save_file

from bclip_core.backbone import CheckpointError, create_backbone, known_architectures, load_exactly
from bclip_core.backbone.architectures import architecture, towers
from bclip_core.checkpoints.recognition import recognise
from bclip_core.checkpoints.torchscript import is_torchscript
from bclip_core.checkpoints.weights import read_safetensors, read_weights
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.model import BClip
from bclip_core.poolers import build_pooler
from bclip_core.records.files import read_json, write_atomically, write_json

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"  # open_clip's names
POOLER = "bclip_pooler.safetensors"


def export_open_clip(model: BClip, path: str | Path) -> Path:
    """Write a model as a folder that plain open_clip loads.

    Load it there with `open_clip.create_model_and_transforms("local-dir:FOLDER")`, and its
    tokenizer with `open_clip.get_tokenizer("local-dir:FOLDER")`.

    Args:
        model: any model of the collection; its towers are exported exactly, and its pooler; heads
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
            TorchScript archive); or a tag of open_clip such as "openai", which is fetched.
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
        return _import_file(path, name, quick_gelu)
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
    described = {
        "model_cfg": {
            "embed_dim": embed_dim,
            "quick_gelu": config.quick_gelu,
            "vision_cfg": vision,
            "text_cfg": {**text, "context_length": model.backbone.context_length},
        },
        "preprocess_cfg": {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD},
    }
    write_json(folder / CONFIG, described)
    state = {name: value.contiguous() for name, value in model.backbone.clip.state_dict().items()}
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    if model.pooler is not None:
        settings = {"bclip": json.dumps(model.pooler.config.to_dict(), sort_keys=True)}
        save_file(model.get_submodule("pooler").state_dict(), folder / POOLER, settings)


def _import_folder(folder: Path) -> BClip:
    try:
        described = read_json(folder / CONFIG)["model_cfg"]
        name, context = _name_of(described), described["text_cfg"].get("context_length", 77)
        config = BackboneConfig(
            name, context_length=context, quick_gelu=bool(described.get("quick_gelu", False))
        )
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: expected {CONFIG} of open_clip, but {error!r}") from error
    backbone = create_backbone(config, read_weights(folder / WEIGHTS))
    if not (folder / POOLER).is_file():
        return BClip(backbone)
    settings, weights = read_safetensors(folder / POOLER)
    shape = PoolerConfig.from_dict(json.loads(settings["bclip"]))
    model = BClip(backbone, build_pooler(backbone.dim, shape))
    load_exactly(model.get_submodule("pooler"), weights, f"checkpoint {folder / POOLER}")
    return model


def _import_file(path: Path, name: str | None, quick_gelu: bool | None) -> BClip:
    if quick_gelu is None and is_torchscript(path):
        quick_gelu = True  # only OpenAI published CLIP this way
    if quick_gelu is None and name is not None and name.endswith("-quickgelu"):
        quick_gelu = True
    if quick_gelu is None:
        raise CheckpointError(
            f"checkpoint {path}: weights do not tell their activation: say quick_gelu=True "
            "(OpenAI's and what was tuned from them) or quick_gelu=False (open_clip's default)"
        )
    weights = read_weights(path)
    try:
        found = name or recognise(weights)
        positions = len(weights["positional_embedding"])
        config = BackboneConfig(found, context_length=positions, quick_gelu=quick_gelu)
        return BClip(create_backbone(config, weights))
    except KeyError as error:
        raise CheckpointError(f"checkpoint {path}: weight {error}: missing") from error
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error


def _name_of(described: Mapping[str, Any]) -> str:
    """The known architecture that a configuration of open_clip describes."""
    wanted = towers(described["embed_dim"], described["vision_cfg"], described["text_cfg"])
    for name in known_architectures():
        if towers(*architecture(name)) == wanted:
            return name
    raise CheckpointError(
        f"model_cfg {dict(described)}: expected one of {', '.join(known_architectures())}"
    )
