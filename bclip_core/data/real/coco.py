"""COCO captions 2017: five of each picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.real.json_files import once, whole_json
from bclip_core.data.real.layouts import TEST, WEB_CAPTIONS
from bclip_core.data.real.record import NOT_CHECKED, DataSet, Hub, Place, Source
from bclip_core.data.real.rows import DataError, Row, RowError, failing, field_of, whole_number


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
    captions, faults = _by_picture(annotations)
    listed = set[int]()
    for number, image in enumerate(images):
        try:
            key, name = whole_number(once(image), "id"), field_of(image, "file_name", str)
            if key in listed:
                twice = f"id={key} twice under 'images': expected each id once"
                raise RowError(f"picture {_named(name, folder)!r}: {twice}")
        except RowError as error:
            yield Row(f"image {number}", failing(error))
            continue
        listed.add(key)
        texts = [text for _, text in sorted(captions.get(key, {}).items())]
        row = {"image": _named(name, folder), "caption": texts}
        yield Row(f"image id {key}", lambda row=row: row)  # type: ignore[misc]
    for key in sorted(captions.keys() - listed):
        for number in captions[key]:
            fault = RowError(f"image_id={key}: no such picture under 'images'")
            faults.append(Row(f"annotation id {number}", failing(fault)))
    yield from faults


def _by_picture(annotations: list[Any]) -> tuple[dict[int, dict[int, Any]], list[Row]]:
    """The captions of each picture by their numbers, and the annotations that cannot be used."""
    captions, faults = dict[int, dict[int, Any]](), list[Row]()
    seen = set[int]()
    for number, annotation in enumerate(annotations):
        try:
            key = whole_number(once(annotation), "image_id")
            own = whole_number(annotation, "id")
            if own in seen:
                raise RowError(f"id={own} twice under 'annotations': expected each id once")
        except RowError as error:
            faults.append(Row(f"annotation {number}", failing(error)))
            continue
        seen.add(own)
        captions.setdefault(key, {})[own] = annotation.get("caption")
    return captions, faults


def _named(name: str, folder: str) -> str:
    """A picture below the data set's folder; some files name its folder already."""
    return name if name.startswith(f"{folder}/") else f"{folder}/{name}"


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
