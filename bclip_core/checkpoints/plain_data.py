"""What may stand beside the tensors of a torch file, as training scripts leave it.

For each name in a file the inert class or function that is built for it here: all of them only
hold values. Paths become pure ones, which cannot touch a file (the cluster launcher of β-CLIP's
authors stores one in its arguments); NumPy's numbers and arrays, which best metrics often are,
become plain numbers and their bytes, so that NumPy itself reads nothing of the file.
"""

from __future__ import annotations

import re
import struct
from argparse import Namespace
from collections import OrderedDict
from pathlib import PurePosixPath
from pickle import UnpicklingError
from typing import Any

_FORMATS = {
    "f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q",
    "u4": "I", "u2": "H", "u1": "B", "b1": "?",
}  # fmt: skip


class NumberType:
    """Stands for a NumPy dtype: the code of a plain number and its byte order."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = re.sub(r"^[<>=|]", "", str(code))
        self.order = "<"

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.order = ">"


class Array:
    """Stands for a NumPy array: keeps what it was pickled with and is never looked at."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class Held:
    """Stands for a value of any class: takes whatever it is made of and keeps nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __new__(cls, *_: object) -> Held:  # noqa: D102
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class HeldMapping:
    """Stands for classes of settings that are dictionaries: becomes a plain one."""

    def __new__(cls, *_: object) -> Any:  # noqa: D102
        return OrderedDict()  # which torch lets be filled, and given attributes


class HeldList:
    """Stands for classes that are lists: becomes a plain one."""

    def __new__(cls, *_: object) -> Any:  # noqa: D102
        return []


# Kept by training scripts beside their weights: settings, logs, times. None of it is ever used.
_HELD = (
    *("types.SimpleNamespace", "torch.torch_version.TorchVersion"),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(f"pathlib.{name}" for name in ("Path", "PurePath", "WindowsPath", "PureWindowsPath")),
    *("pathlib.PurePosixPath", "pathlib._local.WindowsPath"),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__")
      for name in ("list", "dict", "int", "float", "str", "bool", "tuple", "slice", "range",
                   "xrange", "complex", "frozenset")),
    *("typing.Any", "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *(f"omegaconf.base.{name}" for name in ("Metadata", "ContainerMetadata")),
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean")),
)  # fmt: skip


_HELD_MAPPINGS = (
    *("collections.defaultdict", "easydict.EasyDict", "addict.addict.Dict", "yacs.config.CfgNode"),
    *("munch.Munch", "mmengine.config.config.ConfigDict", "mmcv.utils.config.ConfigDict"),
)


def number(kind: object, content: object = b"") -> float | int | bool | str:
    """A NumPy scalar as a plain number; a text as an empty one."""
    if isinstance(kind, NumberType) and kind.code[:1] in ("U", "S"):
        return ""  # a text of NumPy's; whoever saved it beside weights, nobody reads it
    if not isinstance(kind, NumberType) or kind.code not in _FORMATS:
        raise UnpicklingError(f"NumPy scalar {getattr(kind, 'code', kind)!r}: expected a number")
    if not isinstance(content, bytes):
        raise UnpicklingError(f"NumPy scalar: {type(content).__name__}: expected bytes")
    (value,) = struct.unpack(kind.order + _FORMATS[kind.code], content)
    plain: float | int | bool = value
    return plain


def array(*_: object) -> Array:
    """An array that its state will follow."""
    return Array()


PLAIN_DATA: list[Any] = [
    (Namespace, "argparse.Namespace"),
    (PurePosixPath, "pathlib.PosixPath"),
    (PurePosixPath, "pathlib._local.PosixPath"),
    (NumberType, "numpy.dtype"),
    (Array, "numpy.ndarray"),
    *((Held, name) for name in _HELD),
    *((HeldMapping, name) for name in _HELD_MAPPINGS),
    (HeldList, "collections.deque"),
    *[
        (made, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")  # before and since NumPy 2
        for made, name in ((number, "scalar"), (array, "_reconstruct"))
    ],
]
"""Pairs for `torch.serialization.safe_globals`."""
