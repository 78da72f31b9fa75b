"""Files that belong together: whenever it is killed, all are old or all are new."""

import itertools
import os
import shutil
from pathlib import Path

import pytest

from bclip_core.records.together import promotion_of, put_together, refuse_half, take_back

STEPS = (
    (os, "replace"),
    (shutil, "copyfile"),
    (shutil, "rmtree"),
    (Path, "rename"),
    (Path, "mkdir"),
)
OLD = {"a.bin": "old weights", "b.json": "old record"}
NEW = {"a.bin": "new weights", "b.json": "new record", "c.txt": "new file"}


class Killed(BaseException):
    pass


def killed_at(step, work):
    """Whether `work` was killed before its `step`-th step on disk; the dead take no other."""
    taken = itertools.count()

    def dying(do):
        def one(*arguments, **options):
            if next(taken) >= step:
                raise Killed
            return do(*arguments, **options)

        return one

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, dying(getattr(owner, name)))
        try:
            work()
        except Killed:
            return True
    return False


def held(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def folders(tmp_path):
    for name, files in (("place", OLD), ("fresh", NEW)):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    return tmp_path / "place", sorted((tmp_path / "fresh").iterdir())


def test_killed_at_any_step_all_are_old_or_all_are_new(folders):
    place, fresh = folders
    work, before = promotion_of(place)
    seen = list[dict[str, str]]()
    for step in itertools.count():
        shutil.rmtree(work, ignore_errors=True)
        for name in NEW:
            (place / name).unlink(missing_ok=True)
        for name, text in OLD.items():
            (place / name).write_text(text)
        killed = killed_at(step, lambda: put_together(fresh, place, work))
        if held(place) not in (OLD, NEW):
            with pytest.raises(ValueError, match=r"was broken off: run make it again"):
                refuse_half(place, "make it")
        again = 0
        while killed_at(again, lambda: take_back(place, work)):
            again += 1  # who clears up is killed, too, each time a step later
        assert held(place) in (OLD, NEW), step
        assert not work.exists()
        assert not before.exists()
        seen.append(held(place))
        if not killed:
            break
    assert len(seen) > 10
    assert seen == [OLD] * seen.index(NEW) + [NEW] * (len(seen) - seen.index(NEW))


def test_a_failure_leaves_the_old_ones(folders):
    place, fresh = folders
    work, _ = promotion_of(place)
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        put_together([*fresh, place / "nowhere"], place, work)
    assert held(place) == OLD
    assert not work.exists()
