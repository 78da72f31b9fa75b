"""Every layout on small files made in it: what is read, and what a wrong one answers."""

import json
import pickle
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import calculate_md5

from bclip_core.data import real
from bclip_core.data.images import decode_images
from bclip_core.data.real import DataError, LayoutError
from bclip_core.data.real.__main__ import main

SHAREGPT4V = "share-captioner_coco_lcs_sam_1246k_1107.json"
FGOVD = {
    "img_path": "val2017/000000000001.jpg",
    "bbox": [1.0, 2.5, 30.0, 20.0],
    "pos_expression": ["A red bus."],
    "neg_expression": ["A blue bus.", "A green bus."],
    "width": 64,
    "height": 48,
    "sent_id": 7,
}


def picture(path, colour="red", size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, bytes):
        path.write_bytes(value)
    else:
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def lines(path, *rows):
    return write(path, "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))


def urban_list(root):
    rows = [{"image_id": i, "image": f"{n}.jpg", "caption": f"Street {n}."} for i, n in PAIRS]
    write(root / "annotations.json", {"annotations": rows})
    pictures(root / "image", "1.jpg", "10.jpg", "2.jpg")


PAIRS = list(enumerate((1, 10, 2)))


def pictures(folder, *names):
    for name in names:
        picture(folder / name)


def urban_folder(root):
    for _, n in PAIRS:
        write(root / "caption" / f"{n}.txt", f"Street\n {n}.\n")
    pictures(root / "image", "1.jpg", "10.jpg", "2.jpg")


def goal(root):
    rows = [{"filename": f"sa_{n}.jpg", "caption": f"Place {n}.\nSecond line."} for n in (3, 1)]
    write(root / "DCI_test.json", rows)
    pictures(root / "photos", "sa_1.jpg", "sa_3.jpg")


def dci(root):
    for n, short in ((3, "A mall. "), (1, "")):
        row = {"image": f"sa_{n}.jpg", "short_caption": short, "extra_caption": f"Place {n}.\n"}
        write(root / "annotations" / f"{n}.json", row)
    pictures(root / "photos", "sa_1.jpg", "sa_3.jpg")


def docci(root):
    rows = [("train", 1), ("test", 0), ("test", 1), ("qual_dev", 0)]
    made = [
        {"split": s, "image_file": f"{s}_{n}.jpg", "description": f"{s} {n}.", "example_id": "x"}
        for s, n in rows
    ]
    lines(root / "docci_descriptions.jsonlines", *made)
    pictures(root / "images", *(row["image_file"] for row in made))


def flickr_list(root):
    five = [f"Dog {n}." for n in range(6)]
    rows = [{"image": "flickr30k-images/1.jpg", "caption": five}]
    write(root / "flickr30k_test.json", rows)
    pictures(root, "flickr30k-images/1.jpg")


def flickr_karpathy(root):
    sentences = [{"raw": f"Dog {n}.", "tokens": []} for n in range(6)]
    images = [
        {"filename": "1.jpg", "split": "test", "sentences": sentences},
        {"filename": "2.jpg", "split": "val", "sentences": sentences},
    ]
    write(root / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})
    pictures(root / "flickr30k-images", "1.jpg", "2.jpg")


def coco(root, year="val2017"):
    captions = [(7, f" A dog  {i}\n", 50 - i) for i in range(6)] + [(1, "A cat", 99)]
    stored = {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (7, 1)],
        "annotations": [{"image_id": i, "caption": c, "id": n} for i, c, n in captions],
    }
    write(root / "annotations" / f"captions_{year}.json", stored)
    pictures(root / year, "000000000007.jpg", "000000000001.jpg")


def sharegpt4v(root, count=1002):
    rows = [
        {
            "id": str(n),
            "image": "coco/train2017/1.jpg" if n == 0 else f"sam/images/{n}.jpg",
            "conversations": [
                {"from": "human", "value": "What?\n<image>"},
                {"from": "gpt", "value": f"Row {n}.\nA second sentence."},
            ],
        }
        for n in range(count)
    ]
    write(root / SHAREGPT4V, rows)


