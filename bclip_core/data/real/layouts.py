"""What several data sets share: lists in JSON, folders per class, and rows to items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from torchvision import datasets as vision

from bclip_core.data.real.folder import PictureRoot, visible
from bclip_core.data.real.json_files import once, whole_json
from bclip_core.data.real.rows import (
    DataError,
    Drop,
    LayoutError,
    Row,
    RowError,
    Unused,
    failing,
    field_of,
    text_of,
)
from bclip_core.data.real.sets import CaptionedImage, LabelledImage, Picture
from bclip_core.records.texts import is_blank

GOAL_ROW = '{"filename": "sa_1543972.jpg", "caption": "An indoor mall with ..."}'
WEB_CAPTIONS = Fixed({"id": "__key__", "image": "jpg", "captions": "txt"})
TEST = Fixed({"test": "test"})


def caption_builder(
    pictures: PictureRoot, limit: int | None = None
) -> Callable[[Any, Drop], CaptionedImage]:
    """Makes items of rows with `image`, `caption` (a text or a list of texts) and maybe `summary`.

    Of several captions a blank one is dropped alone; a caption that is no text spoils its row.

    Args:
        pictures: where the pictures are.
        limit: captions of a picture beyond so many are not used.
    """

    def build(row: Any, drop: Drop) -> CaptionedImage:
        name = field_of(row, "image", str)
        embedded = row.get("bytes")
        picture: Picture = embedded if isinstance(embedded, bytes) else pictures.path(name)
        try:
            captions = _captions(row, drop, limit)
            summary = row.get("summary", "")
            summary = text_of(summary, "summary") if summary else ""
        except RowError as error:
            raise RowError(f"picture {name!r}: {error}") from error
        return CaptionedImage(name, picture, captions, summary)

    return build


def _captions(row: dict[str, Any], drop: Drop, limit: int | None) -> tuple[str, ...]:
    if "caption" not in row:
        raise RowError(f"no field 'caption'; it has {', '.join(map(str, row))}")
    value = row["caption"]
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise RowError("caption=[]: expected at least one text")
    used = list[Any]()
    whole = all(isinstance(text, str) and is_blank(text) for text in texts)  # then the row is blank
    for number, text in enumerate(texts, start=1):
        if len(used) == limit:  # what is not used may be anything
            break
        if not whole and isinstance(text, str) and is_blank(text):
            drop(f"picture {row['image']!r}, caption {number}: {text!r}: expected a text")
        else:
            used.append(text)
    return tuple(text_of(text, "caption") for text in used)


def listed(path: Path, key: str = "image") -> Iterator[Row]:
    """A JSON list of pictures and captions, or the list under `annotations` of a dictionary.

    So are Urban-1K and Flickr30k as FLAIR lays them out (`image`), DCI and DOCCI as GOAL does
    (`filename`).

    Args:
        path: of the file.
        key: the field that names the picture.
    """
    stored = whole_json(path, object)
    rows = stored.get("annotations") if isinstance(stored, dict) else stored
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of rows, or one under the name 'annotations'")
    for number, row in enumerate(rows):
        yield Row(f"row {number}", lambda row=row: renamed(once(row), key, "caption"))  # type: ignore[misc]


def renamed(row: Any, image: str, caption: str) -> dict[str, Any]:
    """A row whose fields are called `image` and `caption`."""
    name = field_of(row, image, str)
    return {"image": name} | ({"caption": row[caption]} if caption in row else {})


def class_builder(pictures: PictureRoot) -> Callable[[Any, Drop], LabelledImage]:
    """Makes items of a picture's name and its class; what is an item already stays."""

    def build(row: Any, drop: Drop) -> LabelledImage:
        if isinstance(row, LabelledImage):
            return row
        name, label = row
        if label < 0:
            raise RowError(f"picture {name!r}: expected a folder that names its class")
        return LabelledImage(name, pictures.path(name), label)

    return build


def class_folders(root: Path, label_of: Callable[[str], int]) -> Iterator[Row]:
    """Every picture below the folders of `root`, in order of their names.

    Args:
        root: holds one folder per class.
        label_of: the class of a folder's name; -1 for a folder that names none.

    Raises:
        LayoutError: no folder, or no picture in any.
    """
    endings = set(vision.folder.IMG_EXTENSIONS)
    found = False
    for folder in visible(root):
        if folder.suffix.lower() in endings and folder.is_file():
            yield Row(f"picture {folder.name}", failing(Unused("it lies in no class's folder")))
        for path in visible(folder) if folder.is_dir() else []:
            name = f"{folder.name}/{path.name}"
            if path.suffix.lower() in endings:
                found = True
                row = (name, label_of(folder.name))
                yield Row(f"picture {name}", lambda row=row: row)  # type: ignore[misc]
            else:
                yield Row(f"file {name}", failing(Unused("it is no picture")))
    if not found:
        raise LayoutError(f"{root}: expected one folder per class, with pictures in it")
