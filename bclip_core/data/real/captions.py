"""Captioned pictures in the layouts of the field: one function per layout, each gives rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from bclip_core.captions import is_blank
from bclip_core.data.real.folder import PictureRoot, read_text, require_inside
from bclip_core.data.real.rows import (
    DataError,
    Partial,
    Row,
    RowError,
    field_of,
    json_lines,
    parse_json,
    shortened,
    text_of,
    whole_json,
)
from bclip_core.data.real.sets import CaptionedImage, Picture
from bclip_core.records.files import is_hidden


def builder(
    pictures: PictureRoot, limit: int | None = None, skip: bool = False
) -> Callable[[dict[str, Any]], CaptionedImage | Partial[CaptionedImage]]:
    """Makes items of rows with `image`, `caption` (a text or a list of texts) and maybe `summary`.

    Args:
        pictures: where the pictures are.
        limit: captions of a picture beyond so many are not used.
        skip: a blank caption among others is left out and noted, instead of refused.
    """

    def build(row: dict[str, Any]) -> CaptionedImage | Partial[CaptionedImage]:
        name = field_of(row, "image", str)
        embedded = row.get("bytes")
        picture: Picture = embedded if isinstance(embedded, bytes) else pictures.path(name)
        try:
            captions, notes = _captions(row, limit, skip)
            summary = row.get("summary", "")
            summary = text_of(summary, "summary") if summary else ""
        except RowError as error:
            raise RowError(f"picture {name!r}: {error}") from error
        item = CaptionedImage(name, picture, captions, summary)
        return (
            Partial(item, tuple(f"picture {name!r}: {note}" for note in notes)) if notes else item
        )

    return build


def _captions(
    row: dict[str, Any], limit: int | None, skip: bool
) -> tuple[tuple[str, ...], list[str]]:
    """The captions of a row that are used, and notes on blank ones that are not."""
    if "caption" not in row:
        raise RowError(f"no field 'caption'; it has {', '.join(map(str, row))}")
    value = row["caption"]
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise RowError("caption=[]: expected at least one text")
    captions, notes = list[str](), list[str]()
    for number, text in enumerate(texts, start=1):
        if len(captions) == limit:
            break
        if skip and len(texts) > 1 and isinstance(text, str) and is_blank(text):
            notes.append(f"caption {number} is blank: {shortened(text)}")
        else:
            captions.append(text_of(text, "caption"))
    if not captions:
        raise RowError(f"caption={shortened(value)}: expected a text that is not empty")
    return tuple(captions), notes


def listed(path: Path, key: str = "image", inside: str = "") -> Iterator[Row]:
    """A JSON list of pictures and captions, or the list under `annotations` of a dictionary.

    So are Urban-1K and Flickr30k as FLAIR lays them out (`image`), DCI and DOCCI as GOAL does
    (`filename`).

    Args:
        path: of the file.
        key: the field that names the picture.
        inside: folder of the pictures below the data set's, where the names don't say it.
    """
    stored = whole_json(path, object)
    rows = stored.get("annotations") if isinstance(stored, dict) else stored
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of rows, or one under the name 'annotations'")
    for number, row in enumerate(rows):
        yield Row(f"row {number}", lambda row=row: _renamed(row, key, "caption", inside))  # type: ignore[misc]


def _renamed(row: Any, image: str, caption: str, inside: str = "") -> dict[str, Any]:
    name = field_of(row, image, str)
    renamed = {"image": f"{inside}/{name}" if inside else name}
    return renamed | ({"caption": row[caption]} if caption in row else {})


def caption_folder(folder: Path, links: str) -> Iterator[Row]:
    """Urban-1K as Long-CLIP publishes it: `caption/NAME.txt` belongs to `NAME.jpg`.

    The whole file is the caption (Long-CLIP's and β-CLIP's readers take its first line). Rows come
    in the order of the pictures' names as texts, which is that of the annotations.
    """
    files = {f"{path.stem}.jpg": path for path in folder.glob("*.txt") if not is_hidden(path.name)}
    for name in sorted(files):
        yield Row(f"file {files[name].name}", lambda n=name: _caption_file(n, files[n], links))  # type: ignore[misc]


def _caption_file(name: str, path: Path, links: str) -> dict[str, Any]:
    return {"image": name, "caption": read_text(path, path.parent, links)}


def coco(path: Path, folder: str) -> Iterator[Row]:
    """COCO's captions, a picture's in the order of the annotations' numbers.

    Args:
        path: of `captions_val2017.json` or `captions_train2017.json`.
        folder: of the pictures below COCO's, such as `val2017`.

    Raises:
        DataError: the file does not have COCO's form.
    """
    stored = whole_json(path, dict)
    try:
        rows, twice = dict[Any, dict[str, Any]](), []
        for image in stored["images"]:
            row = {"image": f"{folder}/{image['file_name']}", "caption": []}
            if rows.setdefault(image["id"], row) is not row:
                twice.append((f"image id {image['id']}", f"picture {row['image']!r}: listed twice"))
        strays = []
        for annotation in sorted(stored["annotations"], key=lambda item: item["id"]):
            number = annotation["image_id"]
            if number in rows:
                rows[number]["caption"].append(annotation["caption"])
            else:
                reason = f"image_id={number!r}: no such picture under 'images'"
                strays.append((f"annotation id {annotation['id']}", reason))
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: expected COCO captions, but {error!r}") from error
    for number, row in rows.items():
        yield Row(f"image id {number}", lambda row=row: row)  # type: ignore[misc]
    for place, reason in (*twice, *strays):
        yield Row(place, lambda reason=reason: _refuse(reason))  # type: ignore[misc]


def _refuse(reason: str) -> NoReturn:
    raise RowError(reason)


def karpathy(path: Path, split: str, folder: str) -> Iterator[Row]:
    """Karpathy's `dataset_flickr30k.json`: pictures of one split with their sentences."""
    images = whole_json(path, dict).get("images")
    if not isinstance(images, list):
        raise DataError(f"{path}: expected a list under the name 'images'")
    for number, image in enumerate(images):
        if isinstance(image, dict) and image.get("split") == split:
            yield Row(f"row {number} of images", lambda row=image: _karpathy_row(row, folder))  # type: ignore[misc]


