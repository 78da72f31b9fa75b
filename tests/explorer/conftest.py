"""A tiny model with a pooler, and a workbench that knows it."""

import pytest
import torch

from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.explorer import Workbench


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    return build_model(BackboneConfig("scene-tiny"), PoolerConfig()).eval()


@pytest.fixture(scope="session")
def workbench(model, held_out_scenes, tmp_path_factory):
    """Models "pooled" and "clip"; no runs."""
    return Workbench({"pooled": model}, held_out_scenes, tmp_path_factory.mktemp("runs"))
