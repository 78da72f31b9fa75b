"""Weights out of a TorchScript archive, such as OpenAI's CLIP files, without running any of it.

An archive is a zip file: code, a pickle of the module tree, and one file per storage. The code is
never looked at. The pickle is read by an unpickler that knows nothing but tensors, containers and
an inert stand-in for modules, so that a prepared file can build values but not call anything.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Kept by OpenAI's and by traced models beside the weights; they follow from the architecture.
_NO_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size", "attn_mask"})
# Modules may be shared, so that a tree of a few hundred bytes has more places than can be walked;
# OpenAI's largest archive has some 600.
_MOST_PLACES = 100_000


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive; ordinary torch files have no constants."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except Exception:  # no zip file, or one whose directory is damaged in any way
        return False


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers of the archived module by their dotted names.

    Raises:
        pickle.UnpicklingError: the archive holds anything but modules, tensors and plain values
            (the message names it), or more modules than can be meant.
        Exception: the archive is damaged; reading it may raise anything.
    """
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        module = _Reader(archive, pickled.removesuffix("data.pkl")).load()
    if not isinstance(module, _Module):
        raise pickle.UnpicklingError(f"{type(module).__name__}: expected a module")
    return {n: tensor for n, tensor in _tensors(module) if n not in _NO_WEIGHTS}


class _Module:
    """Stands for an object of the archive, whatever its class: a holder of its attributes."""

    attributes: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state


class _Dtype:
    """Stands for a class of storages; pickled by name, never built."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in _STORAGES:
            return _Dtype(_STORAGES[name])
        if (module, name) in _BUILDERS:
            return _BUILDERS[module, name]
        raise pickle.UnpicklingError(
            f"refused, it holds {module}.{name}: expected modules and tensors; nothing of the "
            "file was executed"
        )

    def persistent_load(self, key: Any) -> Tensor:
        kind, storage, number, _, count = key
        if kind != "storage" or not isinstance(storage, _Dtype):
            raise pickle.UnpicklingError(f"persistent id {kind!r}: expected a storage")
        data = bytearray(self._archive.read(f"{self._folder}data/{number}"))
        if not count:
            return torch.empty(0, dtype=storage.dtype)
        return torch.frombuffer(data, dtype=storage.dtype, count=count)


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return storage.as_strided(size, stride, offset)  # a view: shapes are checked before copying


def _same(value: Any, *_: Any) -> Any:
    return value


_BUILDERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch.jit._pickle", "restore_type_tag"): _same,
    ("torch.jit._pickle", "build_intlist"): _same,
    ("torch.jit._pickle", "build_doublelist"): _same,
    ("torch.jit._pickle", "build_boollist"): _same,
    ("torch.jit._pickle", "build_tensorlist"): _same,
}


def _tensors(module: _Module) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the tree by its dotted name."""
    waiting, places = [("", module)], 0
    while waiting:
        prefix, holder = waiting.pop()
        for name, value in holder.attributes.items():
            places += 1
            if places > _MOST_PLACES:
                raise pickle.UnpicklingError(
                    f"refused, its modules have more than {_MOST_PLACES:,} places: expected a "
                    "tree of modules as large as a CLIP"
                )
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif isinstance(value, _Module):
                waiting.append((f"{prefix}{name}.", value))
