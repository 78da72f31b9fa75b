"""One door for all weights: what is told apart, what beside a file counts, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import (
    build_model,
    export_hugging_face,
    export_open_clip,
    import_open_clip,
    open_model,
    save,
)
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig, RunConfig
from bclip_core.explorer import Workbench
from bclip_core.explorer.catalogue import given_models
from bclip_core.explorer.pictures import own_picture
from bclip_core.model import BClip
from bclip_core.train import create_model
from tests.checkpoints import relatives

TINY = BackboneConfig("scene-tiny")


@pytest.fixture(scope="module")
def model() -> BClip:
    torch.manual_seed(0)
    return build_model(TINY, PoolerConfig(8, "xavier")).eval()


def assert_same_towers(found: BClip, model: BClip) -> None:
    state = found.backbone.clip.state_dict()
    for name, value in model.backbone.clip.state_dict().items():
        assert torch.equal(state[name], value), name


def test_every_kind_of_source(tmp_path: Path, model: BClip) -> None:
    run = tmp_path / "run"
    save(model, run / "model.safetensors")
    (run / "config.json").write_text("{}")
    torch.save(model.backbone.clip.state_dict(), tmp_path / "open_clip.pt")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tmp_path / "open_clip.pt", alone / "weights.pt")
    for source in (
        run, run / "model.safetensors", str(run), tmp_path / "open_clip.pt", alone,
        export_open_clip(model, tmp_path / "a"), export_hugging_face(model, tmp_path / "b"),
    ):  # fmt: skip
        assert_same_towers(open_model(source, quick_gelu=True), model)
    assert open_model(tmp_path / "b").pooler.config == model.pooler.config
    assert open_model("scenes").backbone.config.name == "scene-small"
    assert open_model("random", architecture="scene-tiny").pooler is not None


def test_a_run_starts_from_whatever_is_opened(tmp_path: Path, model: BClip) -> None:
    folders = export_open_clip(model, tmp_path / "a"), export_hugging_face(model, tmp_path / "b")
    for source in (*folders, "random"):
        config = RunConfig("beta-clip-ce", TINY.replace(pretrained=str(source), context_length=248))
        started = create_model(config)
        assert started.backbone.context_length == 248
        assert started.backbone.config == config.backbone
        assert started.pooler.config == PoolerConfig()
        if source != "random":
            width = slice(20)
            table = model.backbone.clip.positional_embedding[width]
            assert torch.equal(started.backbone.clip.positional_embedding[width], table)


def test_the_explorer_takes_the_same_sources() -> None:
    entries = given_models({"flair": relatives.path("flair"), "ours": "scenes"})
    assert entries["flair"].load().origin == "FLAIR"
    assert entries["ours"].load().backbone.config.name == "scene-small"


def test_a_sigmoid_trained_checkpoint_keeps_its_bias(tmp_path: Path, model: BClip) -> None:
    state = {f"module.{n}": v for n, v in model.backbone.clip.state_dict().items()}
    state["module.logit_bias"] = torch.tensor(-8.5)
    stored = {"epoch": 32, "name": "a run", "state_dict": state, "optimizer": {"state": {}}}
    torch.save(stored, tmp_path / "epoch_32.pt")
    found = open_model(tmp_path / "epoch_32.pt", quick_gelu=False)
    assert found.heads.scalars["sigmoid_bias"].item() == -8.5
    assert found.backbone.config == TINY.replace(quick_gelu=False)
    exported = export_open_clip(found, tmp_path / "exported")
    assert load_file(exported / "open_clip_model.safetensors")["logit_bias"].item() == -8.5
    assert open_model(exported).heads.scalars["sigmoid_bias"].item() == -8.5
    state["module.logit_bias"] = torch.zeros(2)
    torch.save(stored, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt: logit_bias \[2\]: expected a single numb"):
        open_model(tmp_path / "odd.pt", quick_gelu=False)


# ---- Hugging Face's folders ----


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    there = tmp_path / "hf"
    there.mkdir()
    shutil.copy(relatives.path("hf_clip_248"), there / "model.safetensors")
    shutil.copy(relatives.FOLDER / "hf_clip_248" / "config.json", there)
    return there


def change(folder: Path, file: str = "config.json", **values: object) -> None:
    path = folder / file
    stored = json.loads(path.read_text()) if path.is_file() else {}
    for name, value in values.items():
        part, _, key = name.partition("__")
        if key:
            stored[part][key] = value
        else:
            stored[part] = value
    path.write_text(json.dumps(stored))


def test_a_folder_of_hugging_face(folder: Path) -> None:
    model = open_golden = open_model(folder).eval()
    assert max(relatives.distances("hf_clip_248", model).values()) < 1e-5
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert_same_towers(open_model(folder), open_golden)
    assert open_model(folder).origin == "Hugging Face CLIPModel"


def test_its_activation_counts(folder: Path) -> None:
    change(folder, text_config__hidden_act="gelu", vision_config__hidden_act="gelu")
    model = open_model(folder).eval()
    assert not model.backbone.config.quick_gelu
    assert min(relatives.distances("hf_clip_248", model).values()) > 1e-3
    with pytest.raises(ConfigError, match="quick_gelu=True: expected False, the activation of Hug"):
        open_model(folder, quick_gelu=True)


def test_its_preprocessing_counts(folder: Path) -> None:
    size, half = {"height": 32, "width": 32}, [0.5, 0.5, 0.5]
    change(folder, "preprocessor_config.json", do_center_crop=False, size=size, image_mean=half,
           image_std=half)  # fmt: skip
    config = open_model(folder).backbone.config
    assert (config.resize, config.mean, config.std) == ("squash", (0.5,) * 3, (0.5,) * 3)
    again = open_model(export_hugging_face(open_model(folder), folder.parent / "again"))
    assert again.backbone.config == config
    again = open_model(export_open_clip(open_model(folder), folder.parent / "third"))
    assert again.backbone.config == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vision_config__hidden_act": "gelu"}, "hidden_act 'gelu', 'quick_gelu': expected"),
        ({"text_config__hidden_act": "relu"}, "hidden_act .*'relu'"),
        ({"text_config__layer_norm_eps": 1e-6}, "layer_norm_eps=1e-06: expected 1e-05"),
        ({"text_config__eos_token_id": 7}, "eos_token_id=7: expected 599, the highest id, or 2"),
        ({"vision_config__hidden_size": 64}, "config.json beside it describes a model of other si"),
        ({"vision_config__num_attention_heads": 5}, "5 heads: expected a number that divides the"),
        ({"model_type": "siglip2"}, "model_type 'siglip2': expected 'clip'"),
    ],
)
def test_another_configuration_is_refused(
    folder: Path, values: dict[str, object], message: str
) -> None:
    change(folder, **values)
    with pytest.raises(CheckpointError, match=message) as refused:
        open_model(folder)
    assert "\n" not in str(refused.value)


def test_a_configuration_of_another_model_beside_a_file_does_not_count(
    tmp_path: Path, model: BClip
) -> None:
    shutil.copy(relatives.FOLDER / "hf_clip_77" / "config.json", tmp_path / "config.json")
    shutil.copy(relatives.FOLDER / "flair" / "open_clip_style_config.json", tmp_path)
    save_file(model.backbone.clip.state_dict(), tmp_path / "mine.safetensors")
    assert open_model(tmp_path / "mine.safetensors", quick_gelu=True).backbone.config == TINY


# ---- refused ----


def test_heads_that_nothing_states_are_asked_for(tmp_path: Path) -> None:
    shutil.copy(relatives.path("flair_multihead"), tmp_path / "flair.pt")
    with pytest.raises(CheckpointError, match=r"shapes do not tell the number of heads: say arch"):
        open_model(tmp_path / "flair.pt")
    name = relatives.open_golden("flair_multihead").backbone.config.name
    found = open_model(tmp_path / "flair.pt", architecture=name).eval()
    assert relatives.distances("flair_multihead", found)["text"] < 1e-5


def test_what_cannot_be_opened_is_one_line(tmp_path: Path, model: BClip) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("a.pt", "b.pt"):
        torch.save({"a": torch.zeros(1)}, tmp_path / "two" / name)
    path = save(model, tmp_path / "ours.safetensors")
    for source, kind, message in (
        (tmp_path / "empty", CheckpointError, "expected a model, found weight files: none"),
        (tmp_path / "two", CheckpointError, r"found weight files: a\.pt, b\.pt"),
        ("nothing.pt", CheckpointError, r"nothing\.pt: no such file or folder"),
        (tmp_path / "no" / "such.pt", CheckpointError, r"such\.pt: no such file or folder"),
        ("openai", CheckpointError, "a tag needs name=ARCHITECTURE"),
    ):
        with pytest.raises(kind, match=message) as refused:
            open_model(source)
        assert "\n" not in str(refused.value)
    with pytest.raises(CheckpointError, match="backbone name is 'scene-tiny', but 'ViT-B-16' was"):
        open_model(path, architecture="ViT-B-16")
    with pytest.raises(CheckpointError, match="backbone quick_gelu is True, but False was asked"):
        open_model(path, quick_gelu=False)
    with pytest.raises(ConfigError, match="name='ViT-Q': expected an architecture"):
        open_model(relatives.path("flair"), architecture="ViT-Q")
    with pytest.raises(CheckpointError, match="weights are not of ViT-B-16: here embed_dim=32"):
        import_open_clip(relatives.path("longclip"), "ViT-B-16")


def test_the_explorer_shows_a_picture_as_the_model_sees_it() -> None:
    wide = Image.new("RGB", (120, 60), "red")
    wide.paste((0, 0, 255), (0, 0, 20, 60))  # a crop of the centre loses it
    picture = own_picture(wide, "wide")
    bench = Workbench(models={"crop": "scenes", "squash": relatives.path("fgclip")})
    seen = {name: bench.pixels(picture, bench.model(name)) for name in ("crop", "squash")}
    assert [bool((pixels[2] > 200).any()) for pixels in seen.values()] == [False, True]
    assert [list(pixels.shape) for pixels in seen.values()] == [[3, 64, 64], [3, 56, 56]]
