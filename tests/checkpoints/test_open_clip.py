"""Into plain open_clip and back: the same embeddings there, the same weights here."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bclip_core.backbone import CheckpointError, Tokenizer
from bclip_core.checkpoints import (
    build_model,
    export_open_clip,
    import_open_clip,
    open_model,
    save,
)
from bclip_core.checkpoints.open_clip import CONFIG, POOLER, WEIGHTS
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig, RunConfig
from bclip_core.model import BClip
from bclip_core.train import create_model

TINY = BackboneConfig("scene-tiny")
TEXTS = ["a red circle", "a small blue square left of a green triangle " * 20]

# Nothing of ours is imported there: open_clip alone reads the folders.
PLAIN_OPEN_CLIP = """
import sys, torch, open_clip
from safetensors.torch import load_file, save_file
given, *folders = sys.argv[1:]
inputs = load_file(given)
texts = [bytes(row[row > 0].tolist()).decode() for row in inputs["texts"]]
for folder in folders:
    model, _, transform = open_clip.create_model_and_transforms("local-dir:" + folder)
    tokens = open_clip.get_tokenizer("local-dir:" + folder)(texts)
    assert not any(name.startswith("bclip") for name in sys.modules)
    with torch.no_grad():
        image, text = model.eval().encode_image(inputs["images"]), model.encode_text(tokens)
    save_file({"image": image, "text": text, "tokens": tokens}, folder + ".result")
