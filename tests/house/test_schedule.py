"""The order of the tests for several workers."""

from bclip_core.records import REPOSITORY
from tests.schedule import ORDER, rank


def test_every_file_of_the_order_is_there_once():
    assert [name for name in ORDER if not (REPOSITORY / name).is_file()] == []
    assert len(set(ORDER)) == len(ORDER)


def test_files_of_the_order_come_first_and_the_rest_stays_as_it_was():
    files = ["tests/z.py", ORDER[1], "tests/a.py", ORDER[0], "notebooks/x.ipynb", ORDER[1]]
    assert sorted(files, key=rank) == [
        ORDER[0], ORDER[1], ORDER[1], "notebooks/x.ipynb", "tests/z.py", "tests/a.py",
    ]  # fmt: skip
