"""FG-OVD in its two forms: the JSON lines that the field evaluates on, and the official JSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bclip_core.data.images import upright_size
from bclip_core.data.real.folder import PictureRoot
from bclip_core.data.real.rows import (
    DataError,
    Row,
    RowError,
    field_of,
    json_lines,
    shortened,
    text_of,
    whole_json,
)
from bclip_core.data.real.sets import PhotoRegion

_BORDER_TOLERANCE = 0.5  # pixels; annotations round box edges, see evaluation.boxes_to_patches


def builder(pictures: PictureRoot) -> Callable[[dict[str, Any]], PhotoRegion]:
    """Makes regions of rows in the form of the JSON lines.

    Where pictures are looked for, each has to have the size that its rows say: boxes are in pixels.
    """
    numbers, sizes = itertools.count(), dict[Path, tuple[int, int] | None]()

    def build(row: dict[str, Any]) -> PhotoRegion:
        number = next(numbers)
        name = field_of(row, "img_path", str)
        path = pictures.path(name)
        try:
            size = (field_of(row, "width", int), field_of(row, "height", int))
            box = _box(field_of(row, "bbox", list), size)
            if pictures.look and path not in sizes:
                sizes[path] = _size(path)
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
        identity = str(row.get("sent_id", f"row {number}"))
        return PhotoRegion(path, box, (true[0], *false), size, identity, name)

    return build


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return upright_size(path)
    except (OSError, ValueError, SyntaxError):  # a broken picture is named when it is decoded
        return None


def _box(values: list[Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(values) != 4 or len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise RowError(f"bbox={shortened(values)}: expected four numbers x, y, width, height")
    x, y, width, height = map(float, numbers)
    if width <= 0 or height <= 0:
        raise RowError(f"bbox={values}: expected x, y, width > 0, height > 0")
    limit = (size[0] + _BORDER_TOLERANCE, size[1] + _BORDER_TOLERANCE)
    inside = min(x, y) >= -_BORDER_TOLERANCE and x + width <= limit[0] and y + height <= limit[1]
    if not inside:
        raise RowError(f"bbox={values}: expected a box inside {size[0]} x {size[1]} pixels")
    return x, y, width, height


def lines(path: Path) -> Iterator[Row]:
    """The JSON lines of FG-CLIP and β-CLIP, such as `h_attributes_llava.jsonl`."""
    return json_lines(path)


def official(path: Path) -> Iterator[Row]:
    """The official JSON in LVIS's form, such as `1_attributes.json`, as rows of the JSON lines.

    The true expression is the name of an annotation's category, the false ones are the names of its
    `neg_category_ids`.

    Raises:
        DataError: the file does not have LVIS's form.
    """
    stored = whole_json(path, dict)
    try:
        images = {image["id"]: image for image in stored["images"]}
        names = {category["id"]: category["name"] for category in stored["categories"]}
        annotations = list(stored["annotations"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: expected FG-OVD in LVIS's form, but {error!r}") from error
    for number, annotation in enumerate(annotations):
        yield Row(f"annotation {number}", lambda a=annotation: _official_row(a, images, names))  # type: ignore[misc]


def _official_row(annotation: Any, images: dict[Any, Any], names: dict[Any, Any]) -> dict[str, Any]:
    image = images.get(field_of(annotation, "image_id", int))
    if image is None:
        raise RowError(f"image_id={annotation['image_id']}: no such picture under 'images'")
    wanted = [
        field_of(annotation, "category_id", int),
        *field_of(annotation, "neg_category_ids", list),
    ]
    unknown = [number for number in wanted if number not in names]
    if unknown:
        raise RowError(f"categories {shortened(unknown)}: not under 'categories'")
    true, *false = (names[number] for number in wanted)
    row = {"img_path": field_of(image, "file_name", str), "bbox": annotation.get("bbox")}
    row |= {"width": image.get("width"), "height": image.get("height")}
    return row | {
        "pos_expression": [true],
        "neg_expression": false,
        "sent_id": field_of(annotation, "id", int),
    }
