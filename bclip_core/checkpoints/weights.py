"""Weight files of any kind, read as data: nothing that a file holds is ever executed.

Three formats: safetensors, a torch file (a pickle, read with an allow-list of plain data), and
the TorchScript archives in which OpenAI published CLIP, see `torchscript`.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.serialization import safe_globals

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints.plain_data import PLAIN_DATA
from bclip_core.checkpoints.torchscript import is_torchscript, read_torchscript
from bclip_core.records.files import read_json

# Keys under which scripts keep weights, also one below another; averaged ones come after.
_WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "module", "state", "net", "network", "weights"),
    *("params", "clip", "student", "state_dict_ema", "ema_state_dict", "model_ema", "ema"),
    *("params_ema", "teacher"),
)
# What distributed training, torch.compile and sharded training put into names, in any order; and
# what stands before all names where the CLIP is an attribute of what was saved.
_PREFIXES = {
    *("module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module"),
    "_checkpoint_wrapped_module",
}
_HOLDERS = {"model", "clip", "clip_model", "net", "network", "base_model", "student", "ema"}
INDEX = ".index.json"  # ending of the list of a model in several files
_DEEPEST = 4  # such keys one below another
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
    _refuse_stub(path)
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
    _refuse_stub(path)
    try:
        _refuse_packed(path)
        with safe_globals(PLAIN_DATA), warnings.catch_warnings(), path.open("rb") as handle:
            warnings.simplefilter("ignore")  # of a pickle protocol that torch did not write
            return torch.load(handle, map_location="cpu", weights_only=True)  # whatever its name
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
    distributed training ("module.") and `torch.compile` ("_orig_mod.") put into names is removed,
    and what stands before all of them ("model."). A list of shards (`model.safetensors.index.json`)
    gives the weights of them all.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: as `read_torch_file`, or it holds no state dict.
    """
    path = Path(path)
    _require_file(path)
    if path.name.lower().endswith(INDEX):
        stored: Any = _read_shards(path)
    elif is_safetensors(path):
        stored = read_safetensors(path)[1]
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
    stored = _tensors_alone(path, stored)
    for name, value in stored.items():
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise CheckpointError(
                f"checkpoint {path}: {name!r}: expected a dense tensor on the CPU"
            )
    _refuse_expanding(path, stored)
    weights = {
        name: value.detach()
        for name, value in zip(_plain_names(stored), stored.values(), strict=True)
    }
    if len(weights) != len(stored):
        raise CheckpointError(f"checkpoint {path}: the same weight twice, with prefix and without")
    return weights


def _tensors_alone(path: Path, stored: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The weights of a state dict; what is not one, such as an epoch's number, is told of.

    Raises:
        CheckpointError: a name that is no text, or no tensor at all.
    """
    other = {name: value for name, value in stored.items() if not isinstance(value, Tensor)}
    odd = next((name for name in stored if not isinstance(name, str)), "")
    if odd != "" or len(other) == len(stored):
        name = odd if odd != "" else next(iter(other))
        raise CheckpointError(
            f"checkpoint {path}: {name!r} is {_kind(stored[name])}: expected names and tensors"
        )
    if other:
        few = ", ".join(f"{name!r}, {_kind(value)}" for name, value in list(other.items())[:3])
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        print(f"checkpoint {path}: its weights are read; not {few}{more}: no tensors")
    return {name: value for name, value in stored.items() if name not in other}


def one_line(error: object, longest: int = 200) -> str:
    """An error's message as one line of bounded length."""
    text = " ".join(str(error).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _unwrapped(stored: Any) -> Any:
    """The state dict in what a script saved, however deep; weights beside it are told of."""
    for _ in range(_DEEPEST):
        if not isinstance(stored, Mapping):
            break
        held = [key for key in _WRAPPERS if _holds_weights(stored.get(key), _DEEPEST)]
        beside = [str(key) for key, value in stored.items() if _is_tensor(value)]
        if not held and not beside:
            held = [key for key in _WRAPPERS if isinstance(stored.get(key), Mapping)][:1]
        # of a state dict that has, say, averaged weights beside its own, its own are read
        if not held or 0 < sum(map(_is_tensor, stored[held[0]].values())) <= len(beside):
            break
        if held[1:] or beside:
            others = ", ".join(map(repr, [*held[1:], *beside[:3]]))
            print(f"checkpoint: {held[0]!r} is read; not {others} beside it")
        stored = stored[held[0]]
    return stored


def _holds_weights(value: object, depth: int) -> bool:
    if not isinstance(value, Mapping) or not depth:
        return False
    if any(map(_is_tensor, value.values())):
        return True
    return any(_holds_weights(value.get(key), depth - 1) for key in _WRAPPERS)


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _plain_names(names: Iterable[str]) -> list[str]:
    """Names without what wrappers of models put into them, in the same order."""
    parts = [[p for p in name.split(".") if p not in _PREFIXES] for name in names]
    while parts and all(len(part) > 1 and part[0] in _HOLDERS for part in parts):
        if len({part[0] for part in parts}) > 1:
            break
        parts = [part[1:] for part in parts]
    return [".".join(part) for part in parts]


def is_safetensors(path: Path) -> bool:
    """Whether a file is of safetensors: by its start, and where that tells nothing by its name."""
    try:
        with path.open("rb") as handle:
            start = handle.read(9)
    except OSError:
        start = b""
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return True
    of_torch = start[:4] == b"PK\3\4" or start[:1] == b"\x80"  # an archive, or a pickle
    return not of_torch and path.suffix.lower() == ".safetensors"


def _refuse_stub(path: Path) -> None:
    """Refuse what stands in the place of weights that were never fetched."""
    with path.open("rb") as handle:
        start = handle.read(200).lstrip().lower()
    found = {
        b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself (git lfs pull)",
        b"<!doctype": "a web page: download the file again",
        b"<html": "a web page: download the file again",
    }
    reason = next((text for begin, text in found.items() if start.startswith(begin)), "")
    if reason:
        raise CheckpointError(f"checkpoint {path}: no weights, but {reason}")


def _read_shards(path: Path) -> dict[str, Tensor]:
    """The weights of all files that an index names.

    Raises:
        CheckpointError: no such index, a file that is missing or lies elsewhere, or a weight that
            its file does not hold.
    """
    try:
        named = read_json(path)["weight_map"]
        files = sorted(set(named.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"expected a weight_map from names to files: {error!r}"
        raise CheckpointError(f"checkpoint {path}: {one_line(what)}") from error
    found = dict[str, Tensor]()
    for file in files:
        if not isinstance(file, str) or Path(file).name != file or file.endswith(INDEX):
            raise CheckpointError(f"checkpoint {path}: {file!r}: expected a file beside it")
        if not (path.parent / file).is_file():
            raise CheckpointError(f"checkpoint {path}: {file}, which it names, is not there")
        found |= read_weights(path.parent / file)
    plain = set(_plain_names(named))
    missing = sorted(plain - set(found))
    if missing:
        raise CheckpointError(f"checkpoint {path}: {missing[0]!r} is in none of its files")
    return found


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
