"""The pretrained scene model that the repository ships, and the record that describes it."""

from __future__ import annotations

import os
import tempfile
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
    test = load_split(run.config.data, "test")
    history = run.history()
    with tempfile.TemporaryDirectory(prefix=".ship-", dir=SHIPPED_MODEL.parent) as folder:
        # Measured before it takes the old one's place, so that weights and record go together.
        stored = checkpoints.save(
            run.model(), Path(folder, SHIPPED_MODEL.name), dtype=torch.float16
        )
        record = {
            **provenance(),
            "config": run.config.to_dict(),
            "sha256": sha256(stored),
            "training_curve": history[:: max(1, len(history) // CURVE_POINTS)],
            "metrics": scenes.evaluate(checkpoints.load(stored), test),
        }
        described = write_json(Path(folder, SHIPPED_RECORD.name), record)
        os.replace(stored, SHIPPED_MODEL)
        os.replace(described, SHIPPED_RECORD)
    return SHIPPED_MODEL
