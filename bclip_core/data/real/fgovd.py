"""FG-OVD in its two forms: the JSON lines that the field evaluates on, and the official JSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.images import LARGEST_PIXELS, upright_size
from bclip_core.data.real.folder import PictureRoot
from bclip_core.data.real.json_files import json_lines, once, whole_json
from bclip_core.data.real.record import NOT_CHECKED, DataSet, Place, Source
from bclip_core.data.real.rows import (
    DataError,
    Drop,
    Row,
    RowError,
    failing,
    field_of,
    number_of,
    shortened,
    tell_unread,
    text_of,
    whole_number,
)
from bclip_core.data.real.sets import PhotoRegion

FILES = {
    "hard": ("h_attributes_llava.jsonl", "1_attributes.json"),
    "medium": ("m_attributes_llava.jsonl", "2_attributes.json"),
    "easy": ("e_attributes_llava.jsonl", "3_attributes.json"),
    "trivial": ("shuffle_negatives_llava.jsonl", "shuffle_negatives.json"),
}
_BORDER_TOLERANCE = 0.5  # pixels; annotations round box edges, see evaluation.boxes_to_patches


def read(place: Place) -> Source:
    """The JSON lines of FG-CLIP and β-CLIP, or the official JSON where they are not."""
    name, other = FILES[place.split]
    pictures = place.folder.parent / "coco"
    both = [each for each in (name, other) if (place.folder / each).is_file()]
    if both == [other]:
        path = place.file(other)
        return Source(path, official(path), pictures)
    tell_unread("fgovd", both)
    path = place.file(name)
    return Source(path, json_lines(path), pictures)


def region_builder(pictures: PictureRoot) -> Callable[[Any, Drop], PhotoRegion]:
    """Makes regions of rows in the form of the JSON lines.

    Where pictures are looked for, each has to have the size that its rows say: boxes are in pixels.
    """
    numbers, sizes = itertools.count(), dict[Path, tuple[int, int] | None]()

    def build(row: Any, drop: Drop) -> PhotoRegion:
        number = next(numbers)
        name = field_of(row, "img_path", str)
        path = pictures.path(name)
        try:
            size = (whole_number(row, "width"), whole_number(row, "height"))
            box = _box(field_of(row, "bbox", list), size)
            if pictures.look and path not in sizes:
                sizes[path] = _size(path)
            if max(size) > LARGEST_PIXELS:
                raise RowError(f"width, height={shortened(size)}: expected pixels of a picture")
            if sizes.get(path) not in (None, size):
                found = " x ".join(map(str, sizes[path] or ()))
                raise RowError(f"width, height={size}: expected the picture's, {found} pixels")
            # Of several true expressions the first is asked for, as the field's evaluation does.
            true = [text_of(t, "pos_expression") for t in field_of(row, "pos_expression", list)]
            false = [text_of(t, "neg_expression") for t in field_of(row, "neg_expression", list)]
            if not true or not false:
                found = f"{len(true)} true and {len(false)} false expressions"
                raise RowError(f"{found}: expected one true and at least one false")
        except RowError as error:
            raise RowError(f"picture {name!r}: {error}") from error
        identity = f"row {number}"
        if row.get("sent_id") is not None:
            given = number_of(row["sent_id"])  # 1, 1.0 and "1" are one number
            whole = isinstance(given, float) and given.is_integer()
            identity = str(int(given) if whole else row["sent_id"])
        return PhotoRegion(path, box, (true[0], *false), size, identity, name)

    return build


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return upright_size(path)
    except (OSError, ValueError, SyntaxError):  # a broken picture is named when it is decoded
        return None


def _box(values: list[Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    given, values = values, [number_of(value) for value in values]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(values) != 4 or len(numbers) != 4 or not all(map(_is_finite, numbers)):
        raise RowError(f"bbox={shortened(given)}: expected four numbers x, y, width, height")
    x, y, width, height = map(float, numbers)
    if width <= 0 or height <= 0:
        raise RowError(f"bbox={values}: expected x, y, width > 0, height > 0")
    limit = (size[0] + _BORDER_TOLERANCE, size[1] + _BORDER_TOLERANCE)
    inside = min(x, y) >= -_BORDER_TOLERANCE and x + width <= limit[0] and y + height <= limit[1]
    if not inside:
        raise RowError(f"bbox={values}: expected a box inside {size[0]} x {size[1]} pixels")
    return x, y, width, height


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # of a whole number with hundreds of digits
        return False


def official(path: Path) -> Iterator[Row]:
    """The official JSON in LVIS's form, such as `1_attributes.json`, as rows of the JSON lines.

    The true expression is the name of an annotation's category, the false ones are the names of its
    `neg_category_ids`.

    Raises:
        DataError: the file does not have LVIS's form.
    """
    stored = whole_json(path, dict)
    parts = [stored.get(name) for name in ("images", "categories", "annotations")]
    if not all(isinstance(part, list) for part in parts):
        expected = "lists under 'images', 'categories' and 'annotations'"
        raise DataError(f"{path}: expected FG-OVD in LVIS's form: {expected}")
    images, names = dict[int, Any](), dict[int, Any]()
    for what, rows, known in (("image", parts[0], images), ("category", parts[1], names)):
        for number, row in enumerate(rows or ()):
            try:
                key = whole_number(once(row), "id")
                if key in known:
                    raise RowError(f"id={key}: a second {what}: expected each id once")
                known[key] = row
            except RowError as error:
                yield Row(f"{what} {number}", failing(error))
    for number, annotation in enumerate(parts[2] or ()):
        yield Row(f"annotation {number}", lambda a=annotation: _official_row(a, images, names))  # type: ignore[misc]


def _official_row(annotation: Any, images: dict[int, Any], names: dict[int, Any]) -> dict[str, Any]:
    image = images.get(whole_number(once(annotation), "image_id"))
    if image is None:
        raise RowError(f"image_id={annotation['image_id']}: no such picture under 'images'")
    wanted = [
        whole_number(annotation, "category_id"),
        *(
            whole_number({"neg_category_ids": number}, "neg_category_ids")
            for number in field_of(annotation, "neg_category_ids", list)
        ),
    ]
    unknown = [number for number in wanted if number not in names]
    if unknown:
        raise RowError(f"categories {shortened(unknown)}: not under 'categories'")
    true, *false = (field_of(names[number], "name", str) for number in wanted)
    row = {"img_path": field_of(image, "file_name", str), "bbox": annotation.get("bbox")}
    row |= {"width": image.get("width"), "height": image.get("height")}
    return row | {
        "pos_expression": [true],
        "neg_expression": false,
        "sent_id": whole_number(annotation, "id"),
    }


FGOVD = DataSet(
    name="fgovd",
    task="regions",
    title="FG-OVD",
    source="https://github.com/lorebianchi98/FG-OVD",
    licence="website CC BY-SA 4.0; data not checked",
    size=f"{NOT_CHECKED}; photos: COCO's train2017 and val2017",
    splits=Fixed({"hard": 3545, "medium": 2968, "easy": 1299, "trivial": 3545}),
    folder="fgovd",
    read=read,
    layout="h_attributes_llava.jsonl  or 1_attributes.json    (hard)\n"
    "m_attributes_llava.jsonl  or 2_attributes.json    (medium)\n"
    "e_attributes_llava.jsonl  or 3_attributes.json    (easy)\n"
    "shuffle_negatives_llava.jsonl or shuffle_negatives.json (trivial)\n"
    "../coco/train2017/*.jpg, ../coco/val2017/*.jpg",
    example='{"img_path": "val2017/000000000139.jpg", "bbox": [0, 0, 10, 10], '
    '"pos_expression": ["A red bus."], "neg_expression": ["A blue bus."], '
    '"width": 640, "height": 426, "sent_id": 1}',
    note="Four items of medium have the true expression among the false ones: always a tie, "
    "so a miss; 2,964 of 2,968 is the best possible.",
)
