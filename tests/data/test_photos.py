"""Readers of official layouts on files made here: what they give, and how they name what is bad."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core.captions import RuleBasedExtractor
from bclip_core.data.images import BrokenImageError
from bclip_core.data.photos import load_coco_captions, load_fgovd, load_photo

ITEM = {
    "img_path": "val2017/000000000001.jpg",
    "bbox": [1.0, 2.5, 30.0, 20.0],
    "pos_expression": ["A red bus."],
    "neg_expression": ["A blue bus.", "A green bus."],
    "width": 64,
    "height": 48,
}


@pytest.fixture
def coco(tmp_path):
    """Three listed photos, two of them on disk."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    names = {7: "000000000007.jpg", 1: "000000000001.jpg", 3: "000000000003.jpg"}
    captions = [(1, f"A red bus {i}", 50 - i) for i in range(6)]
    captions += [(7, " A dog on  a sofa\n", 1), (3, "A cat!", 2)]
    stored = {
        "images": [{"id": i, "file_name": name} for i, name in names.items()],
        "annotations": [{"image_id": i, "caption": c, "id": n} for i, c, n in captions],
    }
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps(stored))
    for name in ("000000000007.jpg", "000000000001.jpg"):
        Image.new("RGB", (64, 48), "red").save(tmp_path / "val2017" / name)
    return tmp_path


def test_coco_captions_become_sentences_of_one_long_caption(coco, capsys):
    dataset = load_coco_captions(coco, RuleBasedExtractor())
    assert "2 of the 3 photos of COCO val2017 are in" in capsys.readouterr().out
    assert dataset["id"][:] == ["000000000007", "000000000001"]
    first, second = dataset
    assert first["caption"] == "A dog on a sofa."
    assert first["short_captions"] == ["A dog on  a sofa"]
    assert second["short_captions"] == [f"A red bus {i}" for i in (5, 4, 3, 2, 1)]
    assert second["sentences"] == [f"A red bus {i}." for i in (5, 4, 3, 2, 1)]
    assert second["caption"] == " ".join(second["sentences"])
    assert len(second["phrases"]) == 5
    assert second["image"].size == (64, 48)


def test_the_phrases_are_extracted_once(coco, monkeypatch):
    monkeypatch.setenv("BCLIP_CACHE", str(coco / "cache"))

    class Counted(RuleBasedExtractor):
        calls = 0

        def __call__(self, sentence):
            Counted.calls += 1
            return super().__call__(sentence)

    first = load_coco_captions(coco, Counted())
    made = Counted.calls
    assert made == 6
    assert load_coco_captions(coco, Counted()).to_dict() == first.to_dict()
    assert Counted.calls == made


def test_missing_and_foreign_annotations_are_named(coco):
    for path in (coco / "val2017").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"val2017: expected photos"):
        load_coco_captions(coco)
    annotations = coco / "annotations" / "captions_val2017.json"
    annotations.write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"captions_val2017.json: expected COCO captions"):
        load_coco_captions(coco)
    annotations.unlink()
    with pytest.raises(FileNotFoundError, match=r"captions_val2017.json"):
        load_coco_captions(coco)


def write_lines(path, *items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def test_fgovd_items_with_their_photo_are_kept_and_counted(coco, tmp_path, capsys):
    elsewhere = ITEM | {"img_path": "train2017/1.jpg"}
    items = load_fgovd(write_lines(tmp_path / "hard.jsonl", ITEM, elsewhere), coco)
    assert "hard.jsonl: 1 of 2 items have their photo" in capsys.readouterr().out
    (item,) = items
    assert item.captions == ("A red bus.", "A blue bus.", "A green bus.")
    assert (item.box, item.size) == ((1.0, 2.5, 30.0, 20.0), (64, 48))
    assert item.photo == coco / "val2017" / "000000000001.jpg"


BAD = [
    ({key: ITEM[key] for key in ITEM if key != "bbox"}, "no field 'bbox'"),
    (ITEM | {"bbox": [1, 2, 3]}, "not enough values"),
    (ITEM | {"bbox": [1, 2, 0, 5]}, "expected x, y, width > 0, height > 0"),
    (ITEM | {"neg_expression": []}, "at least one false one"),
    (ITEM | {"pos_expression": [" "]}, "at least one false one"),
    (ITEM | {"width": None}, "NoneType"),
    ("no object", "string indices"),
]


@pytest.mark.parametrize(("item", "message"), BAD)
def test_a_bad_item_names_file_and_line(coco, tmp_path, item, message):
    path = write_lines(tmp_path / "hard.jsonl", ITEM, item)
    with pytest.raises(ValueError, match=r"hard\.jsonl, line 2: ") as error:
        load_fgovd(path, coco)
    assert message in str(error.value)


def test_broken_json_names_file_and_line(coco, tmp_path):
    path = tmp_path / "hard.jsonl"
    path.write_text(json.dumps(ITEM) + "\n{")
    with pytest.raises(ValueError, match=r"hard\.jsonl, line 2: Expecting"):
        load_fgovd(path, coco)


def test_any_picture_becomes_pixels(tmp_path):
    array = np.zeros((40, 80, 4), np.uint8)
    array[:, :40] = 255
    Image.fromarray(array).save(tmp_path / "a.webp", lossless=True)
    cropped = load_photo(tmp_path / "a.webp", 16)
    whole = load_photo(tmp_path / "a.webp", 16, whole=True)
    assert cropped.shape == whole.shape == (3, 16, 16)
    assert cropped.dtype == torch.uint8
    assert (whole[:, :, 9:] == 0).all()
    assert (whole[:, :, :7] == 255).all()
    assert (cropped[:, :, :6] == 255).all()


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"picture .*b\.png: no such file"):
        load_photo(tmp_path / "b.png", 16)
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(BrokenImageError, match=r"b\.png cannot be decoded: "):
        load_photo(tmp_path / "b.png", 16)
