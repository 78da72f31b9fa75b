"""Shared by tests of studies."""

import pytest
import torch

from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.model import BClip


@pytest.fixture(scope="session")
def pooled_model() -> BClip:
    """A tiny untrained model with a pooler of one head; tests leave it as it is."""
    torch.manual_seed(0)
    return build_model(BackboneConfig("scene-tiny"), PoolerConfig(heads=1)).eval()
