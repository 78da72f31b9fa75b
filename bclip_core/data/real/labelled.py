"""Pictures of named classes: folders per class, and CIFAR through torchvision."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision import datasets as vision

from bclip_core.data.real.folder import PictureRoot, require_file
from bclip_core.data.real.rows import DataError, LayoutError, Row, RowError, decoded
from bclip_core.data.real.sets import LabelledImage
from bclip_core.records.files import is_hidden

IMAGENET_CLASSES = 1000


def builder(pictures: PictureRoot) -> Callable[[tuple[str, int]], LabelledImage]:
    """Makes items of a picture's name and its class."""

    def build(row: tuple[str, int]) -> LabelledImage:
        name, label = row
        if label < 0:
            raise RowError(f"picture {name!r}: expected a folder that names its class")
        return LabelledImage(name, pictures.path(name), label)

    return build


def folders(root: Path, label_of: Callable[[str], int]) -> Iterator[Row]:
    """Every picture below the folders of `root`, in order of their names.

    Args:
        root: holds one folder per class.
        label_of: the class of a folder's name; -1 for a folder that names none.

    Raises:
        LayoutError: no folder, or no picture in any.
    """
    endings = set(vision.folder.IMG_EXTENSIONS)
    found = False
    inner = (path for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))
    for folder in sorted(inner):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in endings and not is_hidden(path.name):
                found = True
                row = (f"{folder.name}/{path.name}", label_of(folder.name))
                yield Row(f"picture {row[0]}", lambda row=row: row)  # type: ignore[misc]
    if not found:
        raise LayoutError(f"{root}: expected one folder per class, with pictures in it")


def imagenet_v2_label(folder: str) -> int:
    """ImageNet-V2's folders are the numbers of ImageNet's classes.

    `torchvision.datasets.ImageFolder` would number them by their order as texts: 0, 1, 10, 100, ...
    """
    number = int(folder) if folder.isdecimal() else -1
    return number if number < IMAGENET_CLASSES else -1


def imagenet_o_classes(root: Path, layout: str) -> dict[str, str]:
    """WordNet ID to name of ImageNet-O's 200 classes, from the README.txt in its archive.

    Raises:
        LayoutError: no README.txt.
        DataError: it lists no classes.
    """
    path = require_file(root / "README.txt", layout)
    lines = decoded(path.read_bytes(), str(path)).splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.startswith("n0") or line[:2] == "n1"]
    classes = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    if not classes:
        raise DataError(f"{path}: expected lines such as 'n01443537 goldfish'")
    return dict(sorted(classes.items()))


def cifar(root: Path, name: str, layout: str) -> tuple[Iterator[Row], tuple[str, ...]]:
    """CIFAR's test pictures and class names, as torchvision unpacks and checks them (MD5).

    Raises:
        LayoutError: the files are not there, or are not the official ones.
    """
    reader: Any = vision.CIFAR10 if name == "cifar10" else vision.CIFAR100
    try:
        stored = reader(str(root), train=False, download=False)
    except RuntimeError as error:
        place = root / reader.base_folder
        raise LayoutError(f"{place}: {error}; expected layout:\n{layout}") from error
    rows = zip(stored.data, stored.targets, strict=True)
    return (
        Row(f"picture {i}", lambda i=i, row=row: _cifar_picture(i, *row))  # type: ignore[misc]
        for i, row in enumerate(rows)
    ), tuple(name.replace("_", " ") for name in stored.classes)


def as_read(item: LabelledImage) -> LabelledImage:
    """CIFAR's rows are items already."""
    return item


def _cifar_picture(number: int, pixels: Any, label: int) -> LabelledImage:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return LabelledImage(f"{number:05d}", buffer.getvalue(), int(label))
