"""Weight files of any kind, read as data: nothing that a file holds is ever executed.

Three formats: safetensors, a torch file (a pickle, read with an allow-list of plain data), and
the TorchScript archives in which OpenAI published CLIP, see `torchscript`.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import safe_globals

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints.torchscript import is_torchscript, read_torchscript

# What may stand beside the tensors of a torch file, as training scripts leave it: a name in the
# file and the class that is built for it here. Both classes only hold values. Paths become pure
# ones, which cannot touch a file; the authors' cluster launcher stores one in its arguments.
_PLAIN_DATA: list[Any] = [
    (Namespace, "argparse.Namespace"),
    (PurePosixPath, "pathlib.PosixPath"),
    (PurePosixPath, "pathlib._local.PosixPath"),
]
_PREFIX = "module."  # DistributedDataParallel puts it before every name
_NAMED = re.compile(r"GLOBAL ([\w.]+)")
# What reading a damaged or prepared file may raise.
_DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: damaged, or no safetensors.
    """
    _require_file(path)
    try:
        with safe_open(path, "pt") as handle:
            return handle.metadata() or {}, {n: handle.get_tensor(n) for n in handle.keys()}
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {path}: damaged or not safetensors: {error}") from error


def read_torch_file(path: Path) -> Any:
    """Content of a torch file: tensors, containers, numbers, texts, argparse's namespaces, paths.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it holds anything else (the message names it; it was not executed), or it
            is damaged.
    """
    _require_file(path)
    try:
        with safe_globals(_PLAIN_DATA):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := _NAMED.search(str(error)):
            raise CheckpointError(
                f"checkpoint {path}: refused, it holds {found[1]}: expected tensors and plain "
                "data; nothing of the file was executed"
            ) from error
        raise CheckpointError(f"checkpoint {path}: damaged or no torch file") from error
    except _DAMAGED as error:
        raise CheckpointError(f"checkpoint {path}: damaged or no torch file: {error}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a `.safetensors` file, a TorchScript archive or a torch file.

    A torch file may hold the state dict itself or, under "state_dict", among other things; the
    prefix "module." of distributed training is removed.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: as `read_torch_file`, or it holds no state dict.
    """
    path = Path(path)
    _require_file(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)[1]
    if is_torchscript(path):
        try:
            return read_torchscript(path)
        except _DAMAGED as error:
            raise CheckpointError(f"checkpoint {path}: TorchScript archive: {error}") from error
    stored = read_torch_file(path)
    if isinstance(stored, Mapping) and isinstance(stored.get("state_dict"), Mapping):
        stored = stored["state_dict"]
    if not isinstance(stored, Mapping) or not stored:
        raise CheckpointError(f"checkpoint {path}: {_kind(stored)}: expected a state dict")
    for name, value in stored.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"checkpoint {path}: {name!r} is {_kind(value)}: expected names and tensors"
            )
    return {name.removeprefix(_PREFIX): value.detach() for name, value in stored.items()}


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file")


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
