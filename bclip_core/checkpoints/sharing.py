"""Any model into a folder or onto the hub, and back: `HubModel`'s methods as functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bclip_core.checkpoints.opening import HubModel
from bclip_core.model import BClip


def save_pretrained(
    model: BClip, folder: str | Path, facts: Mapping[str, Any] | None = None
) -> Path:
    """Write weights, configuration and a card into a folder; see `HubModel.save_pretrained`."""
    HubModel(model).save_pretrained(folder, model_card_kwargs=facts)
    return Path(folder)


def push_to_hub(
    model: BClip,
    name: str,
    facts: Mapping[str, Any] | None = None,
    *,
    private: bool = True,
    revision: str = "",
    token: str | None = None,
) -> str:
    """Upload a model, a private one if it is new; see `HubModel.push_to_hub`."""
    return HubModel(model).push_to_hub(
        name, model_card_kwargs=facts, private=private, branch=revision or None, token=token
    )


def from_pretrained(
    source: str | Path, *, revision: str = "", token: str | None = None
) -> HubModel:
    """A model of a folder or of the hub; see `HubModel.from_pretrained`."""
    return HubModel.from_pretrained(source, revision=revision or None, token=token)
