"""The texts of a large data set stay on disk: memory of fresh processes, measured."""

import datasets
import pytest

from bclip_core.data.stored import StoredRows
from benchmarks.loader_memory import measured

ROWS = 4_000  # held as Python objects they took 22 MB, and a worker grew by 26 in its first pass


def test_texts_take_no_memory_per_row_neither_here_nor_in_a_worker():
    found = measured(ROWS, passes=2)
    assert found["rows"] == ROWS
    assert found["data_set_mb"] <= 15
    first, second = found["worker_mb_per_pass"]
    assert first <= 10  # what a process takes once, and the pages of the file that are open
    assert second <= 10


@pytest.mark.parametrize("kind", ["file", "memory", "both", "chosen"])
def test_stored_rows_are_those_of_the_data_set_however_it_is_kept(tmp_path, kind):
    rows = datasets.Dataset.from_dict({"id": [f"row {n}" for n in range(900)]})
    if kind != "memory":
        rows.save_to_disk(tmp_path / "rows")
        rows = datasets.load_from_disk(tmp_path / "rows")
    if kind == "both":
        rows = rows.add_column("number", list(range(900)))
    if kind == "chosen":
        rows = rows.select([*range(899, -1, -1)])
    stored = StoredRows(rows)
    assert len(stored) == 900
    for _ in range(2):
        assert [stored[n] for n in range(900)] == rows.to_list()
    joined = [name for _, columns in stored.batches() for name in columns["id"]]
    assert joined == rows["id"][:]
