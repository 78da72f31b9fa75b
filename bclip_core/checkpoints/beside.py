"""What a foreign layout has no place for, written beside it and read back by this collection alone.

A plain open_clip or a `CLIPModel` computes global embeddings of pictures and texts. It does not
know poolers, patch embeddings and their kind, which positions were frozen in training, or, in
open_clip's layout, a second path for short texts. `left_out` names what of it a model has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints.layout import Layout, add_pooler, bias_of
from bclip_core.checkpoints.weights import read_safetensors
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig
from bclip_core.model import BClip
from bclip_core.records.files import parse_json, read_json, write_json

POOLER = "bclip_pooler.safetensors"
SHORT = "bclip_short_text.safetensors"
SETTINGS = "bclip_settings.json"
_KEPT = ("patches", "frozen_positions")


def left_out(model: BClip, layout: str) -> list[str]:
    """What a foreign program that loads an export does not see, one phrase each.

    Args:
        model: that is exported.
        layout: "open_clip" or "hugging_face".
    """
    config, found = model.backbone.config, []
    if model.pooler is not None:
        found.append(f"the {model.pooler.config.kind} pooler ({POOLER})")
    if config.patches != "value":
        found.append(f"patches by {config.patches!r} ({SETTINGS})")
    if config.frozen_positions:
        found.append(f"{config.frozen_positions} frozen text positions ({SETTINGS})")
    if config.short_context and layout == "open_clip":
        found.append(f"the path of texts of at most {config.short_context} ids ({SHORT})")
    if config.short_context and layout == "hugging_face":
        found.append("the path of longer texts (under FG-CLIP's names)")
    names = () if model.heads is None else model.heads.names
    if "sigmoid_bias" in names and layout == "hugging_face":
        found.append(f"the bias of a sigmoid loss ({SETTINGS})")
    lost = [name for name in names if name != "sigmoid_bias"]
    if lost:
        found.append(f"learnt scalars of the loss, not kept: {', '.join(lost)}")
    if model.heads is not None and model.heads.calibrate:
        found.append("token calibration of the loss, not kept")
    return found


def write(model: BClip, folder: Path, layout: str) -> None:
    """Write it; nothing for a model that a foreign layout holds whole.

    Args:
        model: that is exported.
        folder: of the export.
        layout: as for `left_out`.
    """
    config = model.backbone.config
    default = BackboneConfig()
    kept = {n: getattr(config, n) for n in _KEPT if getattr(config, n) != getattr(default, n)}
    settings: dict[str, Any] = {"backbone": kept} if kept else {}
    if model.origin:
        settings["origin"] = model.origin
    bias = bias_of(model)
    if bias is not None and layout == "hugging_face":
        settings["logit_bias"] = float(bias)
    missing = left_out(model, layout)
    if missing:
        settings["left_out"] = missing
    if settings:
        write_json(folder / SETTINGS, settings)
    if layout == "open_clip" and model.backbone.short is not None:
        save_file(model.backbone.short.state_dict(), folder / SHORT)
    if model.pooler is not None:
        shape = {"bclip": json.dumps(model.pooler.config.to_dict(), sort_keys=True)}
        save_file(model.get_submodule("pooler").state_dict(), folder / POOLER, shape)


def read(layout: Layout, folder: Path) -> None:
    """Complete a layout by what lies beside its weights; the pooler follows by `read_pooler`.

    Raises:
        CheckpointError: it cannot be used.
    """
    if (folder / SETTINGS).is_file():
        try:
            settings = read_json(folder / SETTINGS)
            for name, value in settings.get("backbone", {}).items():
                if name not in _KEPT:
                    raise KeyError(name)
                setattr(layout, name, value)
            layout.origin = str(settings.get("origin", ""))
            if "logit_bias" in settings:
                layout.logit_bias = torch.tensor(float(settings["logit_bias"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{folder / SETTINGS}: cannot be used: {error!r}") from error
    if (folder / SHORT).is_file():
        layout.short = read_safetensors(folder / SHORT)[1]


def read_pooler(model: BClip, folder: Path) -> None:
    """Give a model the pooler that lies beside its weights, if one does.

    Raises:
        CheckpointError: it cannot be used.
    """
    path = folder / POOLER
    if not path.is_file():
        return
    metadata, weights = read_safetensors(path)
    try:
        shape = PoolerConfig.from_dict(parse_json(metadata["bclip"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path}: header: {error!r}") from error
    try:
        add_pooler(model, shape, weights, f"checkpoint {path}")
    except ConfigError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error
