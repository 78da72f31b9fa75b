"""Weights on disk: the collection's own files, the authors' released ones, open_clip's."""

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints.open_clip import export_open_clip, import_open_clip
from bclip_core.checkpoints.own import SHIPPED, build_model, load, own_weights, save
from bclip_core.checkpoints.released import import_released

__all__ = [
    "SHIPPED",
    "CheckpointError",
    "build_model",
    "export_open_clip",
    "import_open_clip",
    "import_released",
    "load",
    "own_weights",
    "save",
]
