"""Flickr30k: FLAIR's lists, Karpathy's file, or all of it as it is published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.real.folder import read_text
from bclip_core.data.real.json_files import Marked, once, whole_json
from bclip_core.data.real.layouts import TEST, WEB_CAPTIONS, listed
from bclip_core.data.real.record import NOT_CHECKED, DataSet, Hub, Place, Source
from bclip_core.data.real.rows import (
    DataError,
    Row,
    RowError,
    failing,
    field_of,
    shortened,
    tell_unread,
)
from bclip_core.records.texts import lines_of

_SPLITS = ("train", "val", "test", "restval")
_TABLE = "results_20130124.token"


def read(place: Place) -> Source:
    """The list of a split, or the pictures of the split in `dataset_flickr30k.json`.

    The split "all" is the published table of every picture, whatever split it is in.
    """
    if place.split == "all":
        path = place.file(_TABLE)
        return Source(path, _table(path, place), place.folder)
    short = {"validation": "val"}.get(place.split, place.split)
    own, whole = f"flickr30k_{short}.json", "dataset_flickr30k.json"
    both = [name for name in (own, whole) if (place.folder / name).is_file()]
    tell_unread("flickr30k", both)
    if both == [whole]:
        path = place.file(whole)
        return Source(path, _karpathy(path, short), place.folder)
    path = place.file(own)
    return Source(path, listed(path), place.folder)


def _karpathy(path: Path, split: str) -> Iterator[Row]:
    images = whole_json(path, dict).get("images")
    if not isinstance(images, list):
        raise DataError(f"{path}: expected a list under the name 'images'")
    for number, image in enumerate(images):
        if not isinstance(image, dict) or not isinstance(image.get("split"), str):
            fault = RowError(f"{shortened(image)}: expected a picture with its split")
            yield Row(f"row {number} of images", failing(fault))
        elif image["split"] not in _SPLITS:
            fault = RowError(f"split={image['split']!r}: expected one of {', '.join(_SPLITS)}")
            yield Row(f"row {number} of images", failing(fault))
        elif image["split"] == split or isinstance(image, Marked):
            yield Row(f"row {number} of images", lambda row=image: _row(once(row)))  # type: ignore[misc]


def _table(path: Path, place: Place) -> Iterator[Row]:
    """Lines `NAME#NUMBER<tab>caption`, the captions of a picture in the order of their numbers."""
    captions = dict[str, dict[int, str]]()
    try:
        lines = lines_of(read_text(path, place.folder, place.links))
    except RowError as error:
        raise DataError(str(error)) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        picture, tab, caption = line.partition("\t")
        name, sign, own = picture.rpartition("#")
        wrong = ""
        if not tab or not sign or not own.strip().isdecimal():
            wrong = f"{shortened(line)}: expected NAME#NUMBER, a tab and a caption"
        elif int(own) in captions.setdefault(name, {}):
            wrong = f"{picture} twice: expected each number of a picture once"
        if wrong:
            yield Row(f"line {number}", failing(RowError(wrong)))
        else:
            captions[name][int(own)] = caption
    for name, texts in captions.items():
        row = {
            "image": f"flickr30k-images/{name}",
            "caption": [text for _, text in sorted(texts.items())],
        }
        yield Row(f"picture {name}", lambda row=row: row)  # type: ignore[misc]


def _row(row: Any) -> dict[str, Any]:
    name = f"flickr30k-images/{field_of(row, 'filename', str)}"
    sentences = field_of(row, "sentences", list)
    return {"image": name, "caption": [field_of(sentence, "raw", str) for sentence in sentences]}


FLICKR30K = DataSet(
    name="flickr30k",
    task="captions",
    title="Flickr30k",
    source="https://shannon.cs.illinois.edu/DenotationGraph/",
    licence=NOT_CHECKED,
    size=NOT_CHECKED,
    splits=Fixed({"test": 1000, "validation": 1014, "all": 0}),
    folder="flickr30k",
    read=read,
    layout="flickr30k_test.json, flickr30k_val.json (FLAIR's lists; or instead:)\n"
    "dataset_flickr30k.json (Karpathy's)\nresults_20130124.token (split all)\n"
    "flickr30k-images/*.jpg",
    example='{"image": "flickr30k-images/1.jpg", "caption": ["A dog.", "A brown dog."]}',
    captions=5,
    note="Five captions per picture; the 1K test is Karpathy's split. Long-CLIP's numbers are of "
    "the whole, which is the split all.",
    hub=Hub("clip-benchmark/wds_flickr30k", WEB_CAPTIONS, TEST),
)
