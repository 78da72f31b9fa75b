"""A picture file of one's own; the data sets of real photos are in `data.benchmarks`."""

from __future__ import annotations

import os

from torch import Tensor

from bclip_core.data.images import image_to_pixels, resize_whole
from bclip_core.data.picture_files import open_picture


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
