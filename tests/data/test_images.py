"""A picture file of one's own becomes pixels, or is named."""

import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core.data.images import BrokenImageError, load_photo


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
