"""DOCCI: as published, and the 5,100 pictures of GOAL's list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.real.json_files import json_lines
from bclip_core.data.real.layouts import GOAL_ROW, listed, renamed
from bclip_core.data.real.record import DataSet, Place, Source
from bclip_core.data.real.rows import Row, RowError, failing, field_of


def read(place: Place) -> Source:
    """`docci_descriptions.jsonlines`: the lines of one split."""
    path = place.file("docci_descriptions.jsonlines")
    return Source(path, _rows(path, place.split), place.folder / "images")


def _rows(path: Path, split: str) -> Iterator[Row]:
    for place, value in json_lines(path):
        yield from _line(place, value, split)


def _line(place: str, value: Callable[[], Any], split: str) -> Iterator[Row]:
    try:
        row = value()
        named = field_of(row, "split", str)
        if named not in DOCCI.splits:
            raise RowError(f"split={named!r}: expected one of {', '.join(DOCCI.splits)}")
        if named == split:
            yield Row(place, lambda: renamed(row, "image_file", "description"))
    except RowError as error:  # whatever its split: it fails where it is counted
        yield Row(place, failing(error))


def read_goal(place: Place) -> Source:
    """GOAL's list, which names pictures by `filename`."""
    path = place.file("docci_test.json")
    return Source(path, listed(path, "filename"), place.folder / "images")


DOCCI = DataSet(
    name="docci",
    task="captions",
    title="DOCCI",
    source="https://google.github.io/docci/",
    licence="CC BY 4.0",
    size="11 MB, pictures 7.6 GB",
    splits=Fixed({"test": 5000, "train": 9647, "qual_dev": 100, "qual_test": 100}),
    folder="docci",
    read=read,
    layout="docci_descriptions.jsonlines\nimages/*.jpg",
    example='{"split": "test", "image_file": "test_00000.jpg", "description": "A ..."}',
    captions=1,
    note="The hub's google/docci needs a loading script, which `datasets` 4 does not run.",
)

DOCCI_5100 = DataSet(
    name="docci-5100",
    task="captions",
    title="DOCCI, the 5,100 pictures of GOAL's list",
    source="https://google.github.io/docci/",
    licence="CC BY 4.0",
    size="pictures 7.6 GB",
    splits=Fixed({"test": 5100}),
    folder="docci",
    read=read_goal,
    layout="docci_test.json\nimages/*.jpg",
    example=GOAL_ROW,
    captions=1,
    note="The 5,000 of the test split and the 100 of qual_test.",
)
