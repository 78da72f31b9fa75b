"""From picture files to pixels."""

from __future__ import annotations

import datasets
import numpy as np
import torch

# Mean and standard deviation of CLIP's training images, per channel, on the scale 0..1
# (Radford et al., 2021).
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms


def normalise_images(images: Tensor) -> Tensor:
    """uint8 pixels [B, 3, H, W] to CLIP's normalised float32."""
    mean = torch.tensor(OPENAI_DATASET_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(OPENAI_DATASET_STD, device=images.device).view(1, 3, 1, 1)
    return (images.float() / 255.0 - mean) / std


def image_to_pixels(image: Image.Image, image_size: int) -> Tensor:
    """A picture as uint8 [3, S, S], as CLIP sees it.

    Upright by its EXIF tag, RGB, short side to S (bicubic), centre crop; pixel for pixel what
    open_clip's transform gives. A picture that already is S × S is passed through unchanged.
    """
    image = ImageOps.exif_transpose(image).convert("RGB")
    image = transforms.resize(image, [image_size], InterpolationMode.BICUBIC)
    square = transforms.center_crop(image, [image_size, image_size])
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def resize_whole(image: Image.Image, image_size: int) -> Tensor:
    """The whole picture squashed to uint8 [3, S, S], its aspect ratio lost (bicubic).

    For questions about regions: the authors of β-CLIP do so for FG-OVD. No box is cropped away, and
    a box is scaled per axis, as `evaluation.roi_features` does with the picture's original size.
    """
    square = image.convert("RGB").resize((image_size, image_size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


class BrokenImageError(ValueError):
    """A picture cannot be decoded; the message names its row and id, or its file."""


def undecoded(dataset: datasets.Dataset) -> datasets.Dataset:
    """The pictures of a data set as they are stored, for `decode_row`."""
    return dataset.cast_column("image", datasets.Image(decode=False))


def decode_row(stored: datasets.Dataset, row: int, image_size: int) -> Tensor:
    """One picture of an `undecoded` data set as uint8 [3, S, S].

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    image = stored[row]["image"]
    try:
        return image_to_pixels(datasets.Image().decode_example(image), image_size)
    except Exception as error:  # damaged files raise many kinds: zlib, struct, OSError, ...
        name = f"row {row}, id {stored[row]['id']!r}, file {(image or {}).get('path')!r}"
        raise BrokenImageError(f"image cannot be decoded: {name}: {error}") from error


def decode_images(
    dataset: datasets.Dataset, image_size: int, *, on_error: str = "raise"
) -> tuple[Tensor, list[int]]:
    """All pictures of a data set, decoded once.

    Args:
        dataset: with columns `id` and `image`.
        image_size: S, side in pixels.
        on_error: "raise" stops at the first broken picture; "skip" leaves it out and says so.

    Returns:
        pixels uint8 [N', 3, S, S] and the rows they belong to (all rows unless some were skipped).

    Raises:
        BrokenImageError: a picture cannot be decoded and `on_error` is "raise".
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'skip'")
    stored = undecoded(dataset.select_columns(["id", "image"]))
    pixels, rows, broken = [], [], []
    for row in range(len(stored)):
        try:
            pixels.append(decode_row(stored, row, image_size))
            rows.append(row)
        except BrokenImageError as error:
            if on_error == "raise":
                raise
            broken.append(str(error))
    if broken:
        print(f"skipped {len(broken)} of {len(dataset)} images: " + "; ".join(broken[:5]))
    if not pixels:
        raise BrokenImageError(f"none of the {len(dataset)} images can be decoded")
    return torch.stack(pixels), rows
