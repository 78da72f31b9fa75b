"""A reader's own picture files: judged by their header before anything is decoded."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from bclip_core.data.images import FORMATS, BrokenImageError, upright_rgb

LARGEST_RATIO = 50  # long side over short side: the short one is brought to the model's size
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_LISTED = 1_000


class Listing(NamedTuple):
    """The pictures of a folder.

    Attributes:
        paths: the first of them by name, at most `MOST_LISTED`.
        total: how many there are.
    """

    paths: list[Path]
    total: int


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large sizes; here they are refused
            with Image.open(file or path, formats=FORMATS) as image:
                _refuse_shape(image.size)
                return upright_rgb(image)
    except Exception as error:  # damaged files raise many kinds
        raise BrokenImageError(f"picture {name} cannot be decoded: {error}") from error


def _refuse_shape(size: tuple[int, int]) -> None:
    width, height = size
    if max(size) > LARGEST_RATIO * min(size):
        raise ValueError(
            f"{width} x {height} pixels: expected sides within a factor of {LARGEST_RATIO}"
        )


def list_pictures(folder: str | os.PathLike[str]) -> Listing:
    """Picture files of a folder by name, its subfolders left out.

    Raises:
        NotADirectoryError: no such folder.
        FileNotFoundError: no file with one of `SUFFIXES` in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"folder {folder}: no such folder")
    names = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(SUFFIXES) and entry.is_file()
    )
    if not names:
        raise FileNotFoundError(f"folder {folder}: no picture ({', '.join(SUFFIXES)})")
    return Listing([folder / name for name in names[:MOST_LISTED]], len(names))