CASES = [
    ("urban1k", "test", urban_list, ["1.jpg", "10.jpg", "2.jpg"], ("Street 1.",)),
    ("urban1k", "test", urban_folder, ["1.jpg", "10.jpg", "2.jpg"], ("Street 1.",)),
    ("dci-1999", "test", goal, ["sa_3.jpg", "sa_1.jpg"], ("Place 3. Second line.",)),
    ("dci", "test", dci, ["sa_1.jpg", "sa_3.jpg"], ("Place 1.",)),
    ("docci", "test", docci, ["test_0.jpg", "test_1.jpg"], ("test 0.",)),
    ("docci", "train", docci, ["train_1.jpg"], ("train 1.",)),
    (
        "flickr30k",
        "test",
        flickr_list,
        ["flickr30k-images/1.jpg"],
        tuple(f"Dog {n}." for n in range(5)),
    ),
    (
        "flickr30k",
        "validation",
        flickr_karpathy,
        ["flickr30k-images/2.jpg"],
        tuple(f"Dog {n}." for n in range(5)),
    ),
    (
        "coco",
        "test",
        coco,
        ["val2017/000000000007.jpg", "val2017/000000000001.jpg"],
        tuple(f"A dog {n}" for n in (5, 4, 3, 2, 1)),
    ),
    (
        "coco",
        "train",
        lambda root: coco(root, "train2017"),
        ["train2017/000000000007.jpg", "train2017/000000000001.jpg"],
        tuple(f"A dog {n}" for n in (5, 4, 3, 2, 1)),
    ),
]


@pytest.mark.parametrize(("name", "split", "make", "ids", "first"), CASES)
def test_a_layout_is_read(tmp_path, capsys, name, split, make, ids, first):
    make(tmp_path)
    found = real.load_captions(name, tmp_path, split)
    assert [item.id for item in found.items] == ids
    assert found.items[0].captions == first
    assert all(item.image.is_file() for item in found.items)
    expected = real.get(name).splits[split]
    of = f" of {expected:,}" if expected else ""
    assert f"{name} {split}: {len(ids)}{of} items\n" in capsys.readouterr().out
    pixels, rows = decode_images(found.to_dataset(), 16)
    assert pixels.shape == (len(ids), 3, 16, 16)
    assert rows == list(range(len(ids)))


def test_both_layouts_of_urban1k_are_one_data_set(tmp_path):
    urban_list(tmp_path / "a")
    urban_folder(tmp_path / "b")
    a, b = (real.load_captions("urban1k", tmp_path / name) for name in "ab")
    assert real.manifest(a) == real.manifest(b)
    assert real.manifest(a) != real.manifest(a.first(2))


def test_summaries_are_the_data_sets_own_or_the_first_sentence(tmp_path):
    dci(tmp_path / "dci")
    found = real.load_captions("dci", tmp_path / "dci")
    assert found.items[1].captions == ("A mall. Place 3.",)
    assert found.texts(summary=True) == [["Place 1."], ["A mall."]]
    goal(tmp_path / "goal")
    assert real.load_captions("dci-1999", tmp_path / "goal").texts(summary=True) == [
        ["Place 3."],
        ["Place 1."],
    ]


def test_sharegpt4v_holds_its_first_thousand_rows_out(tmp_path):
    sharegpt4v(tmp_path)
    train = real.load_captions("sharegpt4v", tmp_path, "train", missing="ignore")
    assert [item.captions for item in train.items] == [
        (f"Row {n}. A second sentence.",) for n in (1000, 1001)
    ]
    held_out = real.load_captions("sv1k", tmp_path, missing="ignore")
    assert len(held_out) == 1000
    assert held_out.items[999].id == "sam/images/999.jpg"
    same = real.load_captions("sharegpt4v", tmp_path, "test", missing="ignore", limit=3)
    assert same.items == held_out.items[:3]
    picture(tmp_path / "coco" / "train2017" / "1.jpg")
    found = real.load_captions("sv1k", tmp_path, missing="skip")
    assert [item.id for item in found.items] == ["coco/train2017/1.jpg"]
    assert len(found.left_out) == 999


