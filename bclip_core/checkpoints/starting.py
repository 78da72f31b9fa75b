"""The model that a training starts from: any weights that are read, with fresh pooler and heads.

With `pooler.init="weights"` the pooler and the learnt heads of these weights go on, too: a further
stage of a training, at another resolution or on other data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bclip_core.backbone import CheckpointError
from bclip_core.backbone.architectures import split_size
from bclip_core.checkpoints.opening import RANDOM, fetched, is_of_hub, is_tag, open_model
from bclip_core.checkpoints.own import (
    WEIGHTS,
    build_model,
    equip,
    own_weights,
    refuse_mismatch,
)
from bclip_core.checkpoints.weights import one_line
from bclip_core.config import BackboneConfig, ConfigError
from bclip_core.model import BClip, Parts, Reading


def start_model(parts: Parts, reading: Reading, seed: int, decided: Sequence[str] = ()) -> BClip:
    """Pretrained weights, positions stretched; pooler and heads fresh, or of the same weights.

    What sets weights apart (kind of patches, text paths, frozen positions, preprocessing) stays
    with them; the parts have to name it, so that a configuration is the record of what was trained.

    Args:
        parts: what the model is made of; its backbone names the weights.
        reading: what a training forward pass computes.
        seed: decides the draw of all that is fresh.
        decided: fields of the backbone that may differ from the weights'; of these the kind of
            patches is taken over from `parts`: they are the same weights.

    Raises:
        ConfigError: an unknown backbone, heads that do not divide the width, or a pooler of
            weights that can have none.
        CheckpointError: the weights do not fit the parts.
    """
    torch.manual_seed(seed)
    asked, source = parts.backbone, parts.backbone.pretrained
    goes_on = parts.pooler is not None and parts.pooler.init == "weights"
    if not source or source == RANDOM or is_tag(source):
        if goes_on:
            raise ConfigError(
                f"pooler.init='weights': backbone.pretrained={source!r} has no pooler; expected "
                "weights of a run that had one, or pooler.init=identity"
            )
    if not source or is_tag(source):
        model = build_model(*parts)
        model.reading = reading
        return model
    place = _place(source)
    ours = _is_ours(place)  # these state their architecture themselves
    opened = _open_at_size(asked, place, ours)
    backbone = opened.backbone
    refuse_mismatch(backbone.config, asked, source, but=("context_length", *decided))
    backbone.config = backbone.config.replace(patches=asked.patches)
    backbone.stretch_context(asked.context_length)
    if not ours:  # ours remember what they once started from
        backbone.config = backbone.config.replace(pretrained=source)
    if asked.frozen_positions:
        backbone.frozen_positions = asked.frozen_positions
    torch.manual_seed(seed)
    model = BClip(backbone, reading=reading)
    if goes_on:
        return _equip_from(opened, model, parts)
    return equip(model, parts.pooler, parts.heads)


def _equip_from(opened: BClip, model: BClip, parts: Parts) -> BClip:
    """Pooler and heads as another model has them.

    Raises:
        CheckpointError: it has none, or others than the parts.
    """
    source, asked = parts.backbone.pretrained, parts.pooler
    assert asked is not None, "without a pooler there is none to go on with"
    if opened.pooler is None:
        raise CheckpointError(f"checkpoint {source}: has no pooler; pooler.init='weights' needs it")
    found = opened.pooler.config
    if (found.kind, found.heads) != (asked.kind, asked.heads):
        raise CheckpointError(f"checkpoint {source}: pooler is {found}, but asked for is {asked}")
    model = equip(model, found.replace(key_blur=asked.key_blur), parts.heads)
    have, want = (None if one is None else one.names for one in (opened.heads, model.heads))
    calibrated = [one is not None and one.calibrate for one in (opened.heads, model.heads)]
    if have != want or calibrated[0] != calibrated[1]:
        raise CheckpointError(
            f"checkpoint {source}: its learnt heads are {_told(have, calibrated[0])}, but the "
            f"method's are {_told(want, calibrated[1])}; pooler.init='weights' takes over all"
        )
    for name in ("pooler", "heads"):
        fresh, learnt = getattr(model, name), getattr(opened, name)
        if fresh is None:
            continue
        try:
            fresh.load_state_dict(learnt.state_dict())
        except RuntimeError as error:
            raise CheckpointError(
                f"checkpoint {source}: {name} cannot go on here: {one_line(error)}"
            ) from error
    return model


def _told(names: Sequence[str] | None, calibrated: bool) -> str:
    parts = [*(names or ()), *(["token calibration"] if calibrated else [])]
    return ", ".join(parts) or "none"


def _is_ours(source: str) -> bool:
    """Whether the weights are a file of `save`, or a folder with one: a run's, a hub model's."""
    return any(own_weights(str(path)) is not None for path in (source, Path(source) / WEIGHTS))


def _place(source: str) -> str:
    """Where weights lie: a hub's model in the cache; what is here, or a tag, as it is named."""
    return str(fetched(source)) if is_of_hub(source) else source


def _open_at_size(asked: BackboneConfig, place: str, ours: bool) -> BClip:
    """The weights, whose backbone reads pictures of the size that a name with "@" asks for."""
    name, size = split_size(asked.name)
    expected = "" if size and ours else name
    model = open_model(place, architecture=expected, quick_gelu=asked.quick_gelu)
    if size and split_size(model.backbone.config.name)[0] == name:
        model.backbone.resize_images(size)
    return model
