"""The whole way on real photos: COCO captions train and are retrieved, FG-OVD regions are asked.

Needs $BCLIP_DATA with `coco` (annotations and some of val2017) and `fgovd` (the four files).
"""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from bclip_core.captions import RuleBasedExtractor
from bclip_core.data import real
from bclip_core.data.images import decode_images, load_photo
from bclip_core.evaluation import (
    conditioned_similarity,
    region_hits,
    retrieval_metrics,
    roi_features,
    similarity_matrix,
    upsample_map,
)
from bclip_core.evaluation.encoding import encode_images, encode_texts
from bclip_core.evaluation.task import retrieval_task
from bclip_core.train import train
from bclip_core.train.resume import read_history

DATA = Path(os.environ.get("BCLIP_DATA", "/nowhere"))

pytestmark = pytest.mark.skipif(
    not (DATA / "coco").is_dir() or not (DATA / "fgovd").is_dir(),
    reason="needs real data: set BCLIP_DATA to a folder with coco and fgovd",
)


@pytest.fixture(scope="module")
def photos():
    captions = real.load_captions("coco", DATA / "coco", missing="skip")
    return real.training_rows(captions, RuleBasedExtractor())


@pytest.fixture(scope="module")
def trained(photos, tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    settings = tiny_config.train.replace(steps=2, batch_size=8, warmup_steps=1)
    texts = tiny_config.texts.replace(sentences=5, phrases=30)
    config = tiny_config.replace(train=settings, texts=texts)
    model = train(config, photos.select(range(32)), folder, device="cpu", progress=False)
    history = read_history(folder / "history.jsonl")
    assert [record["update"] for record in history] == [1, 2]
    return model


def test_photos_have_five_captions_and_their_phrases(photos):
    assert len(photos) == len(list((DATA / "coco" / "val2017").glob("*.jpg")))
    for row in photos.remove_columns("image"):
        assert len(row["short_captions"]) == 5
        assert row["caption"] == " ".join(row["sentences"])
        assert len(row["sentences"]) == len(row["phrases"]) >= 5
    phrases = [len(phrases) for row in photos["phrases"] for phrases in row]
    assert sum(phrases) > len(phrases)


def test_captions_retrieve_photos(photos, trained):
    some = photos.select(range(32))
    pixels, rows = decode_images(some, 64)
    assert rows == list(range(32))
    image, patches = encode_images(trained, pixels)
    captions = real.load_captions("coco", DATA / "coco", missing="skip")
    task = retrieval_task(captions, rows=rows)
    assert task.texts == [text for row in some["short_captions"] for text in row]
    text = encode_texts(trained, task.texts)
    found = retrieval_metrics(similarity_matrix(text, image), task.relevant)
    assert found.hits["t2i_R@1"].shape == (160,)
    assert found.hits["i2t_R@1"].shape == (32,)
    honest = conditioned_similarity(trained, patches, text[:10])
    assert honest.shape == (10, 32)
    assert honest.isfinite().all()


@pytest.mark.parametrize("level", real.get("fgovd").splits)
def test_regions_of_photos_can_be_scored(level, trained):
    items = real.load_regions("fgovd", DATA / "fgovd", level, missing="skip").items
    items = items[:24]
    files = list(dict.fromkeys(item.photo for item in items))
    sizes = {item.photo: item.size for item in items}
    for file in files:
        assert Image.open(file).size == sizes[file]
    pixels = torch.stack([load_photo(file, 64, whole=True) for file in files])
    _, patches = encode_images(trained, pixels)
    region = roi_features(
        patches,
        trained.backbone.grid,
        torch.tensor([item.box for item in items]),
        torch.tensor([files.index(item.photo) for item in items]),
        torch.tensor([sizes[file] for file in files]),
    )
    assert region.shape == (len(items), 64)
    captions = [encode_texts(trained, item.captions) for item in items]
    outcome = region_hits(region, captions)
    assert outcome.hits.shape == (len(items),)
    assert 0 <= outcome.hits.double().mean() <= 1


def test_attention_on_a_photo_is_a_map_of_it(photos, trained):
    pixels, _ = decode_images(photos.select([0]), 64)
    _, patches = encode_images(trained, pixels)
    text = encode_texts(trained, [photos[0]["phrases"][0][0]])
    with torch.inference_mode():
        _, weights = trained.pooler(patches, text[None], need_weights=True)
    assert weights.shape == (1, 8, 1, 64)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 8, 1))
    maps = upsample_map(weights.mean(1)[:, 0], trained.backbone.grid, (480, 640))
    assert maps.shape == (1, 480, 640)
    assert maps.min() >= 0
