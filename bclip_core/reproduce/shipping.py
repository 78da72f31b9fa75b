"""The pretrained scene model that the repository ships, and the record that describes it."""

from __future__ import annotations

from pathlib import Path

import torch

from bclip_core import checkpoints
from bclip_core.data.sources import load_split
from bclip_core.evaluation.protocols import scenes
from bclip_core.records.files import sha256, write_json
from bclip_core.records.results import provenance
from bclip_core.train import Run

SHIPPED_MODEL = checkpoints.SHIPPED["scenes"]
SHIPPED_RECORD = SHIPPED_MODEL.with_suffix(".json")
CURVE_POINTS = 200


def ship_pretrained(run: Run) -> Path:
    """Store a run's weights in half precision as the shipped model, with its record beside it.

    The record has configuration, seed, provenance, training curve, and the metrics of the stored
    half-precision weights, measured after reading them back.

    Returns:
        The file of weights.
    """
    checkpoints.save(run.model(), SHIPPED_MODEL, dtype=torch.float16)
    test = load_split(run.config.data, "test")
    history = run.history()
    record = {
        **provenance(),
        "config": run.config.to_dict(),
        "sha256": sha256(SHIPPED_MODEL),
        "training_curve": history[:: max(1, len(history) // CURVE_POINTS)],
        "metrics": scenes.evaluate(checkpoints.load(SHIPPED_MODEL), test),
    }
    write_json(SHIPPED_RECORD, record)
    return SHIPPED_MODEL
