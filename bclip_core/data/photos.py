"""A picture file of one's own; the data sets of real photos are in `data.benchmarks`."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image as PILImage
from torch import Tensor

from bclip_core.data.images import BrokenImageError, image_to_pixels, resize_whole


def load_photo(path: str | os.PathLike[str], image_size: int, *, whole: bool = False) -> Tensor:
    """Any picture file as uint8 [3, S, S].

    Args:
        path: of the picture.
        image_size: S.
        whole: squash all of it to the square, as for FG-OVD; else crop the centre.

    Raises:
        FileNotFoundError: no such file.
        BrokenImageError: the file cannot be decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"picture {path}: no such file")
    try:
        with PILImage.open(path) as image:
            return (resize_whole if whole else image_to_pixels)(image, image_size)
    except Exception as error:  # damaged files raise many kinds
        raise BrokenImageError(f"picture {path} cannot be decoded: {error}") from error
