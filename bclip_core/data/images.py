"""From picture files to pixels."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import datasets
import numpy as np
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import ExifTags, Image, features
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from bclip_core.data.stored import StoredRows
from bclip_core.records.files import is_hidden
from bclip_core.records.progress import progress_bar
from bclip_core.records.texts import without_addresses

# Raster formats alone: Pillow would hand PostScript to an interpreter, for example. MPO, several
# JPEGs in one file as telephones write them, is opened as JPEG.
_MODERN = {"AVIF": ("avif",), "JPEG2000": ("jp2", "j2k", "jpf", "jpx")}  # some Pillows read them
_READABLE = [kind for kind in _MODERN if features.check({"JPEG2000": "jpg_2000"}.get(kind, "avif"))]
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", *_READABLE)
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".jfif", ".jpe", ".gif", ".pgm", ".ppm", ".pnm"),
    *(f".{ending}" for kind in _READABLE for ending in _MODERN[kind]),
)
# Pictures, too, which are named where they lie unread: of other formats, or this Pillow cannot.
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".tga", ".ico", ".eps", ".exr", ".hdr"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".jxr", ".pcx", ".xcf"),
    *(f".{ending}" for kind in _MODERN if kind not in _READABLE for ending in _MODERN[kind]),
)
LARGEST_PIXELS = 89_478_485  # width x height; Pillow's own limit, a quarter of a gigabyte as RGB
LARGEST_RATIO = 50  # long side over short side: the short one is brought to the model's size
_LONGEST_COMMENT = 65_536  # bytes in which the numbers of a PPM's header begin
_DRAFT = 2  # how many times larger than asked for a JPEG is decoded at least
_UPRIGHT = {  # by the EXIF tag: how the stored picture has to be turned
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def normalise_images(images: Tensor) -> Tensor:
    """uint8 pixels [B, 3, H, W] to CLIP's normalised float32."""
    mean = torch.tensor(OPENAI_DATASET_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(OPENAI_DATASET_STD, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255.0 - mean) / std


def upright_rgb(image: Image.Image) -> Image.Image:
    """A picture of any kind, upright by its EXIF tag, as 8-bit RGB; of several frames the first.

    16 bits are scaled to 8, where Pillow would clip at 255. Transparency is dropped, as open_clip's
    transform does. Metadata that cannot be read turn nothing.

    Raises:
        ValueError: more than `LARGEST_PIXELS`, or sides further apart than `LARGEST_RATIO` (looked
            at before anything is decoded), or more than 16 bits per pixel and channel.
    """
    _refuse_shape(image.size)
    # a 16-bit picture that Pillow widens to 32: PNG of old, and PGM, scaled to 65,535
    sixteen = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged metadata, which turn nothing
        image.load()  # a TIFF is turned by Pillow while it is decoded
    turn = _UPRIGHT.get(_orientation(image))
    if sixteen:
        values = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65535 = 255 · 257
    elif image.mode in ("I", "F"):
        raise ValueError(f"32 bits per pixel (mode {image.mode!r}): expected 8 or 16")
    elif image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # as Pillow asks for where some colours are transparent
    upright = (image if turn is None else image.transpose(turn)).convert("RGB")
    upright.info = {}  # the tag too: what is upright is not turned again
    return upright


def _refuse_shape(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > LARGEST_PIXELS:
        found = f"{width} x {height} = {width * height:,} pixels"
        raise ValueError(f"{found}: expected at most {LARGEST_PIXELS:,} (a decompression bomb?)")
    if max(size) > LARGEST_RATIO * min(size):
        raise ValueError(
            f"{width} x {height} pixels: expected sides within a factor of {LARGEST_RATIO}"
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF tag, 1 to 8; 1, upright, where the metadata are damaged or tell something else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damaged metadata
            found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata raise many kinds: SyntaxError, struct.error, ...
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def upright_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a picture file once it is upright, from its header alone."""
    with _header(path) as image:
        width, height = image.size
        # of a TIFF Pillow tells the upright size
        lying = image.format != "TIFF" and _orientation(image) in (5, 6, 7, 8)
    return (height, width) if lying else (width, height)


def image_to_pixels(image: Image.Image, image_size: int) -> Tensor:
    """A picture as uint8 [3, S, S], as CLIP sees it.

    Upright by its EXIF tag, RGB, short side to S (bicubic), centre crop; pixel for pixel what
    open_clip's transform gives. A picture that already is S × S is passed through unchanged.
    """
    image = transforms.resize(upright_rgb(image), [image_size], InterpolationMode.BICUBIC)
    square = transforms.center_crop(image, [image_size, image_size])
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def resize_whole(image: Image.Image, image_size: int) -> Tensor:
    """The whole picture squashed to uint8 [3, S, S], its aspect ratio lost (bicubic).

    For questions about regions: the authors of β-CLIP do so for FG-OVD. No box is cropped away, and
    a box is scaled per axis, as `evaluation.roi_features` does with the picture's original size.
    """
    square = upright_rgb(image).resize((image_size, image_size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


_MANY = 2_000  # pictures from which on decoding shows a bar


class BrokenImageError(ValueError):
    """A picture cannot be decoded; the message names its row and id, or its file."""


def undecoded(dataset: datasets.Dataset) -> datasets.Dataset:
    """The pictures of a data set as they are stored, for `decode_row`."""
    return dataset.cast_column("image", datasets.Image(decode=False))


def random_crop(
    image: Image.Image, image_size: int, share: tuple[float, ...], generator: torch.Generator
) -> Tensor:
    """A random part of a picture, resized to uint8 [3, S, S], as torchvision's RandomResizedCrop.

    The β-CLIP authors train so, with shares from 0.5 to 1, bilinear, without a flip.

    Args:
        image: of any kind.
        image_size: S.
        share: least and largest share of the picture's area; sides are within 3 : 4 of each other.
        generator: of the draws.
    """
    upright = upright_rgb(image)
    width, height = upright.size
    for _ in range(10):  # a part may not fit: then another is drawn
        first, second = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        area = width * height * (share[0] + (share[1] - share[0]) * first)
        ratio = math.exp((2 * second - 1) * math.log(4 / 3))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            first, second = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
            left, top = int((width - w + 1) * first), int((height - h + 1) * second)
            break
    else:  # the largest part in the middle whose sides are as they have to be
        w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - w) // 2, (height - h) // 2
    box = (left, top, left + w, top + h)
    square = upright.crop(box).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def decode_row(
    stored: StoredRows | datasets.Dataset,
    row: int,
    image_size: int,
    *,
    whole: bool = False,
    draft: bool = False,
    take: Callable[[Image.Image, int], Tensor] | None = None,
) -> Tensor:
    """One picture of an `undecoded` data set as uint8 [3, S, S]; `whole` as `decode_images`.

    With `draft` a large JPEG is decoded at a half, a quarter or an eighth of its sides, which stay
    at least twice the size that is asked for. Of 2048 x 1536 pixels to 224 that takes a third of
    the time, and pixels change by 0.2 of 255 on average; a short side below 4 S changes nothing.
    `take` makes pixels of a picture in another way.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    image = None
    try:
        image = stored[row]["image"]
        with _opened(image) as picture:
            if draft:
                _ask_for_fewer_pixels(picture, image_size)
            usual = resize_whole if whole else image_to_pixels
            return (take or usual)(picture, image_size)
    except Exception as error:  # damaged files raise many kinds: zlib, struct, OSError, ...
        name = f"row {row}, id {stored[row]['id']!r}, file {(image or {}).get('path')!r}"
        told = without_addresses(str(error))
        raise BrokenImageError(f"image cannot be decoded: {name}: {told}") from error


def _ask_for_fewer_pixels(image: Image.Image, image_size: int) -> None:
    """Let a JPEG, not decoded yet, be decoded smaller, see `decode_row`."""
    _refuse_shape(image.size)  # of the picture as it is stored
    scale = _DRAFT * image_size / min(image.size)
    image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _opened(stored: dict[str, Any] | None) -> Image.Image:
    """The header of a picture as `datasets.Image` stores it: its content, or a file's name."""
    if not stored or (stored["bytes"] is None and stored["path"] is None):
        raise ValueError(f"{stored!r}: expected the content or the path of a picture")
    content = stored["bytes"]
    return _header(stored["path"] if content is None else io.BytesIO(content))


def _header(source: str | os.PathLike[str] | io.BytesIO) -> Image.Image:
    """A picture whose header alone is read yet."""
    with nullcontext(source) if isinstance(source, io.BytesIO) else open(source, "rb") as file:
        _refuse_long_comment(file)
        file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large sizes, which `upright_rgb` refuses; of metadata
        return Image.open(source, formats=FORMATS)


def _refuse_long_comment(file: BinaryIO) -> None:
    """Refuse a PPM, PGM or PBM with a long header: Pillow reads its comments byte by byte.

    Raises:
        ValueError: width, height and largest value do not begin within the first bytes.
    """
    magic = file.read(2)
    start = file.read(_LONGEST_COMMENT) if magic[:1] == b"P" else b""
    if len(start) == _LONGEST_COMMENT:
        numbers = re.sub(rb"#[^\r\n]*", b" ", start).split(None, 3)
        if len(numbers) < (2 if magic in (b"P1", b"P4") else 3):  # black or white: no largest value
            raise ValueError(
                f"a header of more than {_LONGEST_COMMENT:,} bytes: expected a short one"
            )


def decode_images(
    dataset: datasets.Dataset, image_size: int, *, on_error: str = "raise", whole: bool = False
) -> tuple[Tensor, list[int]]:
    """All pictures of a data set, decoded once.

    Args:
        dataset: with columns `id` and `image`.
        image_size: S, side in pixels.
        on_error: "raise" stops at the first broken picture; "skip" leaves it out and says so.
        whole: squash each picture to the square, as `resize_whole`; else crop its centre.

    Returns:
        pixels uint8 [N', 3, S, S] and the rows they belong to (all rows unless some were skipped).

    Raises:
        BrokenImageError: a picture cannot be decoded and `on_error` is "raise".
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'skip'")
    stored = StoredRows(undecoded(dataset.select_columns(["id", "image"])))
    pixels = torch.empty(len(stored), 3, image_size, image_size, dtype=torch.uint8)
    rows, broken = list[int](), list[str]()
    for row in progress_bar(range(len(stored)), desc="pictures", progress=len(stored) >= _MANY):
        try:
            pixels[len(rows)] = decode_row(stored, row, image_size, whole=whole)
            rows.append(row)
        except BrokenImageError as error:
            if on_error == "raise":
                raise
            broken.append(str(error))
    tell_skipped(broken, len(dataset))
    return pixels[: len(rows)], rows


def tell_skipped(broken: list[str], total: int) -> None:
    """Name the pictures that are left out, each once, and count them.

    Args:
        broken: what is wrong with each.
        total: how many pictures were tried.

    Raises:
        BrokenImageError: none is left.
    """
    if broken:
        print(f"skipped {len(broken)} of {total} images: " + "; ".join(broken))
    if len(broken) == total:
        raise BrokenImageError(f"none of the {total} images can be decoded")


MOST_LISTED = 1_000


class Listing(NamedTuple):
    """The pictures of a folder.

    Attributes:
        paths: the first of them by name, at most `MOST_LISTED`.
        total: how many there are.
        unread: names of pictures that are not read: `UNREAD_SUFFIXES`, and links to no file.
    """

    paths: list[Path]
    total: int
    unread: tuple[str, ...] = ()


def open_picture(source: str | os.PathLike[str] | bytes, name: str = "") -> Image.Image:
    """A picture, decoded, upright by its EXIF tag, RGB.

    Size and format are read from the header first, so that a small file that unpacks to gigabytes
    is refused before it does.

    Args:
        source: a file, or the content of one.
        name: what messages call it; the path by default.

    Raises:
        FileNotFoundError: no such file.
        BrokenImageError: too large, too long and thin, of another format, or damaged.
    """
    if isinstance(source, bytes):
        name, file = name or "of unknown name", io.BytesIO(source)
    else:
        path = Path(source)
        name, file = name or str(path), None
        if not path.is_file():
            raise FileNotFoundError(f"picture {name}: no such file")
    try:
        with _header(file or path) as image:
            return upright_rgb(image)
    except Exception as error:  # damaged files raise many kinds
        told = without_addresses(str(error))
        raise BrokenImageError(f"picture {name} cannot be decoded: {told}") from error


def list_pictures(folder: str | os.PathLike[str]) -> Listing:
    """Picture files of a folder by name, its subfolders left out.

    Raises:
        NotADirectoryError: no such folder.
        FileNotFoundError: no file with one of `SUFFIXES` in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"folder {folder}: no such folder")
    entries = (entry for entry in os.scandir(folder) if not is_hidden(entry.name))
    there = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    files = {name for name in there if os.path.isfile(folder / name)}  # no link that leads nowhere
    found = sorted(name for name in there if name.lower().endswith(SUFFIXES))
    names = [name for name in found if name in files]
    others = (name for name in files if name.lower().endswith(UNREAD_SUFFIXES))
    unread = tuple(sorted([*others, *(name for name in found if name not in files)]))
    if not names:
        beside = f"; not read: {', '.join(unread[:3])}" if unread else ""
        raise FileNotFoundError(f"folder {folder}: no picture ({', '.join(SUFFIXES)}){beside}")
    return Listing([folder / name for name in names[:MOST_LISTED]], len(names), unread)


def load_photo(path: str | os.PathLike[str], image_size: int, *, whole: bool = False) -> Tensor:
    """Any picture file as uint8 [3, S, S].

    Args:
        path: of the picture.
        image_size: S.
        whole: squash all of it to the square, as for FG-OVD; else crop the centre.

    Raises:
        FileNotFoundError: no such file.
        BrokenImageError: the file cannot be decoded, see `picture_files.open_picture`.
    """
    image = open_picture(path)
    return (resize_whole if whole else image_to_pixels)(image, image_size)
