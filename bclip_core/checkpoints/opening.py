"""Any weights that the collection reads, by one name: the door that every command goes through."""

from __future__ import annotations

from pathlib import Path

import torch

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import hub, importing, open_clip, own
from bclip_core.checkpoints.weights import read_safetensors
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.model import BClip

RANDOM = "random"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def open_model(
    source: str | Path, *, architecture: str = "", quick_gelu: bool | None = None
) -> BClip:
    """A model from any weights that the collection reads, told apart by what they hold.

    Args:
        source: "scenes", the shipped model; "random", fresh weights with a fresh pooler; a file or
            a folder of `save`, `save_pretrained`, open_clip, Hugging Face or a paper's authors (see
            `formats.READ`); a run's folder; a tag of open_clip such as "openai"; or the name of a
            model on the hub, "OWNER/NAME", with "@REVISION" behind it if not the newest is meant.
        architecture: where the source does not tell it: for tags, random weights and files whose
            heads nothing states.
        quick_gelu: the activation, where the source does not tell it.

    Raises:
        CheckpointError, ConfigError: it cannot be used; the message is one line that says why.
    """
    text = str(source)
    if text == RANDOM:
        torch.manual_seed(0)
        config = BackboneConfig(architecture or "ViT-B-16", quick_gelu=quick_gelu is not False)
        return own.build_model(config, PoolerConfig())
    if text in own.SHIPPED:
        return _open_file(own.SHIPPED[text], architecture, quick_gelu)
    path = Path(source).expanduser()
    try:
        if path.is_file():
            return _open_file(path, architecture, quick_gelu)
        if path.is_dir():
            return open_folder(path, architecture, quick_gelu)
    except OSError as error:
        raise CheckpointError(f"{source}: cannot be read: {error}") from error
    if hub.is_name(text) and path.suffix not in WEIGHT_SUFFIXES:
        return open_folder(hub.fetch(text), architecture, quick_gelu)
    return open_clip.import_open_clip(text, architecture or None, quick_gelu=quick_gelu)


def is_tag(source: str) -> bool:
    """Whether a source can only be a tag of open_clip: a word that is nothing else."""
    known = (RANDOM, *own.SHIPPED)
    return source not in known and "/" not in source and not Path(source).exists()


def from_pretrained(source: str | Path, *, revision: str = "", token: str | None = None) -> BClip:
    """A model that `save_pretrained` wrote or `push_to_hub` uploaded, or any other of the hub.

    Args:
        source: a folder, or "OWNER/NAME".
        revision: branch, tag or commit of the hub; "": the newest.
        token: for private models; None takes the one of `hf auth login`.

    Raises:
        CheckpointError: unreachable, private or missing, no such revision, or no model that is
            read; the message is one line that says which.
    """
    if Path(source).is_dir():
        return open_folder(Path(source))
    name = f"{source}@{revision}" if revision else str(source)
    return open_folder(hub.fetch(name, token))


def open_folder(folder: Path, architecture: str = "", quick_gelu: bool | None = None) -> BClip:
    """A model from a folder, told apart by the files that lie in it.

    Raises:
        CheckpointError, ConfigError: as `open_model`.
    """
    ours = folder / own.WEIGHTS
    if ours.is_file() and "bclip" in read_safetensors(ours)[0]:
        return _open_file(ours, architecture, quick_gelu)
    if (folder / open_clip.CONFIG).is_file():
        return open_clip.import_open_clip(folder)
    if (folder / importing.HF_CONFIG).is_file() and any(
        (folder / name).is_file() for name in importing.HF_WEIGHTS
    ):
        return importing.import_hugging_face(folder, architecture, quick_gelu)
    found = sorted(p for p in folder.iterdir() if p.suffix in WEIGHT_SUFFIXES and p.is_file())
    if len(found) == 1:
        return _open_file(found[0], architecture, quick_gelu)
    names = ", ".join(path.name for path in found) or "none"
    raise CheckpointError(f"folder {folder}: expected a model, found weight files: {names}")


def _open_file(path: Path, architecture: str, quick_gelu: bool | None) -> BClip:
    if path.suffix == ".safetensors" and "bclip" in read_safetensors(path)[0]:
        model = own.load(path)
        asked = model.backbone.config
        if architecture:
            asked = asked.replace(name=architecture)
        if quick_gelu is not None:
            asked = asked.replace(quick_gelu=quick_gelu)
        own.refuse_mismatch(model.backbone.config, asked, str(path))
        return model
    return importing.import_file(path, architecture, quick_gelu)