def test_a_missing_picture_stops_or_is_left_out_or_is_not_looked_for(tmp_path, capsys):
    urban_list(tmp_path)
    (tmp_path / "image" / "10.jpg").unlink()
    with pytest.raises(LayoutError, match=r"annotations\.json, row 1: no picture .*image/10\.jpg"):
        real.load_captions("urban1k", tmp_path)
    skipped = real.load_captions("urban1k", tmp_path, missing="skip")
    assert [item.id for item in skipped.items] == ["1.jpg", "2.jpg"]
    assert "2 of 1,000 items; left out 1: row 1: no picture '10.jpg'" in capsys.readouterr().out
    assert len(real.load_captions("urban1k", tmp_path, missing="ignore")) == 3
    moved = tmp_path / "elsewhere"
    (tmp_path / "image").rename(moved)
    assert len(real.load_captions("urban1k", tmp_path, missing="skip", images=moved)) == 2
    with pytest.raises(LayoutError, match="urban1k: .*image: expected the folder of the pi"):
        real.load_captions("urban1k", tmp_path)


def test_the_empty_caption_of_urban1k_is_known(tmp_path, capsys):
    rows = [{"image": f"{n}.jpg", "caption": caption} for n, caption in ((1, "A."), (592, ""))]
    write(tmp_path / "annotations.json", {"annotations": rows})
    found = real.load_captions("urban1k", tmp_path, missing="ignore")
    assert len(found) == 1
    assert "row 548 of FLAIR's list has an empty caption" in found.left_out[0].reason
    rows[0]["caption"] = ""
    write(tmp_path / "annotations.json", {"annotations": rows})
    with pytest.raises(DataError, match=r"row 0: picture '1\.jpg': caption='': expected a text"):
        real.load_captions("urban1k", tmp_path, missing="ignore")


@pytest.mark.parametrize("name", [n for n, b in real.DATA_SETS.items() if n != "pairs"])
def test_a_wrong_layout_answers_what_was_expected_where(tmp_path, monkeypatch, name):
    record = real.get(name)
    load = {
        "captions": real.load_captions,
        "regions": real.load_regions,
        "classes": real.load_labelled,
    }[record.task]
    split = next(iter(record.splits))
    layout = re.escape(record.layout.splitlines()[0].split()[0])
    with pytest.raises(LayoutError, match=rf"no folder .*nowhere; expected layout:\n{layout}"):
        load(name, tmp_path / "nowhere", split)
    with pytest.raises(LayoutError, match=layout if record.name != "imagenet-v2" else "per class"):
        load(name, tmp_path, split)
    if record.supply is not None:  # no folder is needed
        return
    monkeypatch.delenv("BCLIP_DATA", raising=False)
    with pytest.raises(LayoutError, match=r"expected its folder, or \$BCLIP_DATA above it"):
        load(name, None, split)
    monkeypatch.setenv("BCLIP_DATA", str(tmp_path))
    with pytest.raises(LayoutError, match=f"no folder {tmp_path}/{record.folder};"):
        load(name, None, split)


def test_unknown_names_splits_and_tasks_list_the_known(tmp_path):
    with pytest.raises(ValueError, match="data set 'laion': expected one of urban1k, sv1k, dci"):
        real.load_captions("laion", tmp_path)
    with pytest.raises(ValueError, match="coco: split 'dev': expected one of test, train"):
        real.load_captions("coco", tmp_path, "dev")
    with pytest.raises(ValueError, match="'fgovd' has the task 'regions': expected 'captions'"):
        real.load_captions("fgovd", tmp_path)
    with pytest.raises(ValueError, match="data set 'laion': expected one of"):
        real.describe("laion")


def test_every_record_describes_itself():
    table = real.table()
    for name, record in real.DATA_SETS.items():
        told = real.describe(name)
        for line in (*record.layout.splitlines(), record.source, record.licence, record.size):
            assert line in told
        assert all(f"{n} {count:,}" in told for n, count in record.splits.items() if count)
        assert re.search(rf"^\| `{name}` +\|", table, re.MULTILINE)
    assert "592.jpg: row 548" in real.describe("urban1k")


BAD_CAPTIONS = [
    ({"image": "1.jpg"}, "no field 'caption'; it has image"),
    ({"caption": "A."}, "no field 'image'; it has caption"),
    ({"image": 3, "caption": "A."}, "image=3: expected a text"),
    ({"image": "1.jpg", "caption": 3}, "caption=3: expected a text that is not empty"),
    ({"image": "1.jpg", "caption": None}, "caption=None: expected a text"),
    ({"image": "1.jpg", "caption": [" "]}, "caption=' ': expected a text"),
    ({"image": "1.jpg", "caption": []}, r"caption=\[\]: expected at least one text"),
    ({"image": "../1.jpg", "caption": "A."}, "expected a path inside"),
    ({"image": "0.jpg", "caption": "Again."}, "id '0.jpg' is taken by row 0"),
    ("1.jpg", "'1.jpg': expected a dictionary of fields"),
]


