"""Tensors that say they are on a GPU, to find code that mixes devices where there is no GPU.

A `Pretended` tensor holds a CPU tensor and claims the device `cuda`. Inside `pretended_gpu()` every
operation runs on the CPU, but only after a check of what CUDA would refuse: an operation on tensors
of two devices. What CUDA permits passes: copies, scalars (tensors without dimensions) of the CPU,
and indices from it. Kernels, their precision and speed are not tried.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("cuda", 0)
_aten = torch.ops.aten
_COPIES = {_aten.copy_.default, _aten._to_copy.default}
_INDEXING = {
    _aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default,
    _aten._index_put_impl_.default,
}  # fmt: skip


class Pretended(Tensor):
    """A CPU tensor that says it is on the GPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Pretended:
        # For C++ a meta tensor with the GPU's keys, as PyTorch's FakeTensor is: nothing touches a
        # driver, and autocast sees a GPU.
        made: Pretended = Tensor._make_subclass(
            cls,
            torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device="meta"),
            held.requires_grad,
            dispatch_device=True,
            device_for_backend_keys=GPU,
        )
        return made

    @property
    def device(self) -> torch.device:
        return GPU

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"Pretended({self.held})"

    def tolist(self) -> Any:
        """As any tensor's; the base class reads memory that a pretended one has not."""
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        with _Pretence():
            return function(*args, **(kwargs or {}))


class _Pretence(TorchDispatchMode):
    """Runs every operation on the CPU; its results are where the operands claim to be."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.ops.prim.device.default:
            return torch.device("meta") if isinstance(args[0], Pretended) else args[0].device
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        asked = kwargs.get("device")
        if asked is None:
            result_on_gpu = any(isinstance(x, Pretended) for x in tensors)
            if function is _aten.copy_.default:
                result_on_gpu = isinstance(tensors[0], Pretended)
            elif function not in _COPIES:
                met = tensors
                if function in _INDEXING and isinstance(tensors[0], Pretended):
                    met = [tensors[0], *args[2:3]]  # indices may come from the CPU, values not
                elsewhere = [x for x in met if not isinstance(x, Pretended) and x.ndim]
                if result_on_gpu and elsewhere:
                    shapes = [list(x.shape) for x in elsewhere]
                    raise RuntimeError(f"{function}: GPU tensors with CPU tensors of {shapes}")
        else:
            result_on_gpu = torch.device(asked).type in ("cuda", "meta")  # meta: asked from C++
            kwargs["device"] = torch.device("cpu")
        plain_args, plain_kwargs = tree_map(_held, (args, kwargs))
        found = function(*plain_args, **plain_kwargs)
        written = {id(x.held): x for x in tensors if isinstance(x, Pretended)}

        def claim(value: Any) -> Any:
            """What an operation wrote to is what it returns; the rest is new."""
            if isinstance(value, Tensor) and id(value) in written:
                return written[id(value)]
            return Pretended(value) if isinstance(value, Tensor) and result_on_gpu else value

        return tree_map(claim, found)


class _Literals(TorchFunctionMode):
    """`torch.tensor(numbers, device=...)` asks a driver before any operation is called."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function not in (torch.tensor, torch.as_tensor):
            return function(*args, **kwargs)
        device = kwargs.pop("device", None)
        made = function(*args, **kwargs)
        return made if device is None else made.to(device)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Pretended) else value


@contextlib.contextmanager
def pretended_gpu() -> Iterator[None]:
    """Tensors may be sent to `GPU`, and what is made there is `Pretended`."""
    with (
        mock.patch("torch.cuda._lazy_init"),
        # inference mode knows no tensors that hold others
        mock.patch("torch._C._InferenceMode", side_effect=lambda _: torch.no_grad()),
        sdpa_kernel(SDPBackend.MATH),
        _Pretence(),
        _Literals(),
    ):
        yield


def move(module: nn.Module) -> nn.Module:
    """The module's weights to the pretended GPU, in place."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(Pretended(weight.detach()))
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = Pretended(value)
    return module
