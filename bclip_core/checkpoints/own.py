"""The collection's own files: safetensors with the configuration in the header, checked at load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bclip_core import __version__
from bclip_core.backbone import CheckpointError, create_backbone, load_exactly
from bclip_core.backbone.loading import refuse_unfit
from bclip_core.checkpoints.weights import is_safetensors, one_line, read_safetensors, read_weights
from bclip_core.config import BackboneConfig, HeadsConfig, PoolerConfig, RunConfig
from bclip_core.model import BClip, Heads, HeadsSpec, Parts, get_method
from bclip_core.poolers import build_pooler
from bclip_core.records.files import parse_json, write_atomically

WEIGHTS = "model.safetensors"  # in the folder of a run and of `hub.save_pretrained`
PRETRAINED_FOLDER = Path(__file__).parent / "pretrained"
SHIPPED = {
    name: PRETRAINED_FOLDER / f"{name}.safetensors" for name in ("scenes", "scenes-beta-clip")
}
"""A CLIP of procedural scenes, which every run starts from, and a β-CLIP fine-tuned from it."""
# Fields that change what a model computes: weights never load across a difference in one of them.
# A longer context is not a mismatch where stretching is asked for, see `start_model`.
CHECKED_BACKBONE_FIELDS = (
    "name", "quick_gelu", "context_length", "patches", "short_context", "resize", "mean", "std"
)  # fmt: skip


def build_model(
    backbone: BackboneConfig, pooler: PoolerConfig | None, heads: HeadsSpec | None = None
) -> BClip:
    """A model of that shape, with the weights that the backbone names, if any, else random ones.

    Args:
        backbone: which CLIP; its weights may be a tag of open_clip or a file of open_clip's names,
            all else `open_model` opens.
        pooler: None for methods that do not pool patches.
        heads: names, calibration and sizes of learnt heads; None for methods without.
    """
    file = Path(backbone.pretrained)
    weights = read_weights(file) if backbone.pretrained and file.is_file() else None
    return equip(BClip(create_backbone(backbone, weights)), pooler, heads)


def equip(model: BClip, pooler: PoolerConfig | None, heads: HeadsSpec | None) -> BClip:
    """Fresh pooler and heads for a backbone, drawn in this order."""
    if pooler is not None:
        model.pooler = build_pooler(model.backbone.dim, pooler)
    if heads is not None:
        scalars, calibrate, config = heads
        rows, columns = model.backbone.grid
        model.heads = Heads(scalars, model.backbone.dim, rows * columns, calibrate, config)
    return model


def own_weights(pretrained: str) -> Path | None:
    """The file of `save` that a backbone's `pretrained` names: "scenes" or a path to one.

    None for everything else: random weights, open_clip's tags and open_clip's files.
    """
    if pretrained in SHIPPED:
        return SHIPPED[pretrained]
    path = Path(pretrained)
    if not path.is_file() or not is_safetensors(path):
        return None
    return path if "bclip" in read_safetensors(path)[0] else None


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
        "heads": None if model.heads is None else model.heads.to_dict(),
    }
    if model.origin:
        header["origin"] = model.origin
    metadata = {"bclip": json.dumps(header, sort_keys=True)}
    return write_atomically(Path(path), lambda temporary: save_file(state, temporary, metadata))


def load(path: Path, expected: RunConfig | Parts | None = None) -> BClip:
    """Read a model written by `save`, in float32.

    Args:
        path: a `.safetensors` file.
        expected: refuse the file when backbone, activation, context, pooler or heads differ from
            those of this run, or from these parts.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: not ours, damaged, or different from `expected` (both values are shown).
    """
    path = Path(path)
    metadata, state = read_safetensors(path)
    if "bclip" not in metadata:
        raise CheckpointError(f"checkpoint {path}: no 'bclip' header; expected a file of save()")
    try:
        header = parse_json(metadata["bclip"])
        backbone = BackboneConfig.from_dict(header["backbone"])
        pooler = None if header["pooler"] is None else PoolerConfig.from_dict(header["pooler"])
        heads, origin = _heads_of(header), str(header.get("origin", ""))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        found = f"{type(error).__name__}: {one_line(error)}"
        raise CheckpointError(f"checkpoint {path}: header cannot be read: {found}") from error
    if expected is not None:
        _refuse_other(path, (backbone, pooler, heads), expected)
    # Weights follow from the file, so nothing is fetched for the tag that they once started from.
    bare = backbone.replace(pretrained="")
    try:
        refuse_unfit(lambda: build_model(bare, pooler, heads), state, f"checkpoint {path}")
    except CheckpointError:
        raise
    except Exception as error:  # what a header asks for may be built by nobody
        found = f"{type(error).__name__}: {one_line(error)}"
        raise CheckpointError(f"checkpoint {path}: header makes no model: {found}") from error
    model = build_model(bare, pooler, heads)
    load_exactly(model, state, f"checkpoint {path}")
    model.backbone.config, model.origin = backbone, origin
    return model


def _refuse_other(
    path: Path,
    stored: tuple[BackboneConfig, PoolerConfig | None, HeadsSpec | None],
    expected: RunConfig | Parts,
) -> None:
    """Refuse a file whose parts are not those of a run."""
    if isinstance(expected, RunConfig):
        expected = get_method(expected.method).parts(expected)
    backbone, pooler, heads = stored
    refuse_mismatch(backbone, expected.backbone, str(path))
    asked, learnt = expected.pooler, expected.heads
    shapes = [
        None if one is None else (one.kind, one.heads, one.key_blur) for one in (pooler, asked)
    ]
    if shapes[0] != shapes[1]:
        raise CheckpointError(f"checkpoint {path}: pooler is {pooler}, but asked for is {asked}")
    found, wanted = (None if one is None else one.shape for one in (heads, learnt))
    if found != wanted:
        raise CheckpointError(f"checkpoint {path}: heads are {found}, but asked is {wanted}")


def _heads_of(header: dict[str, Any]) -> HeadsSpec | None:
    """The heads of a file's header; files from before there were any have none."""
    stored = dict(header.get("heads") or {})
    if not stored:
        return None
    names, calibrate = tuple(stored.pop("names")), bool(stored.pop("calibrate"))
    starts = dict.fromkeys(names, 0.0)  # their values are among the weights
    return HeadsSpec(starts, calibrate, HeadsConfig.from_dict(stored))


def refuse_mismatch(
    stored: BackboneConfig, asked: BackboneConfig, name: str, but: Sequence[str] = ()
) -> None:
    """Refuse weights that compute something else than what was asked for.

    Args:
        stored: what they are.
        asked: what they should be.
        name: what messages call them.
        but: fields that may differ.

    Raises:
        CheckpointError: the first difference, with both values.
    """
    for field in CHECKED_BACKBONE_FIELDS:
        have, want = getattr(stored, field), getattr(asked, field)
        if have != want and field not in but:
            raise CheckpointError(
                f"checkpoint {name}: backbone {field} is {have!r}, but {want!r} was asked for"
            )