@pytest.mark.parametrize(("row", "message"), BAD_CAPTIONS)
def test_a_malformed_row_names_file_and_row_and_shows_a_right_one(tmp_path, row, message):
    write(tmp_path / "annotations.json", [{"image": "0.jpg", "caption": "A."}, row])
    right = re.escape(real.get("urban1k").example)
    expected = rf"annotations\.json, row 1: .*{message}.*right is for example {right}"
    with pytest.raises(DataError, match=expected):
        real.load_captions("urban1k", tmp_path, missing="ignore")
    found = real.load_captions("urban1k", tmp_path, missing="ignore", on_error="skip")
    assert len(found) == len(found.left_out) == 1


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("urban1k", "annotations.json", {"rows": []}, "expected a list of rows"),
        ("urban1k", "annotations.json", "[{", "broken JSON at line 1"),
        ("coco", "annotations/captions_val2017.json", {"images": []}, "expected COCO captions"),
        ("coco", "annotations/captions_val2017.json", [], "expected a JSON dict"),
        ("flickr30k", "dataset_flickr30k.json", {"images": 3}, "expected a list under the name"),
        ("sv1k", SHAREGPT4V, {}, "expected '\\['"),
        ("sv1k", SHAREGPT4V, [{"image": "1.jpg", "conversations": []}], "row 0: .*0 turns"),
        ("docci", "docci_descriptions.jsonlines", '{"split": "test"\n', "line 1: broken JSON"),
        ("docci", "docci_descriptions.jsonlines", '{"split": 1}\n', "line 1: split=1: expected"),
        ("dci", "annotations/1.json", '{"image"', r"file 1\.json: broken JSON at column"),
        ("dci", "annotations/1.json", {"image": "1.jpg"}, "no field 'short_caption'"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, name, file, content, message):
    write(tmp_path / file, content)
    with pytest.raises(DataError, match=message):
        real.load_captions(name, tmp_path, missing="ignore")


def test_a_file_without_a_usable_row_shows_the_layout(tmp_path):
    write(tmp_path / "annotations.json", [])
    with pytest.raises(LayoutError, match="urban1k: no row can be used: .* 0 of 1,000 items"):
        real.load_captions("urban1k", tmp_path, missing="ignore")


@pytest.fixture
def fgovd(tmp_path):
    pictures(tmp_path / "coco", "val2017/000000000001.jpg")
    return tmp_path / "fgovd"


def test_regions_in_both_forms_are_the_same(fgovd):
    other = FGOVD | {"bbox": [0, 0, 64, 48], "sent_id": 9, "neg_expression": ["A blue bus."]}
    lines(fgovd / "h_attributes_llava.jsonl", FGOVD, other)
    found = real.load_regions(root=fgovd)
    assert [item.id for item in found.items] == ["7", "9"]
    assert found.items[0].captions == ("A red bus.", "A blue bus.", "A green bus.")
    assert found.items[0].box == (1.0, 2.5, 30.0, 20.0)
    assert found.items[0].size == (64, 48)
    assert found.photos() == [fgovd.parent / "coco" / "val2017" / "000000000001.jpg"]
    (fgovd / "h_attributes_llava.jsonl").unlink()
    official = {
        "images": [
            {"id": 1, "file_name": "val2017/000000000001.jpg", "width": 64, "height": 48},
        ],
        "annotations": [
            {"id": 7, "image_id": 1, "bbox": FGOVD["bbox"], "category_id": 4},
            {"id": 9, "image_id": 1, "bbox": other["bbox"], "category_id": 4},
        ],
        "categories": [
            {"id": 4, "name": "A red bus."},
            {"id": 2, "name": "A blue bus."},
            {"id": 3, "name": "A green bus."},
        ],
    }
    for annotation, negatives in zip(official["annotations"], ([2, 3], [2]), strict=True):
        annotation["neg_category_ids"] = negatives
    write(fgovd / "1_attributes.json", official)
    assert real.load_regions(root=fgovd) == found
    official["annotations"][1]["neg_category_ids"] = [5]
    write(fgovd / "1_attributes.json", official)
    with pytest.raises(DataError, match=r"annotation 1: categories \[5\]: not under 'categories'"):
        real.load_regions(root=fgovd)
    official["annotations"][1]["image_id"] = 8
    write(fgovd / "1_attributes.json", official)
    with pytest.raises(DataError, match="annotation 1: image_id=8: no such picture"):
        real.load_regions(root=fgovd)
    write(fgovd / "1_attributes.json", {"images": []})
    with pytest.raises(DataError, match=r"expected FG-OVD in LVIS's form: lists under 'images'"):
        real.load_regions(root=fgovd)


