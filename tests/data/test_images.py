"""A picture file of one's own becomes pixels, or is named."""

import io
import json
import struct
import time
import zlib

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as transforms

from bclip_core.data import real
from bclip_core.data.images import (
    BrokenImageError,
    decode_images,
    decode_row,
    image_to_pixels,
    load_photo,
    open_picture,
    resize_whole,
    undecoded,
    upright_size,
)

RAMP = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
DEEP = RAMP.astype(np.uint16) * 257


def save(image, kind, **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


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


@pytest.mark.parametrize("size", [(30_000, 1), (1, 30_000), (102, 2), (2, 102)])
@pytest.mark.parametrize("whole", [False, True])
def test_no_decoder_takes_a_thin_picture(tmp_path, size, whole):
    path = tmp_path / "rule.png"
    Image.new("RGB", size, (200, 10, 10)).save(path)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"image": "rule.png", "caption": "Red."}))
    dataset = real.load_captions("pairs", tmp_path).to_dataset()
    shape = f"{size[0]} x {size[1]} pixels: expected sides within a factor of 50"
    with pytest.raises(BrokenImageError, match=f"rule.png.*{shape}"):
        load_photo(path, 224, whole=whole)
    with pytest.raises(BrokenImageError, match=f"row 0, id 'rule.png'.*{shape}"):
        decode_images(dataset, 224, whole=whole)
    for to_pixels in (image_to_pixels, resize_whole):
        with pytest.raises(ValueError, match=shape):
            to_pixels(Image.new("L", size), 224)
    assert load_photo_of(Image.new("RGB", (100, 2), (9, 9, 9)), tmp_path).unique().tolist() == [9]


def load_photo_of(image, folder):
    image.save(folder / "photo.png")
    return load_photo(folder / "photo.png", 16)


