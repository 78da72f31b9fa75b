import threading

import numpy as np
import pytest

from bclip_core.config import DataConfig
from bclip_core.data.scenes import (
    build,
    get_difficulty,
    load_scenes,
    render_scenes,
    sample_scenes,
    scenes_path,
    write_texts,
)

CONFIG = DataConfig(image_size=32, train=150, validation=20, test=20, seed=3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def train(cache):
    return load_scenes(CONFIG, "train", cache, progress=False)


def test_rows_hold_the_scenes(train):
    scenes = sample_scenes(get_difficulty("simple"), 3, "train", 0, 150)
    images, instances = render_scenes(scenes[140:], 32)
    assert len(train) == 150
    assert len(set(train["id"])) == 150
    for number, scene in enumerate(scenes[140:]):
        row, texts = train[140 + number], write_texts(scene)
        assert row["image"].mode == "RGB"
        assert row["instances"].mode == "L"
        assert np.array_equal(np.asarray(row["instances"]), instances[number])
        assert np.abs(np.asarray(row["image"]).astype(int) - images[number].numpy()).max() <= 1
        assert row["caption"] == " ".join(row["sentences"]) == texts.caption
        assert row["short_captions"] == texts.short_captions
        assert [len(p) for p in row["phrases"]] == [len(p) for p in row["phrase_objects"]]
        assert row["sentence_objects"] == [s.objects for s in texts.sentences]
        assert [o["shape"] for o in row["objects"]] == [o.shape for o in scene.objects]
        assert len(row["boxes"]) == len(row["objects"])
        assert row["background"] == scene.background.name
        assert row["difficulty"] == "simple"


def test_growing_a_split_keeps_its_scenes(train, cache):
    larger = load_scenes(CONFIG.replace(train=160), "train", cache, progress=False)
    columns = [name for name in train.column_names if name not in ("image", "instances")]
    for name in columns:
        assert larger[name][:150] == train[name][:]
    assert larger[149]["image"].tobytes() == train[149]["image"].tobytes()


def test_splits_share_no_scene(cache):
    seen = [
        repr(objects)
        for split in ("train", "validation", "test")
        for objects in load_scenes(CONFIG, split, cache, progress=False)["objects"]
    ]
    assert len(set(seen)) == len(seen) == 190


def test_the_second_call_reads_from_disk(train, cache, monkeypatch):
    def refuse(*_):
        raise AssertionError("built again")

    monkeypatch.setattr(build, "build_rows", refuse)
    again = load_scenes(CONFIG, "train", cache, progress=False)
    assert again[3]["caption"] == train[3]["caption"]
    with pytest.raises(AssertionError, match="built again"):
        load_scenes(CONFIG.replace(seed=4), "train", cache, progress=False)


def test_an_interrupted_build_leaves_nothing_behind(tmp_path, monkeypatch):
    original = build.build_rows

    def interrupted(config, split, start, stop):
        if start:
            raise KeyboardInterrupt
        return original(config, split, start, stop)

    monkeypatch.setattr(build, "build_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_scenes(CONFIG, "train", tmp_path, progress=False)
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    monkeypatch.undo()
    assert len(load_scenes(CONFIG, "train", tmp_path, progress=False)) == 150


def test_concurrent_builders_build_once(tmp_path, monkeypatch):
    original, calls, lengths = build.build_rows, [], []

    def counted(*arguments):
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(build, "build_rows", counted)

    def work():
        lengths.append(len(load_scenes(CONFIG, "test", tmp_path, progress=False)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [20, 20, 20]
    assert len(calls) == 1


def test_every_setting_has_its_own_file(tmp_path, monkeypatch):
    changes = [{}, {"difficulty": "full"}, {"image_size": 64}, {"seed": 9}, {"train": 7}]
    paths = {scenes_path(CONFIG.replace(**change), "train", tmp_path) for change in changes}
    assert len(paths) == len(changes)
    monkeypatch.setenv("BCLIP_CACHE", str(tmp_path))
    assert scenes_path(CONFIG, "test").is_relative_to(tmp_path)


def test_errors_name_what_is_known(tmp_path):
    with pytest.raises(ValueError, match=r"'dev'.*train, validation, test"):
        load_scenes(CONFIG, "dev", tmp_path)
    with pytest.raises(ValueError, match=r"'tough'.*simple"):
        load_scenes(CONFIG.replace(difficulty="tough"), "test", tmp_path)


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_damaged_file_is_named_and_built_again(tmp_path, capsys, kept):
    whole = load_scenes(CONFIG, "test", tmp_path, progress=False)["caption"][:]
    path = scenes_path(CONFIG, "test", tmp_path)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    assert load_scenes(CONFIG, "test", tmp_path, progress=False)["caption"][:] == whole
    assert capsys.readouterr().out.count(f"{path} is damaged (") == 1
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"scenes cannot be kept: .*set \$BCLIP_CACHE to a folder"):
        load_scenes(CONFIG, "test", tmp_path / "file", progress=False)
