"""Files as others leave them: each is the very model that was saved, or is refused in one line."""

from __future__ import annotations

import collections
import datetime
import json
import math
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file
from torch import Tensor

from bclip_core.checkpoints import CheckpointError, load, open_model, save
from tests.checkpoints import slow_clip
from tests.checkpoints.test_other_seeds import (
    PLAIN,
    STATED,
    hugging_face,
    ids,
    pixels,
    write_config,
)

SIZES = PLAIN[0]
HALF = "transformer.resblocks.0."


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return slow_clip.draw(SIZES, 5)


def assert_is(source: Path, state: Mapping[str, Tensor], quick: bool | None = True) -> None:
    """What is opened computes what the weights mean, by a computation of its own."""
    backbone = open_model(source, quick_gelu=quick).eval().backbone
    given, texts = pixels(SIZES, 5), ids(SIZES, 5, 77)
    weights = {name: value.float() for name, value in state.items()}
    with torch.no_grad():
        expected = (
            slow_clip.picture(weights, SIZES, given, True, True)[0],
            slow_clip.text(
                weights, SIZES, texts, True,
                weights["positional_embedding"], weights["text_projection"],
            ),
        )  # fmt: skip
        found = backbone.encode_image(given)[0], backbone.encode_text(texts)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-4 * max(1.0, other.abs().max().item())


def torch_file(folder: Path, value: object, name: str = "w.pt", **options: Any) -> Path:
    torch.save(value, folder / name, **options)
    return folder / name


def refused(source: Path, words: str, quick: bool | None = True) -> None:
    with pytest.raises(CheckpointError, match=words) as error:
        open_model(source, quick_gelu=quick)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


# ---- wrapped ----


@pytest.mark.parametrize(
    "keys",
    ["model state_dict", "state_dict model", "state model module", "ema", "model_ema", "net",
     "state_dict_ema", "params_ema", "student", "weights", "module"],
)  # fmt: skip
def test_weights_below_any_usual_key(tmp_path: Path, state: dict[str, Tensor], keys: str) -> None:
    value: dict[str, Any] = {f"module.{name}": tensor for name, tensor in state.items()}
    for key in reversed(keys.split()):
        value = {key: value, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}
    assert_is(torch_file(tmp_path, value), state)


