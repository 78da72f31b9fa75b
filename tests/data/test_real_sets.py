"""The official files, every line of them: counts and checksums as committed in manifests.json.

Needs $BCLIP_DATA with the folders coco, dci, docci, fgovd, flickr30k and urban1k.
`python -m tests.data.test_benchmark_real` writes the manifests anew.
"""

import os
from pathlib import Path

import pytest
from PIL import Image

from bclip_core.backbone import Tokenizer
from bclip_core.data import real
from bclip_core.evaluation.task import retrieval_task
from bclip_core.records.files import read_json, sha256, write_json

DATA = Path(os.environ.get("BCLIP_DATA", "/nowhere"))
MANIFESTS = Path(__file__).parent / "manifests.json"
SPLITS = [
    ("urban1k", "test", "urban1k/annotations.json"),
    ("dci-1999", "test", "dci/DCI_test.json"),
    ("docci-5100", "test", "docci/docci_test.json"),
    ("flickr30k", "validation", "flickr30k/flickr30k_val.json"),
    ("coco", "test", "coco/annotations/captions_val2017.json"),
    ("fgovd", "hard", "fgovd/h_attributes_llava.jsonl"),
    ("fgovd", "medium", "fgovd/m_attributes_llava.jsonl"),
    ("fgovd", "easy", "fgovd/e_attributes_llava.jsonl"),
    ("fgovd", "trivial", "fgovd/shuffle_negatives_llava.jsonl"),
]

needs_data = pytest.mark.skipif(
    not all((DATA / file).is_file() for _, _, file in SPLITS),
    reason="needs the official annotation files: set BCLIP_DATA",
)


def load(name, split, missing="ignore"):
    task = real.get(name).task
    loader = real.load_regions if task == "regions" else real.load_captions
    return loader(name, DATA / real.get(name).folder, split, missing=missing)


def made():
    records = []
    for name, split, file in SPLITS:
        source = {"file": file, "file_sha256": sha256(DATA / file)}
        records.append(real.manifest(load(name, split)) | source)
    return records


@needs_data
@pytest.mark.parametrize("number", range(len(SPLITS)), ids=lambda n: "-".join(SPLITS[n][:2]))
def test_every_line_is_read_as_before(number):
    name, split, file = SPLITS[number]
    expected = read_json(MANIFESTS)["splits"][number]
    assert sha256(DATA / file) == expected["file_sha256"], "another file than the official one"
    found = real.manifest(load(name, split))
    assert found == {key: expected[key] for key in found}
    assert found["items"] + found["left_out"] == real.get(name).splits[split]


@needs_data
def test_only_the_known_row_of_urban1k_is_left_out():
    (left_out,) = load("urban1k", "test").left_out
    assert left_out.place == "row 548"
    assert "592.jpg" in left_out.reason
    assert [name for name, split, _ in SPLITS if load(name, split).left_out] == ["urban1k"]


@needs_data
def test_photos_and_regions_that_are_here_are_found():
    photos = sorted((DATA / "coco" / "val2017").glob("*.jpg"))
    captions = load("coco", "test", missing="skip")
    assert sorted(item.image for item in captions.items) == photos
    assert len(captions) + len(captions.left_out) == 5000
    here = {level: load("fgovd", level, missing="skip") for level in real.get("fgovd").splits}
    counts = {level: len(found) for level, found in here.items()}
    assert counts == {"hard": 345, "medium": 319, "easy": 138, "trivial": 345}  # its README says so
    sizes = {item.photo: item.size for found in here.values() for item in found.items}
    assert len(sizes) == 161
    assert all(Image.open(photo).size == size for photo, size in sizes.items())


@needs_data
def test_four_items_of_medium_cannot_be_won():
    ambiguous = {
        level: sum(item.captions[0] in item.captions[1:] for item in load("fgovd", level).items)
        for level in real.get("fgovd").splits
    }
    assert ambiguous == {"hard": 0, "medium": 4, "easy": 0, "trivial": 0}
    assert "Four items of medium" in real.get("fgovd").note


@needs_data
def test_captions_per_picture_are_those_of_the_protocol():
    for name, split, texts in (("coco", "test", 5), ("flickr30k", "validation", 5)):
        assert {len(item.captions) for item in load(name, split).items} == {texts}
    tokenizer = Tokenizer(248)
    task = retrieval_task(load("urban1k", "test"), tokenizer)
    assert task.relevant.shape == (999, 999)
    longer = [text for text in task.texts if tokenizer.count(text) > 248]
    assert task.cut[:2] == (999, len(longer))


if __name__ == "__main__":
    origin = "the files of BCLIP_DATA, whose README names their sources; counts of what was read"
    write_json(MANIFESTS, {"origin": origin, "splits": made()})
