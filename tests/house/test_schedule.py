"""No test is lost by the order, and every file that it names is there."""

from bclip_core.records import REPOSITORY
from tests.schedule import LONG, long_first


def test_long_files_are_there():
    assert [name for name in LONG if not (REPOSITORY / "tests" / name).is_file()] == []
    assert len(set(LONG)) == len(LONG)


def test_each_half_begins_with_long_files_and_every_test_is_kept():
    files = [f"a/test_{n // 10}.py" for n in range(100)]
    files[40:46] = [LONG[2], LONG[2], LONG[0], LONG[1], LONG[1], LONG[3]]
    order = long_first(files)
    assert sorted(order) == list(range(100))
    assert [files[place] for place in order[:2]] == [LONG[0], LONG[3]]
    assert [files[place] for place in order[50:54]] == [LONG[1], LONG[1], LONG[2], LONG[2]]
    others = [place for place in order if files[place] not in LONG]
    assert others == sorted(others)


def test_long_files_alone_and_short_ones_alone_keep_all():
    assert long_first([]) == []
    assert long_first(["a.py"] * 3) == [0, 1, 2]
    assert sorted(long_first([LONG[0]] * 5 + [LONG[1]])) == list(range(6))
