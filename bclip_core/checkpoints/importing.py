"""Any released weight file or folder to a model: read as data, told apart by what it holds.

Numbers of heads are in no weights. Where a file lies beside its config.json (Hugging Face) or a
configuration of open_clip, and that describes these very weights, the heads come from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bclip_core.backbone import CheckpointError
from bclip_core.backbone.architectures import PLAIN_TEXT, PLAIN_VISION, towers
from bclip_core.checkpoints import beside, hugging_face
from bclip_core.checkpoints.formats import layout_of
from bclip_core.checkpoints.hugging_face import CONFIG as HF_CONFIG
from bclip_core.checkpoints.hugging_face import PREPROCESSING as HF_PREPROCESSING
from bclip_core.checkpoints.hugging_face import WEIGHTS as HF_WEIGHTS
from bclip_core.checkpoints.layout import Layout, assemble
from bclip_core.checkpoints.recognition import name_of, recognise, shape_of_weights
from bclip_core.checkpoints.released import is_beta_clip, released_layout
from bclip_core.checkpoints.torchscript import is_torchscript
from bclip_core.checkpoints.weights import is_safetensors, one_line, read_weights
from bclip_core.model import BClip
from bclip_core.records.files import is_hidden, read_json

_OPEN_CLIP_CONFIGS = "*open_clip*config.json"
_WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError)  # of what a JSON may hold


def import_file(path: str | Path, name: str = "", quick_gelu: bool | None = None) -> BClip:
    """A model from a weight file of any format that is read, but this collection's own.

    Args:
        path: safetensors, a torch file or a TorchScript archive.
        name: the architecture; "" finds it by the shapes and by a configuration beside the file.
        quick_gelu: the activation, where neither format nor configuration tells it.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it holds code, is damaged, of no format that is read, or does not fit.
        ConfigError: an unknown `name`, or an activation that contradicts the weights.
    """
    path = Path(path)
    return assemble(read_layout(path, name), path, name, quick_gelu)


def read_layout(path: Path, name: str = "") -> Layout:
    """A weight file under open_clip's names, with what sets its format apart.

    Raises:
        FileNotFoundError, CheckpointError: as `import_file`.
    """
    state = read_weights(path)
    try:
        layout = _layout(state, path, name)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error
    if layout.quick_gelu is None and is_torchscript(path):
        layout.quick_gelu, layout.origin = True, "OpenAI"  # only OpenAI published CLIP this way
    return layout


def import_released(path: str | Path, name: str | None = None) -> BClip:
    """A model from a file that a paper's authors released: β-CLIP's first, and its relatives'.

    β-CLIP's (github.com/fzohra/B-CLIP) is a pickled dictionary with the weights under "state_dict"
    and, beside them, the optimiser's state and the training script's arguments; Long-CLIP, FLAIR,
    FG-CLIP 1 and GOAL are told from it by their names. Read as data only, see `weights`. Tables of
    which the authors freeze the first positions stay frozen there; `save` the model to use it like
    any other.

    Args:
        path: the file.
        name: which architecture; None finds it by the shapes.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file holds code, is damaged, is none of theirs, or a weight is missing,
            unknown or of another shape than the architecture's (both are shown).
        ConfigError: an unknown `name`.
    """
    path = Path(path)
    state = read_weights(path)
    if not is_beta_clip(state):
        try:
            relative = _layout(state, path, name or "").origin != "open_clip"
        except CheckpointError as error:
            raise CheckpointError(
                f"checkpoint {path}: no 'visual.cls_token', which β-CLIP's authors' files have; "
                f"import_open_clip reads open_clip's and OpenAI's: {error}"
            ) from error
        if not relative:
            raise CheckpointError(
                f"checkpoint {path}: no 'visual.cls_token': expected the names of β-CLIP's authors "
                "or of a relative; import_open_clip reads open_clip's and OpenAI's"
            )
    return import_file(path, name or "")


def import_hugging_face(folder: Path, name: str = "", quick_gelu: bool | None = None) -> BClip:
    """A model from a folder of Hugging Face: config.json and weights.

    Raises:
        CheckpointError: another kind of model, no weights, or weights that do not fit.
        ConfigError: as `import_file`.
    """
    config = _read(folder / HF_CONFIG)
    kind = config.get("model_type")
    if "text_config" not in config or "vision_config" not in config or kind not in (None, "clip"):
        raise CheckpointError(
            f"folder {folder}: {HF_CONFIG} describes model_type {kind!r}: expected 'clip' with "
            "text_config and vision_config"
        )
    present = [folder / file for file in HF_WEIGHTS if (folder / file).is_file()]
    if not present:
        raise CheckpointError(f"folder {folder}: expected {' or '.join(HF_WEIGHTS)}")
    layout = read_layout(present[0], name)
    beside.read(layout, folder)
    model = assemble(layout, present[0], name, quick_gelu)
    beside.read_pooler(model, folder)
    return model


def _layout(state: Mapping[str, Tensor], path: Path, name: str) -> Layout:
    if is_beta_clip(state):
        return released_layout(state)
    if not hugging_face.is_hugging_face(state):
        layout = layout_of(state)
        if not name:
            layout.heads = _heads_beside(layout.clip, path.parent)
        return layout
    beside = path.with_name(HF_CONFIG)
    config = _read(beside) if beside.is_file() else None
    try:
        if config is not None and not hugging_face.config_fits(state, config):
            if path.name in HF_WEIGHTS:  # theirs go together; any other file only lies beside it
                raise CheckpointError(f"{HF_CONFIG} beside it describes a model of other sizes")
            config = None
        bare = not is_safetensors(path) and path.name not in HF_WEIGHTS
        layout = layout_of(state, config, bare)
        preprocessing = path.with_name(HF_PREPROCESSING)
        if config is not None and preprocessing.is_file():
            hugging_face.apply_preprocessing(layout, _read(preprocessing))
    except CheckpointError:
        raise
    except _WRONG as error:
        raise CheckpointError(f"{HF_CONFIG} beside it cannot be used: {error!r}") from error
    return layout


def _heads_beside(clip: Mapping[str, Tensor], folder: Path) -> tuple[int, int] | None:
    """The heads that a configuration of open_clip beside a file states, if it is of that shape."""
    if "positional_embedding" not in clip:
        return None
    found = shape_of_weights(clip)
    files = sorted(path for path in folder.glob(_OPEN_CLIP_CONFIGS) if not is_hidden(path.name))
    for file in files:
        described = _read(file)
        try:
            embed_dim, vision, text = open_clip_towers(described.get("model_cfg", described))
            stated = towers(embed_dim, vision, text)
            heads = stated[1].width // stated[1].head_width, stated[2].heads
            sizes = (embed_dim, stated[1].width, stated[1].layers, stated[2].width,
                     stated[2].layers, stated[2].vocab_size)  # fmt: skip
        except _WRONG as error:
            raise CheckpointError(f"{file.name} beside it cannot be used: {error!r}") from error
        if sizes == (found.embed_dim, found.vision_width, found.vision_layers, found.text_width,
                     found.text_layers, found.vocabulary):  # fmt: skip
            return heads
    return None


def open_clip_towers(
    described: Mapping[str, Any],
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """D and the arguments of both towers in a configuration of open_clip.

    What changes no tower's computation here (`output_tokens`) is left out.
    """
    vision, text = dict(described["vision_cfg"]), dict(described["text_cfg"])
    for part in (vision, text):
        part.pop("output_tokens", None)
    return described["embed_dim"], vision, text


def architecture_name(described: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """The architecture that a configuration of open_clip describes: a known one, else spelt out.

    Raises:
        CheckpointError: towers that are not built here.
    """
    embed_dim, vision, text = open_clip_towers(described)
    known = name_of(embed_dim, vision, text)
    if known is not None:
        return known
    return _spelt_out(embed_dim, vision, text, state)


def _spelt_out(
    embed_dim: int, vision: dict[str, Any], text: dict[str, Any], state: Mapping[str, Tensor]
) -> str:
    unknown = sorted((set(vision) - PLAIN_VISION) | (set(text) - PLAIN_TEXT))
    if unknown:
        raise CheckpointError(
            f"model_cfg sets {', '.join(unknown)}: such towers are not built here"
        )
    stated = towers(embed_dim, vision, text)
    return recognise(state, (stated[1].width // stated[1].head_width, stated[2].heads))


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: {type(values).__name__}: expected a JSON object")
    return values
