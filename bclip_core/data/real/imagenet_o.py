"""ImageNet-O: 200 classes, named as in its own list."""

from __future__ import annotations

from types import MappingProxyType as Fixed

from bclip_core.data.real.folder import read_text
from bclip_core.data.real.layouts import class_folders
from bclip_core.data.real.record import DataSet, Place, Source
from bclip_core.data.real.rows import DataError, RowError
from bclip_core.records.texts import lines_of


def read(place: Place) -> Source:
    """Every picture of the folders, which are WordNet IDs."""
    classes = _classes(place)
    order = {wnid: number for number, wnid in enumerate(classes)}
    rows = class_folders(place.folder, lambda wnid: order.get(wnid, -1))
    return Source(place.folder, rows, place.folder, tuple(classes.values()))


def _classes(place: Place) -> dict[str, str]:
    """WordNet ID to name, from the README.txt in the archive."""
    path = place.file("README.txt")
    try:
        lines = lines_of(read_text(path, place.folder, place.links))
    except RowError as error:
        raise DataError(str(error)) from error
    pairs = [line.split(maxsplit=1) for line in lines if line.startswith("n0") or line[:2] == "n1"]
    classes = dict[str, str]()
    for wnid, *name in pairs:
        if name and classes.setdefault(wnid, name[0]) != name[0]:
            raise DataError(f"{path}: {wnid} is {classes[wnid]!r} and {name[0]!r}: expected one")
    if not classes:
        raise DataError(f"{path}: expected lines such as 'n01443537 goldfish'")
    return dict(sorted(classes.items()))


IMAGENET_O = DataSet(
    name="imagenet-o",
    task="classes",
    title="ImageNet-O",
    source="https://github.com/hendrycks/natural-adv-examples",
    licence="MIT",
    size="178 MB",
    splits=Fixed({"test": 2000}),
    folder="imagenet-o",
    read=read,
    layout="README.txt    (WordNet IDs and names, as in the archive)\nn*/*.JPEG",
    note="Classification among its own 200 classes, named as in its README.txt. The hub's "
    "cais/imagenet-o has these files, but `datasets` would name the classes by number.",
)
