"""ImageNet-V2, matched frequency: folders that are numbers of ImageNet's classes."""

from __future__ import annotations

from types import MappingProxyType as Fixed

from bclip_core.data.real.layouts import class_folders
from bclip_core.data.real.record import DataSet, Place, Source

IMAGENET_CLASSES = 1000


def read(place: Place) -> Source:
    """Every picture of the folders."""
    return Source(place.folder, class_folders(place.folder, label_of), place.folder)


def label_of(folder: str) -> int:
    """ImageNet-V2's folders are the numbers of ImageNet's classes; -1 for any other.

    `torchvision.datasets.ImageFolder` would number them by their order as texts: 0, 1, 10, 100, ...
    """
    number = int(folder) if folder.isdecimal() else -1
    return number if number < IMAGENET_CLASSES else -1


IMAGENET_V2 = DataSet(
    name="imagenet-v2",
    task="classes",
    title="ImageNet-V2, matched frequency",
    source="https://huggingface.co/datasets/vaishaal/ImageNetV2",
    licence="MIT",
    size="1.3 GB",
    splits=Fixed({"test": 10000}),
    folder="imagenetv2-matched-frequency-format-val",
    read=read,
    layout="0/*.jpeg ... 999/*.jpeg    (folders are numbers of ImageNet's classes)",
    note="Its class names are ImageNet's: open_clip.IMAGENET_CLASSNAMES[label]. Its hub has "
    "the archive alone, which `datasets` does not read.",
)
