"""A released model under open_clip's names, with what sets it apart; from there to a `BClip`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from bclip_core.backbone import CheckpointError, create_backbone, load_exactly
from bclip_core.backbone.architectures import architecture
from bclip_core.checkpoints.recognition import recognise, require_shape
from bclip_core.config import BackboneConfig, ConfigError, HeadsConfig, PoolerConfig
from bclip_core.model import BClip, Heads
from bclip_core.poolers import build_pooler

RELEASED_POOLER = {"heads": 8, "init": "xavier"}  # at any width, from torch's default start


@dataclass
class Layout:
    """What a file of some released format amounts to.

    Attributes:
        origin: name of the format, as `describe` tells it.
        clip: weights of an `open_clip.model.CLIP`.
        quick_gelu: the activation where format or files tell it, else None.
        patches, resize, mean, std, frozen_positions: see `BackboneConfig`.
        short: weights of a `text_paths.ShortPath`; empty: one path for all texts.
        pooler: weights of a pooler; empty: none.
        pooler_kind: of `poolers.POOLERS`.
        pooler_prefix: what their names had in the file, for messages.
        logit_bias: what a sigmoid loss learnt, or None.
        heads: of image and text tower, where something states them.
    """

    origin: str
    clip: dict[str, Tensor]
    quick_gelu: bool | None = None
    patches: str = "value"
    resize: str = "crop"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    frozen_positions: int = 0
    short: dict[str, Tensor] = field(default_factory=dict)
    pooler: dict[str, Tensor] = field(default_factory=dict)
    pooler_kind: str = "beta_clip"
    pooler_prefix: str = ""
    logit_bias: Tensor | None = None
    heads: tuple[int, int] | None = None


def assemble(
    layout: Layout, source: str | Path, name: str = "", quick_gelu: bool | None = None
) -> BClip:
    """The model of a layout, in float32.

    Args:
        layout: from an importer.
        source: where it came from, for messages.
        name: the architecture; "" finds it by the shapes.
        quick_gelu: the activation, where the format does not tell it.

    Raises:
        CheckpointError: weights are missing, unknown or of other shapes than the architecture's,
            or nobody stated the activation.
        ConfigError: an unknown `name`, or an activation that contradicts the format.
    """
    if name:
        architecture(name)
    activation = _activation(layout, source, name, quick_gelu)
    try:
        model = _build(layout, source, name, activation)
    except (CheckpointError, ConfigError) as error:
        text = str(error)
        prefix = f"checkpoint {source}"
        raise CheckpointError(text if text.startswith(prefix) else f"{prefix}: {text}") from error
    model.origin = layout.origin
    return model


def _activation(layout: Layout, source: str | Path, name: str, asked: bool | None) -> bool:
    told = layout.quick_gelu
    if told is None and name.endswith("-quickgelu"):
        told = True
    if told is None and asked is None:
        raise CheckpointError(
            f"checkpoint {source}: weights do not tell their activation: say quick_gelu=True "
            "(OpenAI's and what was tuned from them) or quick_gelu=False (open_clip's default)"
        )
    if told is not None and asked is not None and told != asked:
        raise ConfigError(
            f"quick_gelu={asked}: expected {told}, the activation of {layout.origin} ({source})"
        )
    return bool(asked if told is None else told)


def _build(layout: Layout, source: str | Path, name: str, quick_gelu: bool) -> BClip:
    if "positional_embedding" not in layout.clip:
        raise CheckpointError("weight 'positional_embedding': missing")
    if name:
        require_shape(layout.clip, name, layout.heads)
    config = BackboneConfig(
        name or recognise(layout.clip, layout.heads),
        context_length=len(layout.clip["positional_embedding"]),
        quick_gelu=quick_gelu,
        patches=layout.patches,
        short_context=_rows(layout.short),
        frozen_positions=layout.frozen_positions,
        resize=layout.resize,
        mean=layout.mean,
        std=layout.std,
    )
    backbone = create_backbone(config, layout.clip)
    if backbone.short is not None:
        load_exactly(backbone.short, layout.short, f"checkpoint {source}, its short text path")
    model = BClip(backbone)
    if layout.pooler:
        shape = PoolerConfig(**RELEASED_POOLER, kind=layout.pooler_kind)  # type: ignore[arg-type]
        add_pooler(model, shape, layout.pooler, f"checkpoint {source}, {layout.pooler_prefix}*")
    if layout.logit_bias is not None:
        add_bias(model, layout.logit_bias)
    return model


def _rows(short: Mapping[str, Tensor]) -> int:
    return len(short["positional_embedding"]) if short else 0


def add_pooler(
    model: BClip, shape: PoolerConfig, weights: Mapping[str, Tensor], source: str
) -> None:
    """Give a model a pooler with these weights.

    Raises:
        CheckpointError: they do not fit, or the model's width does not divide into the heads.
    """
    dim = model.backbone.dim
    if dim % shape.heads:
        raise CheckpointError(f"{source}: width {dim}: expected a multiple of {shape.heads} heads")
    model.pooler = build_pooler(dim, shape)  # no larger than the backbone, which is there already
    load_exactly(model.get_submodule("pooler"), weights, source)


def add_bias(model: BClip, logit_bias: Tensor) -> None:
    """Keep the bias that a sigmoid loss learnt beside the model, where such a loss reads it.

    Raises:
        CheckpointError: it is no single finite number.
    """
    if logit_bias.numel() != 1:
        raise CheckpointError(f"logit_bias {list(logit_bias.shape)}: expected a single number")
    if not math.isfinite(float(logit_bias.reshape(()))):
        raise CheckpointError(f"logit_bias {float(logit_bias.reshape(()))}: expected a finite one")
    rows, columns = model.backbone.grid
    learnt = {"sigmoid_bias": float(logit_bias.reshape(()))}
    heads = Heads(learnt, model.backbone.dim, rows * columns, False, HeadsConfig())
    model.heads = heads


def bias_of(model: BClip) -> Tensor | None:
    """The bias that `add_bias` keeps, or None."""
    if model.heads is None or "sigmoid_bias" not in model.heads.names:
        return None
    bias: Tensor = model.heads.scalars["sigmoid_bias"].detach()
    return bias
