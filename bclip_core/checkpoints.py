"""Weights on disk: safetensors with the configuration in the header, checked when loaded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bclip_core import __version__
from bclip_core.backbone import create_backbone
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig, RunConfig
from bclip_core.files import write_atomically
from bclip_core.methods import get_method
from bclip_core.model import BClip
from bclip_core.poolers import TextConditionedPooler

PRETRAINED_FOLDER = Path(__file__).parent / "pretrained"
SHIPPED = {"scenes": PRETRAINED_FOLDER / "scenes.safetensors"}
# Fields that change what a model computes: weights never load across a difference in one of them.
# A longer context is not a mismatch where stretching is asked for, see `create_model`.
CHECKED_BACKBONE_FIELDS = ("name", "quick_gelu", "context_length")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which part, what it has and what was asked."""


def build_model(backbone: BackboneConfig, pooler: PoolerConfig | None) -> BClip:
    """A model of that shape with random weights (or open_clip's own, when the backbone names them).

    Args:
        backbone: which CLIP.
        pooler: None for methods that do not pool patches.
    """
    tower = create_backbone(backbone)
    if pooler is None:
        return BClip(tower)
    return BClip(tower, TextConditionedPooler(tower.dim, pooler.heads, pooler.init))


def create_model(config: RunConfig) -> BClip:
    """The model that a run starts from: pretrained weights, positions stretched, fresh pooler.

    The draw of the fresh weights depends on `config.train.seed` alone.

    Raises:
        ConfigError: unknown method or backbone.
        CheckpointError: the pretrained weights do not fit the configuration.
    """
    torch.manual_seed(config.train.seed)
    pooler = config.pooler if get_method(config.method).pooler else None
    weights = own_weights(config.backbone.pretrained)
    if weights is None:
        return build_model(config.backbone, pooler)
    backbone = load(weights).backbone
    stored, asked = backbone.config, config.backbone
    _refuse_mismatch(stored, asked.replace(context_length=stored.context_length), str(weights))
    backbone.stretch_context(asked.context_length)
    model = BClip(backbone)
    if pooler is not None:
        torch.manual_seed(config.train.seed)
        model.pooler = TextConditionedPooler(model.backbone.dim, pooler.heads, pooler.init)
    return model


def own_weights(pretrained: str) -> Path | None:
    """The file of `save` that a backbone's `pretrained` names: "scenes" or a path to one.

    None for everything else: random weights, open_clip's tags and open_clip's files.
    """
    if pretrained in SHIPPED:
        return SHIPPED[pretrained]
    path = Path(pretrained)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    return path if "bclip" in _read(path)[0] else None


def save(model: BClip, path: Path, *, dtype: torch.dtype | None = None) -> Path:
    """Write weights and configuration; a kill or a full disk leaves the previous file whole.

    Args:
        model: to save.
        path: a `.safetensors` file.
        dtype: store floating-point weights in this type (half precision for shipping); None as is.
    """
    state = {
        name: (value.to(dtype) if dtype and value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    header = {
        "format": 1,
        "version": __version__,
        "backbone": model.backbone.config.to_dict(),
        "pooler": None if model.pooler is None else model.pooler.config.to_dict(),
    }
    metadata = {"bclip": json.dumps(header, sort_keys=True)}
    return write_atomically(Path(path), lambda temporary: save_file(state, temporary, metadata))


def load(path: Path, expected: RunConfig | None = None) -> BClip:
    """Read a model written by `save`, in float32.

    Args:
        path: a `.safetensors` file.
        expected: refuse the file when backbone, activation, context or pooler differ from this.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: not ours, damaged, or different from `expected` (both values are shown).
    """
    path = Path(path)
    metadata, state = _read(path)
    if "bclip" not in metadata:
        raise CheckpointError(f"checkpoint {path}: no 'bclip' header; expected a file of save()")
    header = json.loads(metadata["bclip"])
    backbone = BackboneConfig.from_dict(header["backbone"])
    pooler = None if header["pooler"] is None else PoolerConfig.from_dict(header["pooler"])
    if expected is not None:
        _refuse_mismatch(backbone, expected.backbone, str(path))
        asked = expected.pooler if get_method(expected.method).pooler else None
        heads = [None if one is None else one.heads for one in (pooler, asked)]
        if heads[0] != heads[1]:
            raise CheckpointError(
                f"checkpoint {path}: pooler is {pooler}, but asked for is {asked}"
            )
    # Weights follow from the file, so nothing is fetched for the tag that they once started from.
    model = build_model(backbone.replace(pretrained=""), pooler)
    try:
        model.load_state_dict({name: value.float() if value.is_floating_point() else value
                               for name, value in state.items()})  # fmt: skip
    except RuntimeError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error
    model.backbone.config = backbone
    return model


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file")
    try:
        with safe_open(path, "pt") as handle:
            return handle.metadata() or {}, {n: handle.get_tensor(n) for n in handle.keys()}
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {path}: damaged or not safetensors: {error}") from error


def _refuse_mismatch(stored: BackboneConfig, asked: BackboneConfig, name: str) -> None:
    for field in dataclasses.fields(BackboneConfig):
        have, want = getattr(stored, field.name), getattr(asked, field.name)
        if field.name in CHECKED_BACKBONE_FIELDS and have != want:
            raise CheckpointError(
                f"checkpoint {name}: backbone {field.name} is {have!r}, but {want!r} was asked for"
            )


__all__ = [
    "CheckpointError",
    "ConfigError",
    "build_model",
    "create_model",
    "load",
    "own_weights",
    "save",
]
