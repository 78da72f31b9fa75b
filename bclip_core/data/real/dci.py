"""Densely Captioned Images: as published, and the 1,999 pictures of GOAL's list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.real.folder import read_text, visible
from bclip_core.data.real.json_files import parse_json
from bclip_core.data.real.layouts import GOAL_ROW, listed
from bclip_core.data.real.record import NOT_CHECKED, DataSet, Place, Source, layout_error
from bclip_core.data.real.rows import Row, Unused, failing, field_of


def read(place: Place) -> Source:
    """One JSON per picture; the long caption is short plus extra caption, the summary the short.

    So does the data set's own code (`get_extended_caption`).
    """
    path = place.folder / "annotations"
    if not path.is_dir():
        raise layout_error(place.record, f"no folder {path}")
    return Source(path, _rows(path, place), place.folder / "photos")


def _rows(folder: Path, place: Place) -> Iterator[Row]:
    for path in visible(folder):
        if path.suffix.lower() == ".json":
            yield Row(f"file {path.name}", lambda path=path: _row(path, place))  # type: ignore[misc]
        else:
            yield Row(f"file {path.name}", failing(Unused("no .json file: it is not read")))


def _row(path: Path, place: Place) -> dict[str, Any]:
    row = parse_json(read_text(path, place.folder, place.links).encode())
    short, extra = field_of(row, "short_caption", str), field_of(row, "extra_caption", str)
    caption = " ".join(text.strip() for text in (short, extra) if text.strip())
    return {"image": field_of(row, "image", str), "caption": caption, "summary": short.strip()}


def read_goal(place: Place) -> Source:
    """GOAL's list, which names pictures by `filename`."""
    path = place.file("DCI_test.json")
    return Source(path, listed(path, "filename"), place.folder / "photos")


DCI = DataSet(
    name="dci",
    task="captions",
    title="Densely Captioned Images",
    source="https://github.com/facebookresearch/DCI",
    licence="CC BY-NC",
    size=f"{NOT_CHECKED}; photos: SA-1B's sa_000138.tar alone",
    splits=Fixed({"test": 7805}),
    folder="dci",
    read=read,
    layout="annotations/*.json\nphotos/sa_*.jpg",
    example='{"image": "sa_1.jpg", "short_caption": "A mall.", "extra_caption": "It has ..."}',
    captions=1,
    note="The long caption is short_caption + extra_caption, the summary is short_caption. "
    "Other codes take one of the two alone, which gives other numbers.",
)

DCI_1999 = DataSet(
    name="dci-1999",
    task="captions",
    title="DCI, the 1,999 pictures of GOAL's list",
    source="https://github.com/facebookresearch/DCI",
    licence="CC BY-NC 4.0",
    size=NOT_CHECKED,
    splits=Fixed({"test": 1999}),
    folder="dci",
    read=read_goal,
    layout="DCI_test.json\nphotos/sa_*.jpg",
    example=GOAL_ROW,
    captions=1,
)
