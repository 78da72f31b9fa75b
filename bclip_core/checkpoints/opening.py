"""Any weights that the collection reads, by one name: the door that every command goes through."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin

from bclip_core.backbone import CheckpointError
from bclip_core.backbone.architectures import architecture as architecture_of
from bclip_core.backbone.architectures import split_size, towers
from bclip_core.checkpoints import hub, hugging_face, importing, open_clip, own
from bclip_core.checkpoints.weights import is_safetensors, read_safetensors
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.model import BClip
from bclip_core.records.files import from_home, is_hidden
from bclip_core.records.together import refuse_half

RANDOM = "random"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


class HubModel(BClip, ModelHubMixin):
    """A model with the methods that the hub's users know: all that `open_model` opens is one.

    `huggingface_hub`'s mixin does the transport, the weights are this collection's own file, and
    what goes wrong on the way is one line. `HubModel(model)` shares weights with any model.
    """

    def __init__(self, model: BClip) -> None:
        super().__init__(model.backbone, model.pooler, model.heads, model.reading)
        self.origin, self.training = model.origin, model.training

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        **options: Any,
    ) -> HubModel:
        """A model that `save_pretrained` wrote, or any other folder or model of the hub.

        Args:
            pretrained_model_name_or_path: a folder, or "OWNER/NAME".
            revision: branch, tag or commit of the hub; None: the newest.
            token: for private models; None takes the one of `hf auth login`.
            options: further ones of `huggingface_hub.snapshot_download`, such as `cache_dir`.

        Raises:
            CheckpointError: unreachable, private or missing, no such revision, or no model that is
                read; the message is one line that says which.
        """
        source = str(pretrained_model_name_or_path)
        if Path(source).is_dir():
            if revision:
                raise CheckpointError(
                    f"revision={revision!r}: expected None: {source} is a folder here, which has "
                    "no revisions"
                )
            return cls(open_folder(Path(source)))
        name = f"{source}@{revision}" if revision else source
        return cls(open_folder(hub.fetch(name, token, **options)))

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        model_card_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str | None:
        """Write weights, configuration and a card into a folder, as the hub expects them.

        Args:
            save_directory: is made where it does not exist; weights and configuration in it are
                replaced, and its README.md where there are facts for a new one.
            model_card_kwargs: what the card tells, of `hub.FACTS`; metrics is a mapping.
            options: further ones of the mixin, such as `push_to_hub`.

        Returns:
            The commit's address where it was pushed, else None.

        Raises:
            CheckpointError: an unknown fact, before anything is written.
        """
        facts = dict(model_card_kwargs or {})
        hub.card(self, facts)
        if facts:
            (Path(save_directory) / hub.CARD).unlink(missing_ok=True)
        return super().save_pretrained(save_directory, model_card_kwargs=facts, **options)

    def push_to_hub(
        self, repo_id: str, *, model_card_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> str:
        """Upload; returns the address of the commit.

        Args:
            repo_id: OWNER/NAME; made where it does not exist.
            model_card_kwargs: as for `save_pretrained`.
            options: further ones of the mixin: `private`, `token`, `branch`, `commit_message`, ...

        Raises:
            CheckpointError: an unknown fact, no access, no network, or a name that the hub does not
                allow; one line says which.
        """
        facts = dict(model_card_kwargs or {})
        hub.card(self, facts)
        options = {"commit_message": "Weights and card by bclip"} | options
        with hub.told(repo_id, str(options.get("branch") or "")):
            return str(super().push_to_hub(repo_id, model_card_kwargs=facts, **options))

    def generate_model_card(self, *_: Any, **facts: Any) -> ModelCard:
        """What the model is, how it was trained and measured, how to open it."""
        return ModelCard(hub.card(self, facts))

    def _save_pretrained(self, save_directory: Path) -> None:
        hub.write_files(self, save_directory)


def open_model(
    source: str | Path, *, architecture: str = "", quick_gelu: bool | None = None
) -> HubModel:
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
    return HubModel(_open(source, architecture, quick_gelu))


def _open(source: str | Path, architecture: str, quick_gelu: bool | None) -> BClip:
    text = str(source)
    if text == RANDOM:
        torch.manual_seed(0)
        config = BackboneConfig(architecture or "ViT-B-16", quick_gelu=quick_gelu is not False)
        return own.build_model(config, PoolerConfig())
    if text in own.SHIPPED:
        try:
            refuse_half(own.SHIPPED[text], f"python -m bclip_core.reproduce.shipping {text}")
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        return _open_file(own.SHIPPED[text], architecture, quick_gelu)
    if not text.strip():
        raise CheckpointError(f"{text!r}: expected a file, a folder, a tag or a name of the hub")
    try:
        path = from_home(source)
        if path.is_file():
            return _open_file(path, architecture, quick_gelu)
        if path.is_dir():
            return open_folder(path, architecture, quick_gelu)
        if is_of_hub(text):
            return open_folder(fetched(text), architecture, quick_gelu)
    except OSError as error:
        raise CheckpointError(f"{source}: cannot be read: {error}") from error
    return open_clip.import_open_clip(text, architecture or None, quick_gelu=quick_gelu)


def is_of_hub(source: str) -> bool:
    """Whether a source names a model of the hub: nothing here has its name.

    Raises:
        OSError: whether it is here cannot be seen.
    """
    path = from_home(source)
    return hub.is_name(source) and path.suffix.lower() not in WEIGHT_SUFFIXES and not path.exists()


def fetched(source: str) -> Path:
    """The folder of a hub's model, see `hub.fetch`.

    Raises:
        CheckpointError: as there; of "@" behind the name of something here it is said what it is.
    """
    try:
        return hub.fetch(source)
    except CheckpointError as error:
        plain, at, behind = source.partition("@")
        if not at or not from_home(plain).exists():
            raise
        raise CheckpointError(
            f"{error}; {plain} is here: give its name alone, '@{behind}' is a revision of a hub's "
            "model, and another size of pictures is asked for by backbone.name, as ViT-B-16@336"
        ) from error


def is_tag(source: str) -> bool:
    """Whether a source can only be a tag of open_clip: a word that is nothing else."""
    known = (RANDOM, *own.SHIPPED)
    return source not in known and "/" not in source and not Path(source).exists()


def open_folder(folder: Path, architecture: str = "", quick_gelu: bool | None = None) -> BClip:
    """A model from a folder, told apart by the files that lie in it.

    Raises:
        CheckpointError, ConfigError: as `open_model`.
    """
    ours = folder / own.WEIGHTS
    if ours.is_file() and "bclip" in read_safetensors(ours)[0]:
        return _open_file(ours, architecture, quick_gelu)
    if (folder / open_clip.CONFIG).is_file():
        model = open_clip.import_open_clip(folder)
        _refuse_other(model, architecture, quick_gelu, folder)
        return model
    if (folder / hugging_face.CONFIG).is_file() and any(
        (folder / name).is_file() for name in hugging_face.WEIGHTS
    ):
        return importing.import_hugging_face(folder, architecture, quick_gelu)
    files = [p for p in folder.iterdir() if p.is_file() and not is_hidden(p.name)]
    found = sorted(p for p in files if p.suffix.lower() in WEIGHT_SUFFIXES)
    if len(found) == 1:
        return _open_file(found[0], architecture, quick_gelu)
    names = ", ".join(path.name for path in found) or "none"
    raise CheckpointError(f"folder {folder}: expected a model, found weight files: {names}")


def _refuse_other(model: BClip, asked: str, quick_gelu: bool | None, folder: Path) -> None:
    """Refuse what was asked for and is not what a folder, which tells both, holds.

    Raises:
        CheckpointError: both values are named.
        ConfigError: an unknown architecture.
    """
    config = model.backbone.config
    (plain, size), stored = split_size(asked), split_size(config.name)[0]
    if asked and (
        towers(*architecture_of(plain)) != towers(*architecture_of(stored))
        or (size and model.backbone.image_size != (size, size))
    ):
        raise CheckpointError(
            f"checkpoint {folder}: backbone name is {config.name!r}, but {asked!r} was asked for"
        )
    if quick_gelu is not None and quick_gelu != config.quick_gelu:
        raise CheckpointError(
            f"checkpoint {folder}: backbone quick_gelu is {config.quick_gelu}, but {quick_gelu} "
            "was asked for"
        )


def _open_file(path: Path, architecture: str, quick_gelu: bool | None) -> BClip:
    if is_safetensors(path) and "bclip" in read_safetensors(path)[0]:
        model = own.load(path)
        asked = model.backbone.config
        if architecture:
            asked = asked.replace(name=architecture)
        if quick_gelu is not None:
            asked = asked.replace(quick_gelu=quick_gelu)
        own.refuse_mismatch(model.backbone.config, asked, str(path))
        return model
    return importing.import_file(path, architecture, quick_gelu)
