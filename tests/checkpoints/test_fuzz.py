"""Whatever a file or a header holds, only a `CheckpointError` in one line comes out of it."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bclip_core.backbone import CheckpointError, Tokenizer
from bclip_core.checkpoints import (
    build_model,
    export_hugging_face,
    export_open_clip,
    load,
    open_model,
    save,
)
from bclip_core.config import BackboneConfig, PoolerConfig
from tests.checkpoints import relatives

LIMIT = 5.0  # seconds for one file; a bomb takes minutes or all memory
FUZZED = settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
TINY = BackboneConfig("vit-d8-v16x1h2m32p8s16-t16x1h2m32n49408")
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.text(max_size=5),
        st.sampled_from([-1, 0, 1, 7, 10**6, 10**12, 0.5, 1e308, "ViT-bigG-14", "openai",
                         "vit-d9-v99999x999h999m9p9s9-t99999x999h999m9n9999999"]),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner,
                                                                max_size=2),
    max_leaves=3,
)  # fmt: skip


def one_line_or_a_model(read: Callable[[], object]) -> None:
    start, message = time.perf_counter(), ""
    try:
        read()
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message
    assert time.perf_counter() - start < LIMIT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small model in every kind of file."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    model = build_model(TINY.replace(context_length=16), PoolerConfig(8, "xavier")).eval()
    save(model, folder / "ours.safetensors")
    state = model.backbone.clip.state_dict()
    state["token_embedding.weight"] = torch.zeros(1).expand(49408, 16)  # 4 bytes in the file
    torch.save({"state_dict": state, "epoch": 3}, folder / "torch.pt")
    export_open_clip(model, folder / "open_clip")
    export_hugging_face(model, folder / "hugging_face")
    images, tokens = torch.randn(1, 3, 16, 16), Tokenizer(16)(["a red circle"], 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.backbone.clip.token_embedding.weight.data = state["token_embedding.weight"]
        traced = torch.jit.trace(model.backbone.clip, (images, tokens), check_trace=False)
        torch.jit.save(traced, folder / "script.pt")
    return folder


PLACES = st.lists(
    st.tuples(st.floats(0, 1), st.binary(min_size=0, max_size=4), st.integers(0, 4)), min_size=1,
    max_size=4,
)  # fmt: skip


@pytest.mark.parametrize("name", ["ours.safetensors", "torch.pt", "script.pt"])
@pytest.mark.parametrize("part", ["begin", "end"])
@FUZZED
@given(places=PLACES)
def test_changed_bytes(
    folder: Path, tmp_path: Path, name: str, part: str, places: list[tuple[float, bytes, int]]
) -> None:
    """Changes lie where the structure is: headers, pickles and the directory of an archive."""
    content = bytearray((folder / name).read_bytes())
    reach = min(len(content), 8000)
    for share, new, removed in places:
        start = int(share * (reach - 1)) + (0 if part == "begin" else len(content) - reach)
        content[start : start + removed] = new
    path = tmp_path / name
    path.write_bytes(content)
    one_line_or_a_model(lambda: open_model(path, quick_gelu=True))


@pytest.mark.parametrize("name", ["ours.safetensors", "torch.pt", "script.pt"])
@FUZZED
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_file(folder: Path, tmp_path: Path, name: str, share: float) -> None:
    content = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError):
        open_model(tmp_path / name, quick_gelu=True)


def changed(values: Any, way: list[float], new: Any) -> Any:
    """A JSON value with one of its parts exchanged, or left out where `new` is `...`."""
    if not isinstance(values, dict) or not values or not way:
        return new
    keys = sorted(values)
    key = keys[int(way[0] * (len(keys) - 1) + 0.5)]
    part = changed(values[key], way[1:], new)
    rest = {name: value for name, value in values.items() if name != key}
    return rest if part is ... else rest | {key: part}


WAYS = st.lists(st.floats(0, 1), min_size=1, max_size=3)
NEW = st.one_of(st.just(...), JSON)


@FUZZED
@given(way=WAYS, new=NEW)
def test_a_changed_header(folder: Path, tmp_path: Path, way: list[float], new: Any) -> None:
    state = load_file(folder / "ours.safetensors")
    header = {
        "format": 1, "backbone": TINY.replace(context_length=16).to_dict(), "heads": None,
        "pooler": PoolerConfig(8, "xavier").to_dict(),
    }  # fmt: skip
    small = {n: v for n, v in state.items() if v.numel() < 10_000}
    made = changed(header, way, new)
    text = json.dumps({} if made is ... else made)
    save_file(small, tmp_path / "h.safetensors", {"bclip": text})
    with pytest.raises(CheckpointError):
        load(tmp_path / "h.safetensors")


@pytest.mark.parametrize("text", ["", "[" * 100_000, "null", "3", '"a"', "{", "[]", "\0"])
def test_an_odd_header(tmp_path: Path, text: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "h.safetensors", {"bclip": text})
    with pytest.raises(CheckpointError, match=r"h\.safetensors: header cannot be read: \w+"):
        load(tmp_path / "h.safetensors")


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("open_clip", "open_clip_config.json"),
        ("hugging_face", "config.json"),
        ("hugging_face", "preprocessor_config.json"),
    ],
)
@FUZZED
@given(way=WAYS, new=NEW)
def test_a_changed_configuration(
    folder: Path, tmp_path: Path, layout: str, file: str, way: list[float], new: Any
) -> None:
    there = tmp_path / layout
    if not there.exists():
        shutil.copytree(folder / layout, there)
    values = changed(json.loads((folder / layout / file).read_text()), way, new)
    (there / file).write_text(json.dumps({} if values is ... else values))
    one_line_or_a_model(lambda: open_model(there))


ODD = ["[]", "3", '{"backbone": 3}', '{"backbone": {"name": 1}}', '{"backbone": {"patches": 1}}',
       '{"logit_bias": []}', "{"]  # fmt: skip


@pytest.mark.parametrize("value", ["{}", *ODD])
def test_settings_beside_that_cannot_be_meant(folder: Path, tmp_path: Path, value: str) -> None:
    there = tmp_path / "exported"
    shutil.copytree(folder / "open_clip", there)
    (there / "bclip_settings.json").write_text(value)
    if value == "{}":
        assert open_model(there).pooler is not None
    else:
        with pytest.raises(CheckpointError):
            open_model(there)


# ---- small files that ask for much ----


@pytest.mark.parametrize(
    "backbone",
    [
        {"context_length": 10**6},
        {"name": "ViT-bigG-14", "context_length": 77},
        {"name": "vit-d8-v9999x999h1m99999p8s16-t16x1h2m32n100"},
        {"name": "vit-d8-v16x1h2m32p8s16-t16x1h2m32n9999999"},
    ],
)
def test_a_header_takes_no_memory_that_its_weights_do_not_need(
    tmp_path: Path, backbone: dict[str, Any]
) -> None:
    header = {"format": 1, "backbone": TINY.to_dict() | backbone, "pooler": None}
    path = tmp_path / "small.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"bclip": json.dumps(header)})
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"small\.safetensors"):
        load(path)
    assert time.perf_counter() - start < LIMIT


def test_weights_that_ask_for_much_are_refused_by_their_shapes(tmp_path: Path) -> None:
    state = torch.load(relatives.path("longclip_smallvocab"))
    for name, shape in (
        ("token_embedding.weight", (10**9, 64)),
        ("positional_embedding", (10**6, 64)),
        ("positional_embedding", (10**11, 64)),
        ("visual.transformer.resblocks.0.mlp.c_fc.weight", (10**9, 64)),
    ):
        large = torch.zeros(1).expand(shape)
        changes = {name: large}
        if name == "positional_embedding":
            changes["positional_embedding_res"] = large
        torch.save(state | changes, tmp_path / "large.pt")
        assert (tmp_path / "large.pt").stat().st_size < 10**6
        with pytest.raises(CheckpointError, match=r"large\.pt: .*expected"):
            open_model(tmp_path / "large.pt")
