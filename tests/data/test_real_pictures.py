"""Picture files of every kind come out upright and RGB; broken ones are named, counted, skipped."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core.data import real
from bclip_core.data.images import (
    LARGEST_PIXELS,
    BrokenImageError,
    decode_images,
    image_to_pixels,
    load_photo,
    resize_whole,
    upright_rgb,
)
from bclip_core.evaluation.task import retrieval_task

RAMP = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))  # brightness grows to the right


def save(image, kind, **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def sixteen_bits():
    return Image.fromarray(RAMP.astype(np.uint16) * 257)


KINDS = {
    "gray.png": lambda: save(Image.fromarray(RAMP), "PNG"),
    "gray.jpg": lambda: save(Image.fromarray(RAMP), "JPEG", quality=100),
    "telephone.jpg": lambda: save(
        Image.fromarray(RAMP),
        "MPO",
        save_all=True,
        append_images=[Image.new("L", (32, 32))],
        quality=100,
    ),
    "cmyk.jpg": lambda: save(Image.fromarray(RAMP).convert("CMYK"), "JPEG", quality=100),
    "palette.png": lambda: save(Image.fromarray(RAMP).convert("P"), "PNG"),
    "palette.gif": lambda: save(Image.fromarray(RAMP).convert("P"), "GIF"),
    "alpha.png": lambda: save(Image.fromarray(RAMP).convert("RGBA"), "PNG"),
    "gray_alpha.png": lambda: save(Image.fromarray(RAMP).convert("LA"), "PNG"),
    "deep.png": lambda: save(sixteen_bits(), "PNG"),
    "deep.tiff": lambda: save(sixteen_bits(), "TIFF"),
    "rgb.webp": lambda: save(Image.fromarray(RAMP).convert("RGB"), "WEBP", lossless=True),
}


def caption_set(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    rows = [json.dumps({"image": name, "caption": f"Picture {name}."}) for name in files]
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return real.load_captions("pairs", folder)


def test_every_kind_of_picture_is_the_same_in_rgb(tmp_path):
    captions = caption_set(tmp_path, {name: make() for name, make in KINDS.items()})
    expected = torch.from_numpy(RAMP).expand(3, 32, 32).int()
    for whole in (False, True):
        pixels, rows = decode_images(captions.to_dataset(), 32, whole=whole)
        assert rows == list(range(len(KINDS)))
        for row, name in enumerate(KINDS):
            worst = int((pixels[row].int() - expected).abs().max())
            assert worst <= (4 if name.endswith(("jpg", "gif")) else 1), (name, worst)


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([[0, 128, 257, 32768, 65535]], np.uint16)
    found = np.asarray(upright_rgb(Image.fromarray(values)))
    assert found[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    for mode in ("I", "F"):
        with pytest.raises(
            ValueError, match=f"32 bits per pixel .mode '{mode}'.: expected 8 or 16"
        ):
            upright_rgb(Image.new(mode, (4, 4)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_are_upright_for_captions_and_for_regions(tmp_path, orientation, kind):
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:16, :16] = (255, 0, 0)
    upright[16:, :16] = (0, 255, 0)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = save(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, quality=100)
    (tmp_path / "a.img").write_bytes(content)
    expected = torch.from_numpy(upright).permute(2, 0, 1).int()
    dataset = caption_set(tmp_path, {"1.png": content}).to_dataset()
    inner = (slice(None), slice(None, None, 31), slice(None, None, 31))  # the corners: JPEG blurs
    for found in (
        load_photo(tmp_path / "a.img", 32),
        load_photo(tmp_path / "a.img", 32, whole=True),
        decode_images(dataset, 32)[0][0],
        decode_images(dataset, 32, whole=True)[0][0],
    ):
        assert (found[inner].int() - expected[inner]).abs().max() <= 4


def bomb(width, height):
    """A PNG whose header promises width x height pixels, without them."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9460, 20_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, side):
    assert side * side > LARGEST_PIXELS
    (tmp_path / "bomb.png").write_bytes(bomb(side, side))
    with pytest.raises(
        BrokenImageError, match=r"bomb\.png cannot be decoded: .*decompression bomb"
    ):
        load_photo(tmp_path / "bomb.png", 16)
    captions = caption_set(tmp_path, {"bomb.png": bomb(side, side)})
    with pytest.raises(BrokenImageError, match=r"row 0, id 'bomb\.png'.*decompression bomb"):
        decode_images(captions.to_dataset(), 16)


def test_postscript_is_never_opened(tmp_path):
    captions = caption_set(tmp_path, {"a.png": save(Image.new("RGB", (8, 8)), "EPS")})
    with pytest.raises(BrokenImageError, match="cannot identify image file"):
        decode_images(captions.to_dataset(), 8)
    with pytest.raises(BrokenImageError, match="cannot identify image file"):
        load_photo(tmp_path / "a.png", 8)


def test_broken_pictures_are_named_and_skipped_when_asked_to(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = save(Image.fromarray(noise), "JPEG")
    files = {"good.jpg": whole, "cut.jpg": whole[: len(whole) // 2], "empty.png": b""}
    files |= {"text.png": b"no picture", "last.png": KINDS["deep.png"]()}
    captions = caption_set(tmp_path, files)
    with pytest.raises(BrokenImageError, match=r"row 1, id 'cut\.jpg', file '.*cut\.jpg'.*truncat"):
        decode_images(captions.to_dataset(), 32)
    capsys.readouterr()
    pixels, rows = decode_images(captions.to_dataset(), 32, on_error="skip")
    assert rows == [0, 4]
    assert pixels.shape == (2, 3, 32, 32)
    said = capsys.readouterr().out
    assert "skipped 3 of 5 images: " in said
    assert all(f"id '{name}'" in said for name in ("cut.jpg", "empty.png", "text.png"))
    task = retrieval_task(captions, rows=rows)
    assert task.texts == ["Picture good.jpg.", "Picture last.png."]
    assert torch.equal(task.relevant, torch.eye(2, dtype=torch.bool))


def test_the_same_picture_in_any_size_keeps_its_colours():
    image = Image.new("RGB", (300, 20), (10, 200, 30))
    for pixels in (image_to_pixels(image, 16), resize_whole(image, 16)):
        assert pixels.flatten(1).unique(dim=1).flatten().tolist() == [10, 200, 30]
