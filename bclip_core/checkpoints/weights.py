"""Weight files of any kind, read as data: nothing that a file holds is ever executed.

Three formats: safetensors, a torch file (a pickle, read with an allow-list of plain data), and
the TorchScript archives in which OpenAI published CLIP, see `torchscript`.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.serialization import safe_globals

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints.plain_data import PLAIN_DATA
from bclip_core.checkpoints.torchscript import is_torchscript, read_torchscript

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which scripts keep weights
_PREFIXES = {"module", "_orig_mod"}  # of distributed training and of torch.compile, in any order
_NAMED = re.compile(r"GLOBAL ([\w.]+)")
_LARGEST_PACKING = 2  # unpacked over packed size; torch stores tensors as they are
_LARGEST_SHARING, _LARGEST_EXPANDED = 4, 2**30  # copied over shared size; bytes always allowed
_SMALL = 2**24  # bytes; no archive that unpacks to less does harm


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
    except Exception as error:  # beside SafetensorError what a changed header makes torch raise
        raise CheckpointError(
            f"checkpoint {path}: damaged or not safetensors: {one_line(error)}"
        ) from error


def read_torch_file(path: Path) -> Any:
    """Content of a torch file: tensors, containers, numbers, texts, and what `plain_data` lists.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it holds anything else (the message names it; it was not executed), or it
            is damaged.
    """
    _require_file(path)
    try:
        _refuse_packed(path)
        with safe_globals(PLAIN_DATA), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle protocol that torch did not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        if found := _NAMED.search(str(error)):
            raise CheckpointError(
                f"checkpoint {path}: refused, it holds {found[1]}: expected tensors and plain "
                "data; nothing of the file was executed"
            ) from error
        raise CheckpointError(f"checkpoint {path}: damaged or no torch file") from error
    except Exception as error:  # a changed pickle builds anything, and so raises anything
        raise CheckpointError(
            f"checkpoint {path}: damaged or no torch file: {one_line(error)}"
        ) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a `.safetensors` file, a TorchScript archive or a torch file.

    A torch file may hold the state dict itself or, under "state_dict", among other things. What
    distributed training ("module.") and `torch.compile` ("_orig_mod.") put into names is removed.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: as `read_torch_file`, or it holds no state dict.
    """
    path = Path(path)
    _require_file(path)
    if path.suffix == ".safetensors":
        stored: Any = read_safetensors(path)[1]
    elif is_torchscript(path):
        try:
            _refuse_packed(path)
            stored = read_torchscript(path)
        except CheckpointError:
            raise
        except Exception as error:  # as above
            raise CheckpointError(
                f"checkpoint {path}: TorchScript archive: {one_line(error)}"
            ) from error
    else:
        stored = _unwrapped(read_torch_file(path))
    if not isinstance(stored, Mapping) or not stored:
        raise CheckpointError(f"checkpoint {path}: {_kind(stored)}: expected a state dict")
    for name, value in stored.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"checkpoint {path}: {name!r} is {_kind(value)}: expected names and tensors"
            )
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise CheckpointError(
                f"checkpoint {path}: {name!r}: expected a dense tensor on the CPU"
            )
    _refuse_expanding(path, stored)
    weights = {_plain_name(name): value.detach() for name, value in stored.items()}
    if len(weights) != len(stored):
        raise CheckpointError(f"checkpoint {path}: the same weight twice, with prefix and without")
    return weights


def one_line(error: object, longest: int = 200) -> str:
    """An error's message as one line of bounded length."""
    text = " ".join(str(error).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _unwrapped(stored: Any) -> Any:
    for key in _WRAPPERS:
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            return stored[key]
    return stored


def _plain_name(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _PREFIXES)


def _refuse_expanding(path: Path, stored: Mapping[str, Tensor]) -> None:
    """Refuse tensors that share so little memory that they become gigabytes once they are copied.

    Sharing some is fine: tied weights, views of one storage.
    """
    expanded = sum(value.numel() * value.element_size() for value in stored.values())
    size = path.stat().st_size
    if expanded > max(_LARGEST_EXPANDED, _LARGEST_SHARING * size):
        raise CheckpointError(
            f"checkpoint {path}: its tensors share memory, {expanded:,} bytes from {size:,}: "
            f"expected at most {max(_LARGEST_EXPANDED, _LARGEST_SHARING * size):,}"
        )


def _refuse_packed(path: Path) -> None:
    """Refuse an archive that unpacks to much more than it is; no program writes weights so."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(_SMALL, _LARGEST_PACKING * path.stat().st_size):
        raise CheckpointError(
            f"checkpoint {path}: unpacks to {unpacked:,} bytes from {path.stat().st_size:,}: "
            "expected tensors that are stored as they are"
        )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file")


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