def _karpathy_row(row: Any, folder: str) -> dict[str, Any]:
    name = f"{folder}/{field_of(row, 'filename', str)}"
    sentences = field_of(row, "sentences", list)
    return {"image": name, "caption": [field_of(sentence, "raw", str) for sentence in sentences]}


def docci(path: Path, split: str) -> Iterator[Row]:
    """DOCCI's `docci_descriptions.jsonlines`: the lines of one split."""
    for place, read in json_lines(path):
        yield from _docci_line(place, read, split)


def _docci_line(place: str, read: Callable[[], Any], split: str) -> Iterator[Row]:
    try:
        row = read()
        if field_of(row, "split", str) == split:
            yield Row(place, lambda: _renamed(row, "image_file", "description"))
    except RowError:
        yield Row(place, lambda: field_of(read(), "split", str))  # fails where it is counted


def dci(folder: Path, links: str) -> Iterator[Row]:
    """DCI as published: one JSON per picture; the long caption is short plus extra caption.

    The short caption is the summary. So does the data set's own code (`get_extended_caption`).
    """
    for path in sorted(folder.glob("*.json")):
        if not is_hidden(path.name):
            yield Row(f"file {path.name}", lambda path=path: _dci_row(path, links))  # type: ignore[misc]


def _dci_row(path: Path, links: str) -> dict[str, Any]:
    row = parse_json(require_inside(path, path.parent, links).read_bytes())
    short, extra = field_of(row, "short_caption", str), field_of(row, "extra_caption", str)
    caption = " ".join(text.strip() for text in (short, extra) if text.strip())
    return {"image": field_of(row, "image", str), "caption": caption, "summary": short.strip()}


def sharegpt4v(row: Any) -> dict[str, Any]:
    """One row of ShareGPT4V: the caption is the first answer of the conversation, see `answer`."""
    name, turns = field_of(row, "image", str), field_of(row, "conversations", list)
    try:
        return {"image": name, "caption": answer(turns)}
    except RowError as error:
        raise RowError(f"picture {name!r}: {error}") from error


ANSWERS, QUESTIONS = ("gpt", "assistant", "model"), ("human", "user", "system")


def answer(turns: list[Any]) -> str:
    """The first turn that the model speaks, by who it is `from` (or its `role`), not by its place.

    Raises:
        RowError: no such turn, or a speaker that is not known.
    """
    speakers = list[str]()
    for turn in turns:
        spoken = "from" if isinstance(turn, dict) and "from" in turn else "role"
        speakers.append(field_of(turn, spoken, str))
        if speakers[-1] in ANSWERS:
            return field_of(turn, "value" if "value" in turn else "content", str)
        if speakers[-1] not in QUESTIONS:
            known = ", ".join((*ANSWERS, *QUESTIONS))
            raise RowError(f"{spoken}={shortened(speakers[-1])}: expected one of {known}")
    raise RowError(f"turns of {speakers}: expected an answer, a turn from 'gpt'")
