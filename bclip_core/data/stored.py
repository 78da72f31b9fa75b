"""Rows of a data set that stay on disk while a process reads them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import datasets
from datasets.table import MemoryMappedTable

_READ = 20  # rows that are read before the files are closed; of a large data set more:
_SHARE = 400  # one in so many, since opening a large file takes longer
_TOGETHER = 1_000  # rows of a batch


class StoredRows:
    """Rows of a data set by number, without what was read adding up in memory.

    `datasets` maps its files into memory, and each page that was read counts as the process's own
    until the mapping ends: a worker that reads every row seems to hold the whole file, and a limit
    on memory may end it. So the files are opened at the first row that is read, and closed now and
    then. A data set with a column that no file holds stays as it is.

    Args:
        dataset: the columns that are to be read.
    """

    def __init__(self, dataset: datasets.Dataset) -> None:
        self._length = len(dataset)
        self._interval, self._read = max(_READ, len(dataset) // _SHARE), 0
        self._open: datasets.Dataset | None = dataset
        # The names of its files and what was done with them, as another process would get it.
        self._closed = pickle.dumps(dataset) if _is_on_disk(dataset) else None
        self.close()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> dict[str, Any]:
        found: dict[str, Any] = self._opened()[row]
        self._read += 1
        if self._read >= self._interval:
            self.close()
        return found

    def batches(self) -> Iterator[tuple[int, dict[str, list[Any]]]]:
        """All rows in order, some at a time: the number of the first, and their columns."""
        for start in range(0, len(self), _TOGETHER):
            yield start, self._opened()[start : start + _TOGETHER]
            self.close()

    def close(self) -> None:
        """Let go of the pages that were read."""
        self._read = 0
        if self._closed is not None:
            self._open = None

    def _opened(self) -> datasets.Dataset:
        if self._open is None:
            assert self._closed is not None
            self._open = pickle.loads(self._closed)
        return self._open


def _is_on_disk(dataset: datasets.Dataset) -> bool:
    """Whether files hold all columns, so that opening them again copies nothing."""
    table = dataset.data
    parts = [part for row in getattr(table, "blocks", [[table]]) for part in row]
    return all(isinstance(part, MemoryMappedTable) or not part.num_columns for part in parts)