BAD_REGIONS = [
    ({key: FGOVD[key] for key in FGOVD if key != "bbox"}, "no field 'bbox'"),
    (FGOVD | {"bbox": [1, 2, 3]}, "expected four numbers x, y, width, height"),
    (FGOVD | {"bbox": [1, 2, 3, "four"]}, "expected four numbers"),
    (FGOVD | {"bbox": [1, 2, 3, float("nan")]}, "expected four numbers"),
    (FGOVD | {"bbox": [1, 2, 0, 5]}, r"bbox=\[1, 2, 0, 5\]: expected x, y, width > 0, height > 0"),
    (FGOVD | {"bbox": [1, 2, 5, -5]}, "expected x, y, width > 0, height > 0"),
    (FGOVD | {"bbox": [40, 2, 25, 5]}, "expected a box inside 64 x 48 pixels"),
    (FGOVD | {"bbox": [4, -1, 25, 5]}, "expected a box inside 64 x 48 pixels"),
    (FGOVD | {"neg_expression": []}, "1 true and 0 false expressions: expected one true"),
    (FGOVD | {"pos_expression": []}, "0 true and 2 false expressions"),
    (FGOVD | {"pos_expression": [" "]}, "pos_expression=' ': expected a text"),
    (FGOVD | {"neg_expression": "A blue bus."}, "expected a list"),
    (FGOVD | {"width": None}, "width=None: expected a whole number"),
    (FGOVD | {"img_path": "/etc/passwd"}, "expected a path inside"),
    (FGOVD, "id '7' is taken by line 1"),
    ("no object", "'no object': expected a dictionary"),
]


@pytest.mark.parametrize(("row", "message"), BAD_REGIONS)
def test_a_malformed_region_names_file_and_line(fgovd, row, message):
    lines(fgovd / "m_attributes_llava.jsonl", FGOVD, json.dumps(row))
    expected = rf"m_attributes_llava\.jsonl, line 2: .*{message}.*; right is for example \{{"
    with pytest.raises(DataError, match=expected):
        real.load_regions(root=fgovd, split="medium")
    found = real.load_regions(root=fgovd, split="medium", on_error="skip")
    assert len(found) == len(found.left_out) == 1


def test_a_box_may_stick_out_by_half_a_pixel(fgovd):
    lines(fgovd / "h_attributes_llava.jsonl", FGOVD | {"bbox": [-0.5, 0, 65, 48.5]})
    assert len(real.load_regions(root=fgovd)) == 1


def test_a_picture_of_another_size_than_its_row_says_is_named(fgovd):
    lines(fgovd / "h_attributes_llava.jsonl", FGOVD | {"width": 48, "height": 64})
    with pytest.raises(DataError, match=r"\(48, 64\): expected the picture's, 64 x 48 pixels"):
        real.load_regions(root=fgovd)
    assert len(real.load_regions(root=fgovd, missing="ignore")) == 1
    turned = Image.Exif()
    turned[0x0112] = 6
    path = fgovd.parent / "coco" / "val2017" / "000000000001.jpg"
    Image.new("RGB", (64, 48)).save(path, exif=turned)
    assert real.load_regions(root=fgovd).items[0].size == (48, 64)


def test_the_command_line_describes_and_checks(tmp_path, capsys):
    main([])
    assert capsys.readouterr().out == real.table() + "\n"
    main(["coco"])
    assert "annotations/captions_val2017.json" in capsys.readouterr().out
    urban_list(tmp_path)
    main(["urban1k", "--folder", str(tmp_path)])
    said = capsys.readouterr().out
    expected = real.manifest(real.load_captions("urban1k", tmp_path))
    assert json.loads(said[said.index("{") :]) == expected