GREY = Image.fromarray(RAMP)
KINDS = {
    "16 bits PNG": lambda: save(Image.fromarray(DEEP), "PNG"),
    "16 bits TIFF": lambda: save(Image.fromarray(DEEP), "TIFF"),
    "16 bits TIFF, big-endian": lambda: save(
        Image.frombytes("I;16B", (32, 32), DEEP.astype(">u2").tobytes()), "TIFF"
    ),
    "16 bits PGM": lambda: b"P5\n32 32\n65535\n" + DEEP.astype(">u2").tobytes(),
    "10 bits PGM": lambda: (
        b"P5\n32 32\n1023\n" + (RAMP / 255 * 1023).round().astype(">u2").tobytes()
    ),
    "16 bits PGM as text": lambda: (
        b"P2\n32 32\n65535\n" + b" ".join(b"%d" % value for value in DEEP.flatten())
    ),
    "grey and alpha": lambda: save(GREY.convert("LA"), "PNG"),
    "one colour transparent": lambda: save(GREY, "PNG", transparency=7),
    "palette, one colour transparent": lambda: save(GREY.convert("P"), "PNG", transparency=3),
    "palette with alpha": lambda: save(
        GREY.convert("P"), "PNG", transparency=bytes(range(256))
    ),
    "animated GIF": lambda: save(
        GREY, "GIF", save_all=True, append_images=[Image.new("L", (32, 32))]
    ),
    "animated WebP": lambda: save(
        GREY.convert("RGB"), "WEBP", lossless=True, save_all=True,
        append_images=[Image.new("RGB", (32, 32))],
    ),
    "two pages": lambda: save(
        GREY, "TIFF", save_all=True, append_images=[Image.new("L", (32, 32))]
    ),
    "CMYK TIFF": lambda: save(GREY.convert("CMYK"), "TIFF"),
    "YCbCr TIFF": lambda: save(GREY.convert("RGB").convert("YCbCr"), "TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_mode_shows_the_same_ramp(kind):
    found = np.asarray(open_picture(KINDS[kind](), kind)).astype(int)
    assert abs(found - RAMP[..., None]).max() <= 1


def test_one_bit_is_black_and_white():
    stripes = (RAMP > 127).astype(np.uint8) * 255
    found = open_picture(save(Image.fromarray(stripes).convert("1"), "PNG"), "1")
    assert np.array_equal(np.asarray(found)[..., 0], stripes)


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def with_metadata(kind, exif, xmp):
    """The ramp with these bytes as its EXIF and XMP, whatever they are."""
    if kind == "PNG":
        content = save(GREY, "PNG")
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
        parts = chunk(b"eXIf", exif) + chunk(b"iTXt", text) + chunk(b"eXIf", exif[:3])
        return content[:33] + parts + content[33:]
    if kind == "WEBP":
        return save(GREY.convert("RGB"), "WEBP", lossless=True, exif=exif, xmp=xmp)
    content = save(GREY, "JPEG", quality=100)
    parts = b""
    for body in (b"Exif\0\0" + exif, b"http://ns.adobe.com/xap/1.0/\0" + xmp):
        parts += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return content[:2] + parts + content[2:]


def tag(number, kind, count, value):
    """An EXIF block of one entry."""
    return struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, number, kind, count, value, 0)


GARBAGE = {
    "noise": b"\x07garbage" * 9,
    "empty": b"",
    "header alone": b"II*\0",
    "directory far away": b"II*\0\xff\xff\xff\x7f",
    "directory cut": struct.pack("<2sHIH", b"II", 42, 8, 500),
    "orientation 99": tag(0x0112, 3, 1, 99),
    "orientation as text": tag(0x0112, 2, 4, 0x00414141),
    "orientation as a fraction": tag(0x0112, 5, 1, 4000),
    "thousand orientations": tag(0x0112, 3, 1000, 8),
    "sub-directory in a circle": tag(0x8769, 4, 1, 8),
    "unknown type": tag(0x0112, 77, 1, 6),
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_metadata_leave_good_pixels(tmp_path, kind, garbage):
    xmp = b'<x tiff:Orientation="9"' + GARBAGE[garbage]
    content = with_metadata(kind, GARBAGE[garbage], xmp)
    found = np.asarray(open_picture(content, garbage)).astype(int)
    assert abs(found - RAMP[..., None]).max() <= 4
    (tmp_path / "a").write_bytes(content)
    assert upright_size(tmp_path / "a") == (32, 32)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_lying_picture_has_the_size_of_its_pixels(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").write_bytes(save(Image.new("RGB", (40, 20)), kind, exif=exif))
    assert upright_size(tmp_path / "a") == open_picture(tmp_path / "a").size == (20, 40)


def test_what_is_upright_is_not_turned_again():
    exif = Image.Exif()
    exif[0x0112] = 3
    once = open_picture(save(Image.fromarray(RAMP[:, ::-1].copy()), "PNG", exif=exif), "a")
    assert torch.equal(image_to_pixels(once, 32)[0], torch.from_numpy(RAMP))


@pytest.mark.parametrize("size", [(600, 800), (1536, 2048), (1024, 900)])
def test_a_drafted_jpeg_is_nearly_the_picture_and_a_small_one_exactly(tmp_path, size):
    noise = torch.rand(3, size[0] // 8, size[1] // 8, generator=torch.Generator().manual_seed(0))
    smooth = transforms.to_pil_image(transforms.resize(noise, list(size), antialias=True))
    smooth.save(tmp_path / "photo.jpg", quality=92)
    rows = datasets.Dataset.from_dict({"id": ["a"], "image": [str(tmp_path / "photo.jpg")]})
    stored = undecoded(rows.cast_column("image", datasets.Image()))
    full, drafted = (decode_row(stored, 0, 224, draft=draft) for draft in (False, True))
    difference = (full.float() - drafted.float()).abs().mean()
    if min(size) < 4 * 224:
        assert torch.equal(full, drafted)
    else:
        assert 0 < difference < 1.5


@pytest.mark.parametrize(
    "content",
    [
        b"P6 #" + b"x" * 10**7 + b"\n2 2 255 " + b"\0" * 12,
        b"P5" + b" " * 10**7 + b"2 2 255 " + b"\0" * 4,
        b"P6 2 2 #" + b"x" * 10**7 + b"\n255 " + b"\0" * 12,
    ],
)
def test_a_header_of_megabytes_is_refused_at_once(tmp_path, content):
    (tmp_path / "x.ppm").write_bytes(content)
    before = time.process_time()
    with pytest.raises(BrokenImageError, match="header of more than 65,536 bytes"):
        open_picture(tmp_path / "x.ppm")
    with pytest.raises(BrokenImageError, match="header of more than 65,536 bytes"):
        open_picture(content)
    assert time.process_time() - before < 0.5


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (b"P6 #" + b"x" * 1000 + b"\n4 3 255\n" + b"\0" * 36, (4, 3)),
        (b"P4 1024 1024\n" + b" " * 131_072, (1024, 1024)),
        (b"P5 400 400 255\n" + b"#" * 160_000, (400, 400)),
    ],
)
def test_short_comments_and_large_pictures_are_read(content, size):
    assert open_picture(content).size == size
