"""Training selects a real data set by name and folder, and fails before any work without it."""

import json

import pytest
from PIL import Image

from bclip_core.captions import RuleBasedExtractor
from bclip_core.config import ConfigError, DataConfig
from bclip_core.data import real
from bclip_core.data.batches import REQUIRED_COLUMNS
from bclip_core.data.sources import NAMES, load_split
from bclip_core.train import __main__ as command
from bclip_core.train.resume import read_history


def pairs(folder, count=6):
    rows = []
    for n in range(count):
        Image.new("RGB", (70, 64), (n * 20, 0, 0)).save(folder / f"{n}.png")
        caption = f"A red square number {n}. It lies on the left of a table."
        rows.append(json.dumps({"image": f"{n}.png", "caption": caption}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


def config(folder, **changes):
    return DataConfig("pairs", folder=str(folder), **changes)


def test_real_rows_have_what_training_reads(tmp_path, capsys):
    rows = load_split(config(pairs(tmp_path)), "train")
    assert set(REQUIRED_COLUMNS) <= set(rows.column_names)
    assert "pairs train: 6 items" in capsys.readouterr().out
    first = rows[0]
    assert first["id"] == "0.png"
    assert first["image"].size == (70, 64)
    assert first["caption"] == "A red square number 0. It lies on the left of a table."
    assert first["short_captions"] == ["A red square number 0."]
    assert first["sentences"] == ["A red square number 0.", "It lies on the left of a table."]
    assert len(first["phrases"]) == 2
    assert "on the left of" in " ".join(first["phrases"][1])
    capsys.readouterr()
    assert load_split(config(tmp_path, train=2), "train")["id"][:] == ["0.png", "1.png"]
    assert "2 items, from the first 2 rows alone" in capsys.readouterr().out


def test_several_captions_become_the_sentences_of_one(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    row = {"image": "1.png", "caption": ["A dog on  a sofa", "A cat!"]}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    (found,) = load_split(config(tmp_path), "train")
    assert found["caption"] == "A dog on a sofa. A cat!"
    assert found["short_captions"] == ["A dog on a sofa", "A cat!"]
    assert found["sentences"] == ["A dog on a sofa.", "A cat!"]


def test_the_phrases_are_extracted_once(tmp_path, monkeypatch):
    monkeypatch.setenv("BCLIP_CACHE", str(tmp_path / "cache"))
    made = []

    class Counted(RuleBasedExtractor):
        def __call__(self, sentence):
            made.append(sentence)
            return super().__call__(sentence)

    captions = real.load_captions("pairs", pairs(tmp_path))
    first = real.training_rows(captions, Counted())
    assert len(made) == 12
    again = real.training_rows(captions, Counted())
    assert len(made) == 12
    assert first.to_dict() == again.to_dict()


def test_bad_rows_stop_before_any_work_or_are_left_out(tmp_path):
    pairs(tmp_path)
    (tmp_path / "3.png").unlink()
    with (tmp_path / "metadata.jsonl").open("a") as handle:
        handle.write('\n{"image": "4.png", "caption": 7}')
    with pytest.raises(ConfigError, match=r"metadata\.jsonl, line 4: no picture .*3\.png"):
        load_split(config(tmp_path), "train")
    Image.new("RGB", (8, 8)).save(tmp_path / "3.png")
    with pytest.raises(ConfigError, match=r"line 7: picture '4\.png': caption=7: expected a text"):
        load_split(config(tmp_path), "train")
    assert len(load_split(config(tmp_path, bad_rows="skip"), "train")) == 6
    with pytest.raises(ConfigError, match="bad_rows='no': expected one of raise, skip"):
        config(tmp_path, bad_rows="no")


def test_what_is_not_there_is_a_configuration_error(tmp_path, monkeypatch):
    assert NAMES == ("scenes", "docci", "coco", "sharegpt4v", "pairs", "photographs", "shards")
    monkeypatch.delenv("BCLIP_DATA", raising=False)
    for name in NAMES[1:-1]:  # of shards see tests/train/test_shards.py
        if name != "photographs":  # which lie in the cache
            with pytest.raises(ConfigError, match=rf"{name}: expected its folder, or \$BCLIP_DATA"):
                load_split(DataConfig(name), "train")
        with pytest.raises(ConfigError, match=rf"{name}: no folder .*nowhere.*expected layout"):
            load_split(DataConfig(name, folder=str(tmp_path / "nowhere")), "train")
    with pytest.raises(ConfigError, match="'coco', split 'validation': it has test, train"):
        load_split(DataConfig("coco", folder=str(tmp_path)), "validation")
    with pytest.raises(ConfigError, match="data set 'urban1k': expected one of scenes, docci"):
        load_split(DataConfig("urban1k"), "train")


def settings(folder):
    values = {
        "data.name": "pairs",
        "data.folder": folder,
        "backbone.name": "scene-tiny",
        "backbone.pretrained": '""',
        "train.steps": 2,
        "train.batch_size": 4,
        "train.warmup_steps": 1,
    }
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


def test_the_command_line_trains_on_pairs_of_ones_own(tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ["--folder", str(run), "--device", "cpu", *settings(pairs(tmp_path))]
    command.main(arguments)
    assert [record["update"] for record in read_history(run / "history.jsonl")] == [1, 2]
    assert (run / "model.safetensors").is_file()
    assert "pairs train: 6 items" in capsys.readouterr().out


def test_the_command_line_says_what_is_missing_and_writes_nothing(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"pairs: no folder .*nowhere; expected layout:\nTABLE"):
        command.main(["--folder", str(run), *settings(tmp_path / "nowhere")])
    assert not run.exists()


def test_a_cache_that_cannot_be_written_is_one_line_that_says_what_moves_it(tmp_path, monkeypatch):
    captions = real.load_captions("pairs", pairs(tmp_path))
    (tmp_path / "file").write_text("no folder")
    monkeypatch.delenv("BCLIP_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"captions cannot be kept: .*file.*; set \$BCLIP_CACHE") as e:
        real.training_rows(captions, RuleBasedExtractor())
    assert "\n" not in str(e.value)
