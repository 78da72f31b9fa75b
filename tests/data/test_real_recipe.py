"""README's "Add a data set", followed with a toy: one file with a record and a reader, one line."""

import importlib
import sys
from types import MappingProxyType as Fixed

from PIL import Image

from bclip_core.data import real
from bclip_core.data.real import data_sets

TOY = """
from types import MappingProxyType as Fixed

from bclip_core.data.real.record import DataSet, Place, Source
from bclip_core.data.real.json_files import json_lines


def read(place: Place) -> Source:
    path = place.file("toy.jsonl")
    return Source(path, json_lines(path), place.folder)


TOY = DataSet(
    name="toy", task="captions", title="Toy", source="ours", licence="MIT", size="1 KB",
    splits=Fixed({"test": 2}), folder="toy", read=read, layout="toy.jsonl",
)
"""


def test_a_data_set_is_one_file_and_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "toy_data_set.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    toy_data_set = importlib.import_module("toy_data_set")
    monkeypatch.setitem(data_sets.DATA_SETS, "toy", toy_data_set.TOY)  # the line in data_sets
    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    rows = ['{"image": "a.png", "caption": "A dog."}', '{"image": "b.png", "caption": "A cat."}']
    (tmp_path / "toy.jsonl").write_text("\n".join(rows))
    found = real.load_captions("toy", tmp_path)
    assert [item.captions for item in found.items] == [("A dog.",), ("A cat.",)]
    assert "toy test: 2 of 2 items" in capsys.readouterr().out
    assert "| `toy`" in real.table()
    assert "toy.jsonl" in real.describe("toy")
    assert real.get("toy").splits == Fixed({"test": 2})
    sys.modules.pop("toy_data_set")
