"""Runs know their data: what has changed since neither resumes nor is reused."""

import pytest

from bclip_core.checkpoints import save
from bclip_core.config import ConfigError
from bclip_core.data.sources import load_split
from bclip_core.records.files import read_json, sha256
from bclip_core.studies import runs
from bclip_core.train import create_model, find, train
from bclip_core.train.run import BEGUN_FROM, DATA, WEIGHTS, require_same_start
from tests.planted import draw


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    for n in range(6):
        draw(tmp_path / "mine" / f"{n}.png", {(0, 0, 64, 64): n}, (64, 64))
        (tmp_path / "mine" / f"{n}.txt").write_text(f"A picture, number {n}.")
    return tmp_path / "mine"


@pytest.fixture
def config(photos, tiny_config):
    data = tiny_config.data.replace(name="pairs", folder=str(photos), train=6)
    return tiny_config.replace(data=data)


def trained(config, **more):
    return train(config, load_split(config.data, "train"), find(config).folder, progress=False,
                 **more)  # fmt: skip


def test_a_changed_data_set_does_not_resume(photos, config):
    trained(config, stop_after=2)
    kept = read_json(find(config).folder / DATA)
    assert (kept["name"], kept["rows"]) == ("pairs", 6)
    (photos / "3.txt").write_text("Another caption.")
    with pytest.raises(ConfigError, match="begun with other data") as error:
        trained(config)
    assert kept["sha256"] in str(error.value)
    (photos / "3.txt").write_text("A picture, number 3.")
    draw(photos / "3.png", {(0, 0, 64, 64): 9}, (64, 64))
    with pytest.raises(ConfigError, match="begun with other data"):
        trained(config)
    draw(photos / "3.png", {(0, 0, 64, 64): 3}, (64, 64))
    trained(config)
    assert (find(config).folder / WEIGHTS).is_file()


def test_a_changed_data_set_does_not_reuse_a_finished_run(photos, config, capsys):
    trained(config)
    run = find(config)
    (run.folder / "metrics.json").write_text("{}")
    assert runs.obtain([config], progress=False) == [run]
    assert runs.complete(run, progress=False) is run
    (photos / "3.txt").write_text("Another caption.")
    for again in (lambda: runs.obtain([config], progress=False), lambda: runs.complete(run)):
        with pytest.raises(ConfigError, match="6 rows with SHA-256"):
            again()
    photos.rename(photos.with_name("elsewhere"))
    assert runs.obtain([config], progress=False) == [run]
    assert "whether its data have changed is not known" in capsys.readouterr().out


def test_a_broken_digest_is_named(photos, config):
    trained(config, stop_after=1)
    (find(config).folder / DATA).write_text("[]")
    with pytest.raises(ValueError, match=r"data\.json: a broken record"):
        trained(config)


def test_scenes_need_no_digest(tiny_config, tiny_scenes, tmp_path):
    train(tiny_config, tiny_scenes, tmp_path, progress=False, stop_after=1)
    assert not (tmp_path / DATA).exists()


def test_changed_first_weights_neither_resume_nor_reuse_a_run(tiny_config, tiny_scenes, tmp_path):
    file = tmp_path / "first.safetensors"
    save(create_model(tiny_config), file)
    before = file.read_bytes()
    config = tiny_config.replace(backbone=tiny_config.backbone.replace(pretrained=str(file)))

    def again(**more):
        return train(config, tiny_scenes, tmp_path / "run", progress=False, **more)

    again(stop_after=1)
    kept = read_json(tmp_path / "run" / BEGUN_FROM)["sha256"]
    save(create_model(tiny_config.replace(train=tiny_config.train.replace(seed=1))), file)
    for message in (f"had SHA-256 {kept}, now {sha256(file)}", "train in another folder"):
        with pytest.raises(ConfigError, match=message):
            again()
    file.rename(tmp_path / "elsewhere")  # what is not there has not changed
    require_same_start(tmp_path / "run", config)
    file.write_bytes(before)
    again(stop_after=2)
    assert read_json(tmp_path / "run" / BEGUN_FROM)["sha256"] == kept
    (tmp_path / "run" / BEGUN_FROM).write_text("{}")
    with pytest.raises(ValueError, match=r"begun_from\.json: a broken record"):
        again()


def test_other_weights_in_a_folder_are_another_run(tiny_config, tmp_path):
    bare = tiny_config.backbone
    keys = []
    for name, content in (
        ("model.safetensors", "a"), ("model.safetensors", "b"), ("readme.txt", "x"),
        ("._model.safetensors", "junk"), ("second.BIN", "c"),
    ):  # fmt: skip
        (tmp_path / name).write_text(content)
        config = tiny_config.replace(backbone=bare.replace(pretrained=str(tmp_path)))
        keys.append(find(config).folder.name)
    assert keys[0] != keys[1]
    assert keys[1] == keys[2] == keys[3]
    assert keys[3] != keys[4]
