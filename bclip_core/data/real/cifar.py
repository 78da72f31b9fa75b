"""CIFAR-10 and CIFAR-100 through torchvision."""

from __future__ import annotations

import io
from types import MappingProxyType as Fixed
from typing import Any

from PIL import Image
from torchvision import datasets as vision

from bclip_core.data.real.layouts import TEST
from bclip_core.data.real.record import NOT_CHECKED, DataSet, Hub, Place, Source
from bclip_core.data.real.rows import LayoutError, Row
from bclip_core.data.real.sets import LabelledImage


def read(place: Place) -> Source:
    """The test pictures and class names, as torchvision unpacks and checks them (MD5)."""
    reader: Any = vision.CIFAR10 if place.record.name == "cifar10" else vision.CIFAR100
    try:
        stored = reader(str(place.folder), train=False, download=False)
    except RuntimeError as error:
        at = place.folder / reader.base_folder
        raise LayoutError(f"{at}: {error}; expected layout:\n{place.record.layout}") from error
    rows = (
        Row(f"picture {i}", lambda i=i, row=row: _picture(i, *row))  # type: ignore[misc]
        for i, row in enumerate(zip(stored.data, stored.targets, strict=True))
    )
    names = tuple(name.replace("_", " ") for name in stored.classes)
    return Source(place.folder, rows, place.folder, names)


def _picture(number: int, pixels: Any, label: int) -> LabelledImage:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return LabelledImage(f"{number:05d}", buffer.getvalue(), int(label))


CIFAR10 = DataSet(
    name="cifar10",
    task="classes",
    title="CIFAR-10",
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none known",
    size=NOT_CHECKED,
    splits=Fixed({"test": 10000}),
    folder="cifar",
    read=read,
    layout="cifar-10-batches-py/test_batch, batches.meta    (the archive's files, unchanged)",
    hub=Hub("uoft-cs/cifar10", Fixed({"image": "img", "label": "label"}), TEST),
)

CIFAR100 = DataSet(
    name="cifar100",
    task="classes",
    title="CIFAR-100",
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none known",
    size="161 MiB",
    splits=Fixed({"test": 10000}),
    folder="cifar",
    read=read,
    layout="cifar-100-python/test, meta    (the archive's files, unchanged)",
    note="The hundred fine classes.",
    hub=Hub("uoft-cs/cifar100", Fixed({"image": "img", "label": "fine_label"}), TEST),
)
