"""A picture file of one's own becomes pixels, or is named."""

import io
import struct

import datasets
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

from bclip_core.data.images import (
    BrokenImageError,
    decode_images,
    decode_row,
    load_photo,
    open_picture,
    undecoded,
)


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


RAMP = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
DEEP = RAMP.astype(np.uint16) * 257


def saved(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def pgm(values, top):
    return b"P5\n32 32\n%d\n" % top + values.astype(">u2").tobytes()


@pytest.mark.parametrize(
    "content",
    [
        saved(Image.fromarray(DEEP), "PNG"),
        saved(Image.fromarray(DEEP), "TIFF"),
        saved(Image.frombytes("I;16B", (32, 32), DEEP.astype(">u2").tobytes()), "TIFF"),
        pgm(DEEP, 65535),
        pgm((RAMP / 255 * 1023).round(), 1023),
        pgm((RAMP / 255 * 4095).round(), 4095),
    ],
    ids=["png", "tiff", "tiff big-endian", "pgm 16", "pgm 10", "pgm 12"],
)
def test_deep_grey_is_scaled_and_not_clipped(content):
    found = np.asarray(open_picture(content)).astype(int)
    assert abs(found - RAMP[..., None]).max() <= 1


@pytest.mark.parametrize("size", [(30_000, 1), (1, 30_000), (51, 1)])
def test_long_thin_pictures_are_refused_by_every_decoder(tmp_path, size):
    path = tmp_path / "rule.png"
    Image.new("RGB", size).save(path)
    rows = datasets.Dataset.from_dict({"id": ["rule"], "image": [str(path)]}).cast_column(
        "image", datasets.Image()
    )
    named = f"{size[0]} x {size[1]} pixels: expected sides within a factor of 50"
    for decode in (
        lambda: load_photo(path, 224),
        lambda: load_photo(path, 224, whole=True),
        lambda: open_picture(path.read_bytes()),
        lambda: decode_images(rows, 224),
        lambda: decode_row(undecoded(rows), 0, 224, whole=True),
    ):
        with pytest.raises(BrokenImageError, match=named):
            decode()
    Image.new("RGB", (50, 1)).save(path)
    assert load_photo(path, 16).shape == (3, 16, 16)


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["exif", "mutated", "xmp"])
def test_garbage_beside_good_pixels_changes_nothing_but_the_turn(seed, kind):
    noise = np.random.default_rng(seed)
    grey = Image.fromarray(RAMP).convert("RGB")
    good = Image.Exif()
    good[ExifTags.Base.Orientation] = 6
    notes = bytearray(good.tobytes())
    if kind == "exif":
        notes = b"Exif\0\0" + noise.bytes(80)
    elif kind == "xmp":
        notes = b"http://ns.adobe.com/xap/1.0/\0" + noise.bytes(40) + b'tiff:Orientation="z"'
    else:
        for place in noise.integers(6, len(notes), 3):
            notes[place] = noise.integers(256)
    plain = saved(grey, "JPEG", quality=95)
    picture = np.asarray(open_picture(plain[:2] + segment(0xE1, bytes(notes)) + plain[2:]))
    turns = [np.asarray(grey.transpose(turn)) for turn in Image.Transpose] + [np.asarray(grey)]
    assert min(abs(picture.astype(int) - turn).max() for turn in turns) <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright_as_pillow_turns_them(orientation):
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 24, 3), np.uint8))
    notes = Image.Exif()
    notes[ExifTags.Base.Orientation] = orientation
    content = saved(grey, "PNG", exif=notes)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(np.asarray(open_picture(content)), np.asarray(expected))
