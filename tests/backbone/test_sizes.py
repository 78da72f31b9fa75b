"""An architecture at another size of pictures: its name, its positions, its checkpoints."""

import open_clip
import pytest
import torch
from open_clip.model import resize_pos_embed

from bclip_core.backbone import create_backbone
from bclip_core.backbone.architectures import architecture, at_size, split_size
from bclip_core.checkpoints import (
    CheckpointError,
    HubModel,
    export_open_clip,
    open_model,
    start_model,
)
from bclip_core.checkpoints.hub import write_files
from bclip_core.checkpoints.own import build_model, load, save
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig, get_profile
from bclip_core.model import Parts, Reading
from bclip_core.train import create_model

TINY = BackboneConfig("scene-tiny")


def backbone(name="scene-tiny", seed=0):
    torch.manual_seed(seed)
    return create_backbone(TINY.replace(name=name))


def test_the_name_says_the_size():
    assert split_size("ViT-B-16@336") == ("ViT-B-16", 336)
    assert split_size("ViT-B-16") == ("ViT-B-16", 0)
    assert at_size("ViT-B-16@336", 224) == "ViT-B-16", "its own size needs no saying"
    assert at_size("ViT-B-16", 448) == "ViT-B-16@448"
    plain, sized = architecture("ViT-B-16"), architecture("ViT-B-16@336")
    assert sized[1] == {**plain[1], "image_size": 336}
    assert (sized[0], sized[2]) == (plain[0], plain[2])


@pytest.mark.parametrize("name", ["scene-tiny@60", "scene-tiny@0100000", "ViT-B-16@8"])
def test_a_size_of_broken_patches_is_refused(name):
    with pytest.raises(ConfigError, match=f"name='{name}': expected a multiple of "):
        architecture(name)


def test_positions_are_interpolated_as_open_clip_does():
    ours = backbone()
    state = {name: value.clone() for name, value in ours.clip.state_dict().items()}
    ours.resize_images(96)
    theirs = backbone("scene-tiny@96", seed=1)
    resize_pos_embed(state, theirs.clip)
    theirs.clip.load_state_dict(state)
    assert ours.grid == theirs.grid == (12, 12)
    assert ours.config.name == "scene-tiny@96"
    pictures = torch.randn(2, 3, 96, 96)
    for one, other in zip(ours.encode_image(pictures), theirs.encode_image(pictures), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_same_size_changes_nothing():
    resized, plain = backbone(), backbone()
    resized.resize_images(64)
    assert resized.config == plain.config
    table = resized.clip.visual.positional_embedding
    torch.testing.assert_close(table, plain.clip.visual.positional_embedding, rtol=0, atol=1e-6)


def test_checkpoints_and_exports_keep_the_size(tmp_path):
    torch.manual_seed(0)
    model = build_model(TINY.replace(name="scene-tiny@96"), PoolerConfig(heads=1))
    model.backbone.clip.visual.positional_embedding.data.mul_(20)
    again = load(save(model, tmp_path / "model.safetensors"))
    assert again.backbone.config.name == "scene-tiny@96"
    pictures = torch.randn(2, 3, 96, 96)
    expected = model.backbone.encode_image(pictures)[0]
    torch.testing.assert_close(again.backbone.encode_image(pictures)[0], expected)
    folder = export_open_clip(model, tmp_path / "exported")
    plain, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    torch.testing.assert_close(plain.encode_image(pictures), expected)
    back = open_model(folder).backbone
    assert back.image_size == (96, 96)
    torch.testing.assert_close(back.encode_image(pictures)[0], expected)


def test_training_starts_from_weights_of_another_size():
    config = get_profile("smoke").run("beta-clip-ce")
    sized = config.backbone.replace(name="scene-small@96")
    model = create_model(config.replace(backbone=sized, data=config.data.replace(image_size=96)))
    assert model.backbone.grid == (12, 12)
    shipped = open_model("scenes").backbone
    weight = shipped.clip.visual.conv1.weight
    torch.testing.assert_close(model.backbone.clip.visual.conv1.weight, weight)
    shipped.resize_images(96)
    table = shipped.clip.visual.positional_embedding
    torch.testing.assert_close(model.backbone.clip.visual.positional_embedding, table)


def test_another_architecture_is_refused_at_any_size():
    config = get_profile("smoke").run("beta-clip-ce")
    other = config.backbone.replace(name="scene-tiny@96")
    with pytest.raises(CheckpointError, match="name is 'scene-small', but 'scene-tiny@96'"):
        create_model(config.replace(backbone=other))


def cached(folder, model, monkeypatch, revision="main"):
    """A model in the hub's cache under me/mine, as the hub's client keeps it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    kept, commit = folder / "models--me--mine", "0" * 40
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / revision).write_text(commit)
    (kept / "snapshots" / commit).mkdir(parents=True)
    write_files(model, kept / "snapshots" / commit)


@pytest.mark.parametrize("stored", ["scene-tiny", "scene-tiny@96"])
@pytest.mark.parametrize("asked", ["scene-tiny", "scene-tiny@96", "scene-tiny@128"])
def test_an_own_model_of_the_hub_starts_as_the_same_file_here(tmp_path, monkeypatch, stored, asked):
    torch.manual_seed(0)
    model = build_model(TINY.replace(name=stored), None)
    file = save(model, tmp_path / "own.safetensors")
    cached(tmp_path / "cache", model, monkeypatch, "96")  # a revision, not a size
    reading = Reading()
    found = []
    for source in (str(file), "me/mine@96"):
        parts = Parts(TINY.replace(name=asked, pretrained=source), None, None)
        try:
            started = start_model(parts, reading, seed=1)
        except CheckpointError as error:
            found.append(str(error).partition(": ")[2])
        else:
            found.append((started.backbone.config, *started.state_dict().values()))
    here, hub = found
    if stored == "scene-tiny@96" and asked == "scene-tiny":
        assert here == hub == "backbone name is 'scene-tiny@96', but 'scene-tiny' was asked for"
        return
    assert here[0] == hub[0]
    assert here[0].name == asked
    assert all(map(torch.equal, here[1:], hub[1:]))


def test_a_size_behind_a_folder_is_no_revision_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    HubModel(build_model(TINY, None)).save_pretrained("runs/mine")
    with pytest.raises(CheckpointError, match="; runs/mine is here: give its name alone, '@96' is"):
        open_model("runs/mine@96")
    with pytest.raises(CheckpointError, match="revision='v9': expected None: runs/mine is a fol"):
        HubModel.from_pretrained("runs/mine", revision="v9")