def test_folders_of_imagenet_v2_are_numbers_of_classes(tmp_path):
    pictures(tmp_path, "10/a.jpeg", "2/b.jpeg", "2/a.JPEG", "999/c.jpeg")
    write(tmp_path / "2" / "notes.txt", "no picture")
    found = real.load_labelled("imagenet-v2", tmp_path)
    assert {item.id: item.label for item in found.items} == {
        "10/a.jpeg": 10,
        "2/a.JPEG": 2,
        "2/b.jpeg": 2,
        "999/c.jpeg": 999,
    }
    assert torch.equal(found.labels(), torch.tensor([10, 2, 2, 999]))
    assert decode_images(found.to_dataset(), 16)[0].shape == (4, 3, 16, 16)
    pictures(tmp_path, "1000/a.jpeg")
    with pytest.raises(DataError, match=r"picture '1000/a\.jpeg': expected a folder that names"):
        real.load_labelled("imagenet-v2", tmp_path)


def test_imagenet_o_is_named_by_its_own_list(tmp_path):
    listed = "ImageNet-O\n\nn01443537 goldfish\nn01704323 triceratops\nn02786058 Band-Aid\n"
    write(tmp_path / "README.txt", listed)
    pictures(tmp_path, "n02786058/a.JPEG", "n01443537/b.JPEG")
    found = real.load_labelled("imagenet-o", tmp_path)
    assert found.class_names == ("goldfish", "triceratops", "Band-Aid")
    assert [(item.id, item.label) for item in found.items] == [
        ("n01443537/b.JPEG", 0),
        ("n02786058/a.JPEG", 2),
    ]
    pictures(tmp_path, "n09999999/b.JPEG")
    with pytest.raises(DataError, match="n09999999.*expected a folder that names its class"):
        real.load_labelled("imagenet-o", tmp_path)
    write(tmp_path / "README.txt", "nothing")
    with pytest.raises(DataError, match="expected lines such as 'n01443537 goldfish'"):
        real.load_labelled("imagenet-o", tmp_path)


