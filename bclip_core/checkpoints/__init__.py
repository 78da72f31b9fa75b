"""Weights on disk: the collection's own files, the authors' released ones, open_clip's, the hub."""

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints.hugging_face import export_hugging_face
from bclip_core.checkpoints.importing import import_released
from bclip_core.checkpoints.open_clip import export_open_clip, import_open_clip
from bclip_core.checkpoints.opening import HubModel, is_tag, open_model
from bclip_core.checkpoints.own import SHIPPED, build_model, load, own_weights, save
from bclip_core.checkpoints.sharing import from_pretrained, push_to_hub, save_pretrained
from bclip_core.checkpoints.starting import start_model

__all__ = [
    "SHIPPED",
    "CheckpointError",
    "HubModel",
    "build_model",
    "export_hugging_face",
    "export_open_clip",
    "from_pretrained",
    "import_open_clip",
    "import_released",
    "is_tag",
    "load",
    "open_model",
    "own_weights",
    "push_to_hub",
    "save",
    "save_pretrained",
    "start_model",
]
