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


def number(kind: object, content: object = b"") -> float | int | bool:
    """A NumPy scalar as a plain number."""
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
    *[
        (made, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")  # before and since NumPy 2
        for made, name in ((number, "scalar"), (array, "_reconstruct"))
    ],
]
"""Pairs for `torch.serialization.safe_globals`."""