@pytest.mark.parametrize(
    "prefix",
    ["model.", "clip.", "model.module.", "module.clip._orig_mod.", "base_model.model.",
     "_forward_module.", "_fsdp_wrapped_module.module."],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_what_stands_before_all_names(
    tmp_path: Path, state: dict[str, Tensor], prefix: str, kind: str
) -> None:
    named = {prefix + name: value for name, value in state.items()}
    if kind == "pt":
        torch_file(tmp_path, {"state_dict": named})
    else:
        save_file(named, tmp_path / "w.safetensors", {"format": "pt", "epoch": "3"})
    assert_is(tmp_path / f"w.{kind}", state)


def test_wrappers_inside_of_names(tmp_path: Path, state: dict[str, Tensor]) -> None:
    inside = "_fsdp_wrapped_module._checkpoint_wrapped_module."
    named = {name.replace(HALF, HALF + inside): value for name, value in state.items()}
    assert_is(torch_file(tmp_path, named), state)


def test_averaged_weights_beside_are_said_not_to_be_read(
    tmp_path: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    other = {name: value + 1 for name, value in state.items()}
    settings = {"width": 64}  # is no model, whatever its key
    path = torch_file(tmp_path, {"ema": other, "state_dict": state, "model": settings})
    assert_is(path, state)
    assert "'state_dict' is read; not 'ema' beside it" in capsys.readouterr().out


def test_heads_beside_a_held_model_are_not_dropped(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    named = {f"model.{name}": value for name, value in state.items()}
    refused(torch_file(tmp_path, named | {"loss.weight": torch.ones(3)}), "'loss.weight', 'model.")


# ---- what lies beside ----


class EasyDict(dict[str, Any]):
    """As easydict's: a dictionary that has its entries as attributes, too."""


EasyDict.__module__ = "easydict"


def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    module = types.ModuleType("easydict")
    monkeypatch.setattr(module, "EasyDict", EasyDict, raising=False)
    monkeypatch.setitem(sys.modules, "easydict", module)
    easy = EasyDict(lr=1e-3)
    easy.__dict__["lr"] = 1e-3
    return {
        "easydict": easy,
        "namespace": types.SimpleNamespace(lr=1e-3),
        "defaultdict": collections.defaultdict(list, {"loss": [1.0]}),
        "deque": collections.deque([1, 2], maxlen=5),
        "time": [datetime.datetime(2026, 1, 1), datetime.timedelta(1)],
        "version": torch.__version__,
        "numpy": [np.str_("ViT"), np.float16(1), np.bool_(True), np.arange(3)],
        "random": [np.random.RandomState(0).get_state(), torch.get_rng_state()],
        "plain": [{1, 2}, slice(1), 1j, range(3), torch.Size([1]), torch.device("cuda:0")],
    }


@pytest.mark.parametrize("kind", ["easydict", "namespace", "defaultdict", "deque", "time",
                                  "version", "numpy", "random", "plain"])  # fmt: skip
def test_settings_of_training_scripts_are_passed_over(
    tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    kept = settings(monkeypatch)[kind]
    path = torch_file(tmp_path, {"args": kept, "log": {"all": [kept]}, "state_dict": state})
    assert_is(path, state)


# ---- kinds of numbers ----


def _overlapping(state: dict[str, Tensor]) -> dict[str, Tensor]:
    drawn = torch.randn(300 * 128 + 31, generator=torch.Generator().manual_seed(1))
    return state | {"token_embedding.weight": drawn.as_strided((300, 128), (100, 1))}


STORED: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "half": lambda state: {name: value.half() for name, value in state.items()},
    "bfloat16": lambda state: {name: value.bfloat16() for name, value in state.items()},
    "float64": lambda state: {name: value.double() for name, value in state.items()},
    "mixed": lambda state: {
        name: value.half() if number % 2 else value.double()
        for number, (name, value) in enumerate(state.items())
    },
    "not contiguous": lambda state: {
        name: value.mT.contiguous().mT if value.ndim == 2 else value
        for name, value in state.items()
    },
    "parameters": lambda state: {n: torch.nn.Parameter(value) for n, value in state.items()},
    "tied": lambda state: state | {"visual.ln_pre.weight": state["visual.ln_post.weight"]},
    "expanded": lambda state: state | {"visual.ln_pre.weight": torch.ones(1).expand(64)},
    "overlapping": _overlapping,
    "scale of one entry": lambda state: state | {"logit_scale": state["logit_scale"][None]},
}


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("zipped", [True, False])
def test_numbers_as_they_are_stored(
    tmp_path: Path, state: dict[str, Tensor], kind: str, zipped: bool
) -> None:
    stored = STORED[kind](state)
    path = torch_file(tmp_path, stored, _use_new_zipfile_serialization=zipped)
    assert_is(path, stored)


WRONG = [
    ({"visual.proj": torch.full((64, 24), math.nan)}, r"visual\.proj: 1,536 of 1,536 .*not finite"),
    ({"ln_final.bias": torch.tensor([math.inf] + [0.0] * 127)}, r"ln_final\.bias: 1 of 128"),
    ({"visual.proj": torch.full((64, 24), 1e300, dtype=torch.float64)}, "not finite"),
    ({"visual.proj": torch.ones(64, 24, dtype=torch.int64)}, r"visual\.proj: int64: expected"),
    ({"visual.proj": torch.ones(64, 24, dtype=torch.bool)}, r"visual\.proj: bool: expected"),
    ({"visual.proj": torch.ones(64, 24, dtype=torch.complex64)}, "complex64: expected"),
    ({"logit_bias": torch.tensor(math.nan)}, "logit_bias nan: expected a finite one"),
    ({"logit_scale": torch.ones(2)}, r"logit_scale: shape \[2\]"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=lambda value: str(value)[:30])
def test_numbers_that_are_no_weights(
    tmp_path: Path, state: dict[str, Tensor], change: dict[str, Tensor], words: str
) -> None:
    refused(torch_file(tmp_path, state | change), words)


def test_our_own_files_with_nan_are_refused_too(tmp_path: Path, state: dict[str, Tensor]) -> None:
    model = open_model(torch_file(tmp_path, state), quick_gelu=True)
    with torch.no_grad():
        model.backbone.clip.ln_final.bias[3] = math.nan
    with pytest.raises(CheckpointError, match=r"ln_final\.bias: 1 of 128 numbers are not finite"):
        load(save(model, tmp_path / "own.safetensors"))


# ---- names of files ----


@pytest.mark.parametrize("name", ["W.PT", "my weights (1).pt", "w", "last.ckpt", "a.pth.tar",
                                  "pytorch_model.bin", "w.safetensors"])  # fmt: skip
def test_a_torch_file_under_any_name(tmp_path: Path, state: dict[str, Tensor], name: str) -> None:
    assert_is(torch_file(tmp_path, state, name), state)


@pytest.mark.parametrize("name", ["W.SAFETENSORS", "w.pt", "pytorch_model.bin", "w 1.safetensors"])
def test_safetensors_under_any_name(tmp_path: Path, state: dict[str, Tensor], name: str) -> None:
    save_file(state, tmp_path / name)
    assert_is(tmp_path / name, state)
    if name != "w.pt":
        assert_is(tmp_path, state)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "pytorch_model.bin"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
        ("<!DOCTYPE html><html>404</html>", "a web page"),
        ("\n<html>", "a web page"),
        ("", "damaged"),
    ],
)
def test_what_was_never_fetched(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    refused(tmp_path / name, words)


# ---- several files, and what lies beside them ----


def parts(folder: Path, kind: str = "safetensors") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A model of Hugging Face in two files with their index."""
    sizes = STATED[0]
    weights = hugging_face(slow_clip.draw(sizes, 7), sizes)
    write_config(folder, sizes, "quick_gelu", sizes.vocabulary - 1)
    stem = {"safetensors": "model", "bin": "pytorch_model"}[kind]
    names = sorted(weights)
    index: dict[str, Any] = {"metadata": {}, "weight_map": {}}
    for number, some in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-0000{number}-of-00002.{kind}"
        held = {name: weights[name].contiguous() for name in some}
        if kind == "bin":
            torch.save(held, folder / file)
        else:
            save_file(held, folder / file)
        index["weight_map"] |= dict.fromkeys(some, file)
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
    return weights, index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_model_in_several_files(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    weights, _ = parts(tmp_path, kind)
    write_config(whole, STATED[0], "quick_gelu", 210)
    save_file({n: v.contiguous() for n, v in weights.items()}, whole / "model.safetensors")
    expected = open_model(whole).state_dict()
    (index,) = tmp_path.glob("*.index.json")
    for source in (tmp_path, index):
        found = open_model(source).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: index["weight_map"].update(x="../other.safetensors"), "a file beside it"),
        (lambda index: index["weight_map"].update(x="gone.safetensors"), "gone.*is not there"),
        (lambda index: index["weight_map"].update(x="model-00001-of-00002.safetensors"),
         "'x' is in none of its files"),
        (lambda index: index["weight_map"].update(x=5), "expected a"),
        (lambda index: index.update(weight_map=[]), "weight_map"),
        (lambda index: index.clear(), "weight_map"),
    ],
)  # fmt: skip
def test_an_index_that_cannot_be_followed(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    _, index = parts(tmp_path)
    change(index)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(tmp_path, words, None)


def test_one_file_of_several_is_no_model(tmp_path: Path) -> None:
    parts(tmp_path)
    refused(tmp_path / "model-00001-of-00002.safetensors", "missing", None)


def test_a_configuration_that_says_two_things_is_refused(tmp_path: Path) -> None:
    parts(tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    stored["text_config_dict"] = stored["text_config"]
    path.write_text(json.dumps(stored), encoding="utf-8-sig")  # with a mark, as Windows writes
    assert open_model(tmp_path).backbone.config.quick_gelu
    stored["text_config_dict"] = stored["text_config"] | {"hidden_act": "gelu"}
    path.write_text(json.dumps(stored))
    refused(tmp_path, "text_config says hidden_act='quick_gelu', and text_config_dict 'gelu'", None)


# ---- other models ----


def _with_resnet() -> dict[str, Tensor]:
    text = {"context_length": 77, "vocab_size": 300, "width": 64, "heads": 1, "layers": 1}
    vision = {"layers": (1, 1, 1, 1), "width": 16, "image_size": 64}
    return CLIP(64, vision, text).state_dict()  # type: ignore[arg-type]


def _custom_text() -> dict[str, Tensor]:
    text = {"context_length": 77, "vocab_size": 300, "width": 64, "heads": 1, "layers": 1}
    vision = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
    return CustomTextCLIP(64, vision, text).state_dict()  # type: ignore[arg-type]


OTHERS: list[tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = [
    (lambda state: _with_resnet(), "a CLIP with a ResNet: its image tower has no class token"),
    (lambda state: _custom_text(), "open_clip's CustomTextCLIP: its masks and pooling"),
    (lambda state: state | {"text_decoder.ln_final.bias": torch.ones(3)}, "CoCa: its decoder"),
    (lambda state: {"visual.trunk.stem.0.weight": torch.ones(3), "logit_scale": torch.ones(())},
     "image tower of timm: such as ConvNeXt"),
    (lambda state: {n: v for n, v in state.items() if n.startswith("visual.")}, "it holds 'visual"),
    (lambda state: {n: v for n, v in state.items() if n != f"{HALF}mlp.c_fc.bias"},
     r"resblocks\.0\.mlp\.c_fc\.bias: missing, expected \[512\]"),
    (lambda state: state | {f"{HALF}mlp.c_fc.bias": torch.ones(7)}, r"shape \[7\], expected"),
    (lambda state: state | {"extra.weight": torch.ones(3)}, r"extra\.weight: unknown, \[3\]"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), OTHERS, ids=[words[:25] for _, words in OTHERS])
def test_other_models_are_named(
    tmp_path: Path, state: dict[str, Tensor], make: Callable[..., dict[str, Tensor]], words: str
) -> None:
    refused(torch_file(tmp_path, {"state_dict": make(state)}), words)
