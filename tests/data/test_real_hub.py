"""Hubs through `datasets`, on local folders that hold the same files: no network is used."""

import io
import json
import tarfile

import datasets
import numpy as np
import pytest
from PIL import Image

from bclip_core.data import real
from bclip_core.data.images import decode_images
from bclip_core.data.real import DataError

SHAREGPT4V = "share-captioner_coco_lcs_sam_1246k_1107.json"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub_cache")


def add(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["coco", "flickr30k"])
def test_webdatasets_give_pictures_with_their_captions(tmp_path, name, streaming):
    (tmp_path / "hub" / "test").mkdir(parents=True)
    with tarfile.open(tmp_path / "hub" / "test" / "0.tar", "w") as archive:
        for number, colour in enumerate(("red", "blue")):
            add(archive, f"s{number}.jpg", png(colour))
            add(archive, f"s{number}.txt", f"A {colour} wall.\nAll {colour}.\n".encode())
    found = real.load_hub(name, source=tmp_path / "hub", streaming=streaming)
    assert isinstance(found, datasets.IterableDataset) == streaming
    rows = list(found)
    assert [row["captions"] for row in rows] == [
        ["A red wall.", "All red."],
        ["A blue wall.", "All blue."],
    ]
    assert rows[1]["image"].convert("RGB").getpixel((3, 3)) == (0, 0, 255)
    assert rows[0]["id"] == "s0"
    captions = real.as_set(found, name)
    assert [item.captions for item in captions.items] == [tuple(row["captions"]) for row in rows]
    assert decode_images(captions.to_dataset(), 8)[0][1, :, 3, 3].tolist() == [0, 0, 255]


@pytest.mark.parametrize("streaming", [False, True])
def test_sharegpt4v_holds_its_first_thousand_rows_out(tmp_path, streaming):
    (tmp_path / "hub").mkdir()
    rows = [
        {
            "id": f"{n}",
            "image": f"sam/images/{n}.jpg",
            "conversations": [
                {"from": "human", "value": "What?"},
                {"from": "gpt", "value": f"Row {n}.\nMore."},
            ],
        }
        for n in range(1002)
    ]
    (tmp_path / "hub" / SHAREGPT4V).write_text(json.dumps(rows))
    load = {"source": tmp_path / "hub", "streaming": streaming}
    train = list(real.load_hub("sharegpt4v", "train", **load))
    assert train == [
        {"picture": f"sam/images/{n}.jpg", "captions": [f"Row {n}. More."]} for n in (1000, 1001)
    ]
    found = real.load_hub("sharegpt4v", "test", **load)
    test = list(found)
    with pytest.raises(ValueError, match="'sharegpt4v': its hub has no pictures"):
        real.as_set(real.load_hub("sharegpt4v", "test", source=tmp_path / "hub"), "sharegpt4v")
    assert len(test) == 1000
    assert test[999]["captions"] == ["Row 999. More."]


@pytest.mark.parametrize(("name", "label"), [("cifar10", "label"), ("cifar100", "fine_label")])
def test_labelled_pictures_keep_their_label(tmp_path, name, label):
    picture = Image.fromarray(np.full((32, 32, 3), 7, np.uint8))
    made = datasets.Dataset.from_dict({"img": [picture], label: [1], "coarse_label": [0]})
    made = made.cast_column(label, datasets.ClassLabel(names=["aquarium_fish", "bear"]))
    (tmp_path / "hub").mkdir()
    made.to_parquet(tmp_path / "hub" / "test-00000-of-00001.parquet")
    found = real.load_hub(name, source=tmp_path / "hub")
    (row,) = found
    assert (set(row), row["label"], row["image"].size) == ({"image", "label"}, 1, (32, 32))
    labelled = real.as_set(found, name)
    assert labelled.class_names == ("aquarium fish", "bear")
    assert labelled.labels().tolist() == [1]
    assert (decode_images(labelled.to_dataset(), 32)[0] == 7).all()


def test_what_no_hub_has_says_where_it_is(tmp_path):
    with pytest.raises(ValueError, match="'docci' is on no hub .*google.github.io/docci"):
        real.load_hub("docci")
    with pytest.raises(ValueError, match="coco on its hub: split 'dev': expected one of test"):
        real.load_hub("coco", "dev")
    datasets.Dataset.from_dict({"a": [1]}).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(ValueError, match=r"no columns \['img', 'label'\]; it has \['a'\]"):
        real.load_hub("cifar10", source=tmp_path)


def test_a_hub_that_cannot_be_reached_says_what_to_do():
    with pytest.raises(ConnectionError, match="'coco': .*cannot be read from its hub") as error:
        real.load_hub("coco")
    assert "`python -m bclip_core.data.real coco`" in str(error.value)
    with pytest.raises(FileNotFoundError, match="/nowhere/at/all"):
        real.load_hub("coco", source="/nowhere/at/all")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_malformed_row_of_a_hub_is_named_or_left_out(tmp_path, streaming, capsys):
    (tmp_path / "hub").mkdir()
    said = [[{"from": "gpt", "value": "A dog."}], [{"from": "human", "value": "What?"}]]
    said += [[{"from": "gpt", "value": "  "}], [{"from": "gpt", "value": "A cat."}]]
    rows = [{"image": f"{n}.jpg", "conversations": turns} for n, turns in enumerate(said)]
    (tmp_path / "hub" / SHAREGPT4V).write_text(json.dumps(rows))
    load = {"source": tmp_path / "hub", "streaming": streaming}
    with pytest.raises(DataError, match="row 1: 1 turns of human: expected one of gpt or assist"):
        list(real.load_hub("sharegpt4v", "test", **load))
    found = list(real.load_hub("sharegpt4v", "test", **load, bad_rows="skip"))
    assert [row["picture"] for row in found] == ["0.jpg", "3.jpg"]
    shown = capsys.readouterr().out
    assert "left out row 1 of the hub: 1 turns of human" in shown
    assert "left out row 2 of the hub: captions='  '" in shown
    with pytest.raises(ValueError, match="on_error='no': expected one of 'raise', 'skip'"):
        real.load_hub("sharegpt4v", "test", **load, bad_rows="no")
