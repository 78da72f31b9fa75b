"""Weight files as training scripts leave them: numbers beside them, prefixes, bombs."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints.plain_data import Array, NumberType, number
from bclip_core.checkpoints.weights import read_torch_file, read_weights

NUMBERS = [
    np.float64(0.5), np.float32(0.25), np.float16(2), np.int64(-3), np.int8(7), np.uint16(9),
    np.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: type(value).__name__)
def test_numbers_of_numpy_beside_the_weights_are_plain_ones(tmp_path: Path, value: object) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}, "best": value}, tmp_path / "a.pt")
    found = read_torch_file(tmp_path / "a.pt")["best"]
    assert found == value
    assert type(found) in (float, int, bool)
    assert read_weights(tmp_path / "a.pt")["a"].tolist() == [1, 1]


def test_arrays_and_old_names_are_held_and_not_read(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}, "curve": np.arange(3)}, tmp_path / "a.pt")
    assert isinstance(read_torch_file(tmp_path / "a.pt")["curve"], Array)
    with zipfile.ZipFile(tmp_path / "a.pt") as new, zipfile.ZipFile(tmp_path / "b.pt", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.", b"numpy.core."))
    assert read_weights(tmp_path / "b.pt")["a"].tolist() == [1, 1]


def test_objects_of_numpy_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="NumPy scalar 'O8': expected a number"):
        number(NumberType("O8"), b"")
    odd = np.array([(1, 2.0)], dtype="i4,f8")[0]
    torch.save({"state_dict": {"a": torch.ones(2)}, "best": odd}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt: "):
        read_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "module.module."])
def test_prefixes_go_in_any_order(tmp_path: Path, prefix: str) -> None:
    torch.save({f"{prefix}visual._orig_mod.proj": torch.ones(2)}, tmp_path / "a.pt")
    assert list(read_weights(tmp_path / "a.pt")) == ["visual.proj"]


def test_a_weight_with_and_without_prefix_is_refused(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(2), "a": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="the same weight twice, with prefix and without"):
        read_weights(tmp_path / "a.pt")


def test_what_is_no_dense_tensor_is_named(tmp_path: Path) -> None:
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="'a': expected a dense tensor"):
        read_weights(tmp_path / "a.pt")


def test_modules_that_are_shared_without_end_are_refused_at_once(tmp_path: Path) -> None:
    """Sixty modules, each holding the next one twice: 2 ** 60 places."""
    path = tmp_path / "hang.pt"
    module = b"c__torch__\nM\n)\x81"
    code = b"\x80\x02" + module + b"}bq\x00"
    for level in range(60):
        inner, outer = bytes([level]), bytes([level + 1])
        code += module + b"}(X\x01\0\0\0ah" + inner + b"X\x01\0\0\0bh" + inner + b"ubq" + outer
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", code + b".")
        archive.writestr("m/constants.pkl", b"\x80\x02).")
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match="modules have more than 100,000 places"):
        read_weights(path)
    assert time.perf_counter() - start < 5


def test_an_archive_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(2**25))
    assert path.stat().st_size < 10**5
    with pytest.raises(CheckpointError, match=r"bomb\.pt: unpacks to 33,554,432 bytes from"):
        read_weights(path)


def test_what_is_no_tensor_in_a_state_dict_is_told_and_left_out(tmp_path, capsys):
    path = tmp_path / "x.pt"
    torch.save({"a.weight": torch.ones(2), "epoch": 3, "name": "best", "args": {"lr": 1.0}}, path)
    assert list(read_weights(path)) == ["a.weight"]
    said = capsys.readouterr().out
    assert "its weights are read; not 'epoch', a value of type int, 'name', a value of" in said
    assert "'args', a value of type dict: no tensors" in said


@pytest.mark.parametrize("stored", [{"epoch": 3}, {3: torch.ones(2)}, {"a": torch.ones(2), 4: 5}])
def test_without_names_and_tensors_there_are_no_weights(tmp_path, stored):
    torch.save(stored, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="expected names and tensors"):
        read_weights(tmp_path / "x.pt")


def test_of_weights_beside_a_loss_the_weights_are_read(tmp_path, capsys):
    weights = {"a": torch.ones(2), "b": torch.ones(1)}
    torch.save({"model": weights, "loss": torch.tensor(0.5)}, tmp_path / "x.pt")
    assert list(read_weights(tmp_path / "x.pt")) == ["a", "b"]
    assert "'model' is read; not 'loss' beside it" in capsys.readouterr().out
    averaged = {"ema": {name: value * 2 for name, value in weights.items()}}
    torch.save(weights | averaged, tmp_path / "x.pt")
    assert read_weights(tmp_path / "x.pt")["a"].tolist() == [1.0, 1.0]
    assert "not 'ema'" in capsys.readouterr().out


def test_a_field_twice_in_an_index_is_refused(tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}')
    with pytest.raises(CheckpointError, match="field 'a' twice"):
        read_weights(path)
