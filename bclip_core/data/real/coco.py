"""COCO captions 2017: five of each picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.real.json_files import whole_json
from bclip_core.data.real.layouts import TEST, WEB_CAPTIONS
from bclip_core.data.real.record import NOT_CHECKED, DataSet, Hub, Place, Source
from bclip_core.data.real.rows import DataError, Row, RowError, failing, field_of


def read(place: Place) -> Source:
    """The captions of val2017 or train2017."""
    year = "train2017" if place.split == "train" else "val2017"
    path = place.file(f"annotations/captions_{year}.json")
    return Source(path, _rows(path, year), place.folder)


def _rows(path: Path, folder: str) -> Iterator[Row]:
    """A picture's captions in the order of the annotations' numbers."""
    stored = whole_json(path, dict)
    images, annotations = stored.get("images"), stored.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise DataError(f"{path}: expected COCO captions: lists under 'images' and 'annotations'")
    captions = dict[str, list[tuple[int, Any]]]()
    faults = list[Row]()
    for number, annotation in enumerate(annotations):
        try:
            key = str(_of(annotation, "image_id"))
            captions.setdefault(key, []).append((_of(annotation, "id"), annotation.get("caption")))
        except RowError as error:
            faults.append(Row(f"annotation {number}", failing(error)))
    for number, image in enumerate(images):
        try:
            key, name = str(_of(image, "id")), field_of(image, "file_name", str)
        except RowError as error:
            yield Row(f"image {number}", failing(error))
            continue
        own = captions.get(key, [])
        texts = [text for _, text in sorted(own, key=lambda pair: pair[0])]
        row = {"image": f"{folder}/{name}", "caption": texts}
        yield Row(f"image id {key}", lambda row=row: row)  # type: ignore[misc]
    listed = {str(image.get("id")) for image in images if isinstance(image, dict)}
    for key in captions.keys() - listed:
        for number, _ in captions[key]:
            fault = RowError(f"image_id={key}: no such picture under 'images'")
            faults.append(Row(f"annotation id {number}", failing(fault)))
    yield from faults


def _of(row: Any, name: str) -> int:
    """A number, also where it is written as a text."""
    if isinstance(row, dict) and isinstance(row.get(name), str) and row[name].isdecimal():
        return int(row[name])
    return field_of(row, name, int)


COCO = DataSet(
    name="coco",
    task="captions",
    title="COCO captions 2017",
    source="https://cocodataset.org/#download",
    licence="annotations CC BY 4.0; photos as Flickr's users licensed them",
    size=NOT_CHECKED,
    splits=Fixed({"test": 5000, "train": 0}),
    folder="coco",
    read=read,
    layout="annotations/captions_val2017.json, captions_train2017.json\nval2017/*.jpg\n"
    "train2017/*.jpg",
    example='{"image_id": 139, "id": 1, "caption": "A dog on a sofa."}',
    captions=5,
    note="test is val2017, as in Long-CLIP and FG-CLIP (not Karpathy's 5K of val2014): the "
    "first five captions of each picture by annotation number.",
    hub=Hub("clip-benchmark/wds_mscoco_captions2017", WEB_CAPTIONS, TEST),
)