@pytest.mark.parametrize(("name", "reader"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_cifar_is_read_as_it_is_unpacked(tmp_path, monkeypatch, name, reader):
    folder, pixels = tmp_path / reader.base_folder, np.arange(2 * 3072, dtype=np.uint8)
    folder.mkdir()
    label, names = "labels" if name == "cifar10" else "fine_labels", reader.meta["key"]
    files = {reader.test_list[0][0]: {"data": pixels.reshape(2, 3072), label: [1, 0]}}
    files[reader.meta["filename"]] = {names: ["aquarium_fish", "bear"]}
    for file, content in files.items():
        (folder / file).write_bytes(pickle.dumps(content))
    with pytest.raises(LayoutError, match=f"{reader.base_folder}: Dataset not found or corrupted"):
        real.load_labelled(name, tmp_path)  # it is not the official file
    sums = {file: calculate_md5(folder / file) for file in files}
    monkeypatch.setattr(reader, "train_list", [])
    monkeypatch.setattr(reader, "test_list", [[f, sums[f]] for f, _ in reader.test_list])
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": sums[reader.meta["filename"]]})
    found = real.load_labelled(name, tmp_path)
    assert found.class_names == ("aquarium fish", "bear")
    assert found.labels().tolist() == [1, 0]
    decoded, _ = decode_images(found.to_dataset(), 32)
    assert np.array_equal(decoded.numpy().reshape(2, 3072), pixels.reshape(2, 3072))


ROW = {"image": "a/1.jpg", "caption": "A dog, on a sofa."}


def table(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in (".csv", ".tsv"):
        comma = "," if path.suffix == ".csv" else "\t"
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        write(path, "".join(comma.join(f'"{c}"' for c in row) + "\n" for row in cells))
    elif path.suffix == ".json":
        write(path, rows)
    else:
        lines(path, *rows)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_pairs_of_ones_own_come_in_any_table(tmp_path, ending):
    pictures(tmp_path, "a/1.jpg", "2.jpg")
    table(tmp_path / f"mine.{ending}", [ROW, {"image": "2.jpg", "caption": " A\ncat."}])
    found = real.load_captions("pairs", tmp_path / f"mine.{ending}", "train")
    assert [(item.id, item.captions) for item in found.items] == [
        ("a/1.jpg", ("A dog, on a sofa.",)),
        ("2.jpg", ("A cat.",)),
    ]
    (tmp_path / f"mine.{ending}").rename(tmp_path / f"metadata.{ending}")
    assert real.load_captions("pairs", tmp_path, "train") == found
    (tmp_path / "2.jpg").unlink()
    with pytest.raises(LayoutError, match=r"(line [234]|row 1): no picture .*2\.jpg"):
        real.load_captions("pairs", tmp_path, "train")


def test_pairs_may_lie_as_picture_and_text_side_by_side(tmp_path):
    pictures(tmp_path, "a/1.jpg", "2.png")
    write(tmp_path / "a" / "1.txt", "A dog.")
    with pytest.raises(DataError, match=r"picture '2\.png': no caption in 2\.txt beside it"):
        real.load_captions("pairs", tmp_path, "train")
    write(tmp_path / "2.txt", "A cat.\n")
    found = real.load_captions("pairs", tmp_path, "train")
    assert {item.id: item.captions for item in found.items} == {
        "2.png": ("A cat.",),
        "a/1.jpg": ("A dog.",),
    }


def test_parquet_may_embed_its_pictures(tmp_path):
    picture(tmp_path / "1.png")
    content = (tmp_path / "1.png").read_bytes()
    rows = [{"image": {"bytes": content, "path": p}, "text": ["A.", "B."]} for p in ("x.png", None)]
    table(tmp_path / "mine.parquet", rows)
    found = real.load_captions("pairs", tmp_path / "mine.parquet", "train")
    assert [item.id for item in found.items] == ["x.png", "row 1"]
    assert found.items[0].captions == ("A.", "B.")
    assert decode_images(found.to_dataset(), 16)[0].shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("mine.txt", "x", "expected a table that ends in .jsonl"),
        ("mine.csv", "photo,caption\n1.jpg,A.\n", r"mine\.csv, line 2: no field 'image' or"),
        ("mine.csv", "image,caption\n1.jpg,A, b.\n", r"line 2: more cells than columns"),
        ("mine.csv", "image,caption\n1.jpg\n", r"line 2: .*caption=None: expected a text"),
        (
            "mine.csv",
            b"image,caption\n1.jpg,\xff\n",
            r"mine\.csv, line 2: expected UTF-8, but byte 0xff",
        ),
        (
            "mine.jsonl",
            '{"image": "1.jpg", "caption": 1}\n',
            "line 1: .*caption=1: expected a text",
        ),
        ("mine.jsonl", "[]\n", r"line 1: \[\]: expected a dictionary"),
        ("mine.json", '[{"image": "../1.jpg", "text": "A."}]', "row 0: .* a path inside"),
        ("mine.parquet", "no parquet", r"mine\.parquet: expected a parquet file"),
    ],
)
def test_malformed_tables_are_named(tmp_path, file, content, message):
    write(tmp_path / file, content)
    with pytest.raises(DataError, match=message):
        real.load_captions("pairs", tmp_path / file, "train", missing="ignore")


def test_a_folder_without_pairs_shows_the_layouts(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match="no pictures and none of metadata.jsonl"):
        real.load_captions("pairs", tmp_path / "empty", "train")
    with pytest.raises(LayoutError, match=r"no folder .*nowhere\.csv; expected layout:\nTABLE"):
        real.load_captions("pairs", tmp_path / "nowhere.csv", "train")


@pytest.mark.parametrize(
    ("name", "split", "file", "wrap"),
    [
        ("urban1k", "test", "annotations.json", lambda row: {"annotations": [row]}),
        ("sv1k", "test", SHAREGPT4V, lambda row: [row]),
        ("dci", "test", "annotations/1.json", lambda row: row),
        ("dci-1999", "test", "DCI_test.json", lambda row: [row]),
        ("docci", "test", "docci_descriptions.jsonlines", lambda row: row),
        ("docci-5100", "test", "docci_test.json", lambda row: [row]),
        ("flickr30k", "test", "flickr30k_test.json", lambda row: [row]),
        ("fgovd", "hard", "h_attributes_llava.jsonl", lambda row: row),
        ("pairs", "train", "metadata.jsonl", lambda row: row),
    ],
)
def test_the_right_row_that_messages_show_is_right(tmp_path, name, split, file, wrap):
    record = real.get(name)
    write(tmp_path / file, wrap(json.loads(record.example)))
    load = real.load_regions if record.task == "regions" else real.load_captions
    assert len(load(name, tmp_path, split, missing="ignore")) == 1