"""


def make(context_length: int = 77, pooler: bool = False, quick_gelu: bool = True) -> BClip:
    torch.manual_seed(0)
    config = TINY.replace(quick_gelu=quick_gelu)
    model = build_model(config, PoolerConfig(8, "xavier") if pooler else None)
    model.backbone.stretch_context(context_length)
    return model.eval()


def assert_same_weights(first: BClip, second: BClip) -> None:
    state = second.state_dict()
    assert list(first.state_dict()) == list(state)
    for name, value in first.state_dict().items():
        assert torch.equal(state[name], value), name


READ_BY_OPEN_CLIP = [(248, True), (77, False)]  # context length, QuickGELU


@pytest.fixture(scope="module")
def by_open_clip(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[BClip, dict]]:
    """Models, and what open_clip makes of their exports: one process for all of them."""
    scratch, models = tmp_path_factory.mktemp("exported"), {}
    width = max(map(len, TEXTS))
    texts = torch.tensor([list(text.encode().ljust(width, b"\0")) for text in TEXTS])
    save_file({"images": pictures(), "texts": texts}, scratch / "given")
    for length, quick_gelu in READ_BY_OPEN_CLIP:
        models[length] = make(length, pooler=True, quick_gelu=quick_gelu)
        export_open_clip(models[length], scratch / str(length))
    folders = [str(scratch / str(length)) for length in models]
    command = [sys.executable, "-c", PLAIN_OPEN_CLIP, str(scratch / "given"), *folders]
    subprocess.run(command, check=True, cwd=scratch, timeout=120)
    return {n: (model, load_file(scratch / f"{n}.result")) for n, model in models.items()}


def pictures() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("context_length", "quick_gelu"), READ_BY_OPEN_CLIP)
def test_plain_open_clip_gives_the_same_embeddings(
    by_open_clip: dict[int, tuple[BClip, dict]], context_length: int, quick_gelu: bool
) -> None:
    model, there = by_open_clip[context_length]
    images = pictures()
    assert model.backbone.config.quick_gelu == quick_gelu
    tokens = Tokenizer(context_length)(TEXTS)
    assert there["tokens"].shape == (2, context_length)
    assert torch.equal(there["tokens"][:, : tokens.shape[1]], tokens)
    assert (tokens[1] != 0).sum() == min(context_length, 182)  # 77 cuts the text, 248 does not
    with torch.no_grad():
        image, text = (
            model.backbone.clip.encode_image(images),
            model.backbone.clip.encode_text(there["tokens"]),
        )
        ours = model.backbone.encode_text(tokens)
    assert torch.equal(there["image"], image)
    assert torch.equal(there["text"], text)
    torch.testing.assert_close(ours, text, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooler", [True, False])
def test_an_export_is_imported_exactly(tmp_path: Path, pooler: bool) -> None:
    model = make(248, pooler)
    again = import_open_clip(export_open_clip(model, tmp_path / "exported"))
    assert_same_weights(model, again)
    assert again.backbone.config == model.backbone.config
    assert (tmp_path / "exported" / POOLER).is_file() == pooler
    assert again.pooler is None or again.pooler.config == model.pooler.config


def test_a_run_starts_from_exported_weights(tmp_path: Path) -> None:
    model = make(248)
    folder = export_open_clip(model, tmp_path / "exported")
    backbone = TINY.replace(pretrained=str(folder / WEIGHTS), context_length=248)
    started = create_model(RunConfig("clip-ft", backbone))
    assert_same_weights(model, started)


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    folder = export_open_clip(make(248, pooler=True), tmp_path / "exported")
    export_open_clip(make(), folder)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="mine: expected a new or empty folder"):
        export_open_clip(make(), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"


def test_files_of_open_clip_come_in(tmp_path: Path) -> None:
    model = make()
    state = model.backbone.clip.state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pt")
    torch.save({"state_dict": {f"module.{n}": v for n, v in state.items()}, "epoch": 3},
               tmp_path / "c.pt")  # fmt: skip
    torch.save({n: v.half() for n, v in state.items()}, tmp_path / "half.pt")
    for name in ("a.safetensors", "b.pt", "c.pt"):
        found = import_open_clip(tmp_path / name, quick_gelu=True)
        assert found.backbone.config == TINY
        assert_same_weights(model, found)
    half = import_open_clip(tmp_path / "half.pt", "scene-tiny", quick_gelu=True)
    assert torch.equal(half.backbone.clip.visual.proj, state["visual.proj"].half().float())


def test_an_unstated_activation_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(make().backbone.clip.state_dict(), path)
    with pytest.raises(CheckpointError, match="do not tell their activation: say quick_gelu=True"):
        import_open_clip(path)
    assert not import_open_clip(path, quick_gelu=False).backbone.config.quick_gelu


def test_names_are_checked_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="openai: no such file or folder; a tag needs name="):
        import_open_clip("openai")
    with pytest.raises(ConfigError, match="pretrained='oopenai'.*tags: openai, "):
        import_open_clip("oopenai", "ViT-B-16")
    with pytest.raises(CheckpointError, match="expected open_clip_config.json of open_clip"):
        import_open_clip(tmp_path)


def test_shapes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = export_open_clip(make(pooler=True), tmp_path / "exported")
    state = load_file(folder / WEIGHTS)
    save_file(state | {"visual.proj": torch.zeros(64, 63)}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"visual\.proj: shape \[64, 63\], expected \[64, 64"):
        import_open_clip(folder)
    save_file(state | {"visual.proj": state["visual.proj"].T.contiguous()}, folder / WEIGHTS)
    save_file(load_file(folder / POOLER) | {"extra": torch.zeros(2)}, folder / POOLER,
              {"bclip": json.dumps(PoolerConfig(8, "xavier").to_dict())})  # fmt: skip
    with pytest.raises(CheckpointError, match=r"bclip_pooler\.safetensors: extra: unknown, \[2\]"):
        import_open_clip(folder)
    with pytest.raises(CheckpointError, match="no known architecture.*closest is scene-tiny, but"):
        import_open_clip(write(tmp_path, state | {"visual.conv1.weight": torch.zeros(65, 3, 8, 8)}),
                         quick_gelu=True)  # fmt: skip
    del state["ln_final.weight"]
    with pytest.raises(CheckpointError, match=r"weight 'ln_final\.weight': missing"):
        import_open_clip(write(tmp_path, state), quick_gelu=True)


def write(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    save_file(state, folder / "changed.safetensors")
    return folder / "changed.safetensors"


# ---- OpenAI's TorchScript archives ----


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[BClip, Path]:
    """A traced CLIP, as OpenAI published theirs: code, constants and half-precision weights."""
    model = make()
    clip = model.backbone.clip
    for parameter in clip.parameters():
        parameter.data = parameter.data.half().float()
    clip.register_buffer("input_resolution", torch.tensor(64))  # OpenAI's have such extras
    images, tokens = torch.randn(1, 3, 64, 64), Tokenizer()(["a red circle"])
    tokens = torch.nn.functional.pad(tokens, (0, 77 - tokens.shape[1]))
    path = tmp_path_factory.mktemp("archive") / "ViT-tiny.pt"
    with warnings.catch_warnings():  # of a format that torch gives up
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(clip, (images, tokens), check_trace=False)
        torch.jit.save(traced.half(), path)
    del clip.input_resolution
    return model, path


def test_an_archive_is_read_without_running_it(
    archive: tuple[BClip, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = archive
    monkeypatch.setattr(torch.jit, "load", None)
    found = import_open_clip(path)  # the activation is OpenAI's
    assert found.backbone.config == TINY
    assert_same_weights(model, found)


def test_an_archive_with_other_objects_is_refused(
    archive: tuple[BClip, Path], tmp_path: Path
) -> None:
    trace, path = tmp_path / "executed", tmp_path / "planted.pt"
    code = b"cposix\nmkdir\n(X" + len(str(trace)).to_bytes(4, "little") + str(trace).encode()
    with zipfile.ZipFile(archive[1]) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            planted = b"\x80\x02" + code + b"tR."
            target.writestr(name, planted if name.endswith("/data.pkl") else source.read(name))
    with pytest.raises(CheckpointError, match=r"planted\.pt: .*refused, it holds posix\.mkdir"):
        import_open_clip(path)
    assert not trace.exists()
    pickle.loads(planted)
    assert trace.exists()


def test_a_damaged_archive_is_named(archive: tuple[BClip, Path], tmp_path: Path) -> None:
    path = tmp_path / "damaged.pt"
    with zipfile.ZipFile(archive[1]) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content[:3] if "/data/" in name else content)
    with pytest.raises(CheckpointError, match=r"damaged\.pt: TorchScript archive"):
        import_open_clip(path)


def test_ours_are_not_taken_for_open_clips(tmp_path: Path) -> None:
    path = save(make(), tmp_path / "ours.safetensors")
    with pytest.raises(CheckpointError, match="weight 'text_projection': missing"):
        import_open_clip(path, quick_gelu=True)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"architecture": "scene-small"}, "name is 'scene-tiny', but 'scene-small' was asked"),
        ({"architecture": "scene-tiny@96"}, "name is 'scene-tiny', but 'scene-tiny@96' was"),
        ({"quick_gelu": False}, "quick_gelu is True, but False was asked for"),
    ],
)
def test_an_export_is_no_other_model_than_it_says(tmp_path, asked, told):
    folder = export_open_clip(build_model(BackboneConfig("scene-tiny"), None), tmp_path / "out")
    with pytest.raises(CheckpointError, match=told):
        open_model(folder, **asked)
    same = {"architecture": "scene-tiny", "quick_gelu": True}
    assert open_model(folder, **same).backbone.config == open_model(folder).backbone.config
