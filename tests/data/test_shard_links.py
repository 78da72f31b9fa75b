"""Shards and tables behind links: the same rule as for folders of pictures."""

import gzip
import lzma

import datasets
import pytest

from bclip_core.data.real.rows import DataError, LayoutError
from bclip_core.data.real.shard_files import files_of
from bclip_core.data.real.shards import held_out
from tests.train.test_shards import caption, write_shards


@pytest.fixture
def elsewhere(tmp_path):
    """Four shards of two rows, outside the folder that is read."""
    (tmp_path / "elsewhere").mkdir()
    return write_shards(tmp_path / "elsewhere", 8, 2)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder" / "test").mkdir(parents=True)
    return tmp_path / "folder"


def texts(folder, **how):
    return [item.captions[0] for item in held_out(str(folder), "test", 100, **how).items]


def test_a_shard_behind_a_link_is_read_only_when_asked(folder, elsewhere):
    write_shards(folder / "test", 2)
    (folder / "test" / "00001.tar").symlink_to(elsewhere / "00001.tar")
    with pytest.raises(DataError, match=r'test/00001\.tar: a link leads out of .*links="follow"'):
        texts(folder)
    found = held_out(str(folder), "test", 100, "skip")
    assert [item.captions[0] for item in found.items] == [caption(0), caption(1)]
    (left,) = found.left_out
    assert left.place == "test/00001.tar"
    assert texts(folder, links="follow") == list(map(caption, range(4)))
    (folder / "test" / "00001.tar").unlink()
    (folder / "test" / "00001.tar").symlink_to(folder / "test" / "00000.tar")  # inside is fine
    assert len(texts(folder)) == 4


def test_a_snapshot_of_links_is_read_when_asked(folder, elsewhere):
    for shard in elsewhere.iterdir():
        (folder / f"test-{shard.name}").symlink_to(shard)
    with pytest.raises(DataError, match='links="follow"'):
        files_of(str(folder), "test")
    assert files_of(str(folder), "test", bad_rows="skip")[0] == []
    with pytest.raises(LayoutError, match=r"no row can be used: test-00000\.tar: a link leads out"):
        texts(folder, bad_rows="skip")
    assert texts(folder, links="follow") == list(map(caption, range(8)))


def test_a_folder_that_is_a_link_is_entered_only_when_asked(folder, elsewhere):
    (folder / "test").rmdir()
    (folder / "test").symlink_to(elsewhere)
    with pytest.raises(LayoutError, match=r"\(not read: folder test: a folder that is a link is"):
        texts(folder)
    assert texts(folder, links="follow") == list(map(caption, range(8)))


@pytest.mark.parametrize("links", ["inside", "follow"])
def test_loops_and_links_to_nothing_are_named(folder, links):
    write_shards(folder / "test", 2)
    (folder / "training").symlink_to(folder)
    files, left_out = files_of(str(folder), "test", links)
    assert [file.name for file in files] == ["00000.tar"]
    expected = {"inside": "is not entered", "follow": f"in a circle, to {folder.resolve()}"}
    assert expected[links] in left_out[0]
    for name, target, said in (
        ("b.tar", "b.tar", "links lead in a circle"),
        ("c.tar", "nowhere.tar", "a link to a file that is not there"),
    ):
        (folder / "test" / name).symlink_to(folder / "test" / target)
        with pytest.raises(DataError, match=rf"test/{name}: {said}"):
            files_of(str(folder), "test", links)
        assert said in files_of(str(folder), "test", links, "skip")[1][1]
        (folder / "test" / name).unlink()


def test_tables_follow_the_same_rule(folder, elsewhere):
    table = datasets.Dataset.from_dict({"caption": ["A dog."], "image": [None]})
    table.to_parquet(elsewhere / "data.parquet")
    (folder / "test" / "0.parquet").symlink_to(elsewhere / "data.parquet")
    (folder / "test" / "more").symlink_to(folder)
    with pytest.raises(DataError, match=r"test/0\.parquet: a link leads out of"):
        files_of(str(folder), "test")
    files, left_out = files_of(str(folder), "test", "follow")
    assert [file.name for file in files] == ["0.parquet"]
    assert "in a circle" in left_out[0]


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar.xz", "TAR"])
def test_compressed_shards_are_read_too(folder, elsewhere, ending):
    plain = (elsewhere / "00000.tar").read_bytes()
    pack = {"tar.gz": gzip.compress, "tgz": gzip.compress, "tar.xz": lzma.compress}
    whole = pack.get(ending, bytes)(plain)
    (folder / f"test-0.{ending}").write_bytes(whole)
    assert texts(folder) == [caption(0), caption(1)]
    (folder / f"test-0.{ending}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"test-0\.{ending}: cannot be read on after"):
        texts(folder)
