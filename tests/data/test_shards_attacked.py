"""Odd WebDataset shards: each row is read right or named, nothing is left out silently."""

import gzip
import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bclip_core.data.real.rows import DataError, LayoutError
from bclip_core.data.real.shards import held_out


def picture(red=200):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (red, 0, 0)).save(file, "JPEG")
    return file.getvalue()


JPEG = picture()
ROW = (("0.jpg", JPEG), ("0.txt", b"A dog."))
NEXT = (("1.jpg", JPEG), ("1.txt", b"A cat."))
ROW_BYTES = 512 + -(-len(JPEG) // 512) * 512 + 1024  # of ROW: two headers, two contents


def packed(*files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def read(folder, content, bad_rows="skip", name="test-0.tar"):
    (folder / name).write_bytes(content)
    found = held_out(str(folder), "test", 100, bad_rows)
    texts = {item.id.partition("/")[2]: item.captions[0] for item in found.items}
    return texts, [f"{place}: {reason}" for place, reason in found.left_out]


@pytest.mark.parametrize(
    "files",
    [
        ROW,
        tuple((f"./{name}", content) for name, content in ROW),
        (("._0.jpg", b"x"), ROW[0], ("._0.txt", b"x"), ROW[1]),
        (("__MACOSX/._0.jpg", b"x"), *ROW, (".DS_Store", b"x")),
        (("0.JPG", JPEG), ("0.TXT", b"A dog.")),
        (ROW[0], ("0.txt", "A dog.".encode("utf-16"))),
        (ROW[0], ("0.txt", b"\xef\xbb\xbfA dog.")),
    ],
)
def test_a_row_is_read_as_users_have_it(tmp_path, files):
    assert read(tmp_path, packed(*files)) == ({"0": "A dog."}, [])


@pytest.mark.parametrize(
    ("content", "kept", "reason"),
    [
        (packed(*ROW) + packed(*NEXT), {"0"}, "it goes on behind its end mark: two archives"),
        (packed(*ROW, *NEXT)[: ROW_BYTES + 100], set(), "damaged header at byte"),
        (packed(*ROW, *NEXT)[:ROW_BYTES], {"0"}, f"no end mark at byte {ROW_BYTES:,}"),
        (
            packed(*ROW, *NEXT)[: 2 * ROW_BYTES],
            {"0", "1"},
            f"no end mark at byte {2 * ROW_BYTES:,}",
        ),
        (gzip.compress(packed(*ROW, *NEXT)[: 2 * ROW_BYTES]), {"0", "1"}, "no end mark at byte"),
        (
            packed(*ROW, *NEXT)[:ROW_BYTES] + b"\xff" * 512 + packed(*NEXT)[512:],
            set(),
            "damaged header at byte 2,560: bad checksum",
        ),
        (b"<html>404</html>", set(), "damaged header at byte 0"),
        (b"", set(), "empty file"),
        (gzip.compress(packed(*ROW, *NEXT))[:-300], set(), "cannot be read on after"),
    ],
)
def test_where_an_archive_is_damaged_that_is_told(tmp_path, content, kept, reason):
    with pytest.raises(DataError, match=reason):
        read(tmp_path, content, "raise")
    if kept:
        found, left_out = read(tmp_path, content)
        assert set(found) == kept
    else:
        left_out = []
        with pytest.raises(LayoutError, match=reason):
            read(tmp_path, content)
    assert all(reason in one for one in left_out)


REASON = "the cut took .txt or .json away, as others have"


def test_a_row_that_a_cut_between_files_left_without_its_text_is_not_read_from_another(tmp_path):
    one, two = ((name, b'{"caption": "An alt text."}') for name in ("0.json", "1.json"))
    whole = packed(ROW[0], one, ROW[1], NEXT[0], two, NEXT[1])
    cut = whole.index(b"1.txt\0")
    found, (shard, row) = read(tmp_path, whole[:cut])
    assert found == {"0": "A dog."}
    assert "cannot be read on after '1': no end mark at byte" in shard
    assert row == f"test-0.tar/1: files ['.jpg', '.json']: {REASON}"
    found, (shard, row) = read(tmp_path, whole[: whole.index(b"1.json\0")])
    assert found == {"0": "A dog."}
    assert row == f"test-0.tar/1: files ['.jpg']: {REASON}"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((ROW[0], ("0.jpg", picture(9)), ROW[1]), r"files ['.jpg']: twice"),
        ((ROW[0], ("0.png", JPEG), ROW[1]), "expected one picture"),
        ((ROW[0], ("0.txt", b"a" * (2 << 20))), "files ['.txt']: larger than what is read"),
        ((ROW[0], ("0.txt", b"caf\xe9")), "expected UTF-8, but byte 0xe9"),
        ((ROW[0], ("0.json", b'{"caption": "A", "caption": "B"}')), "field 'caption' twice"),
        ((ROW[0], ("0.txt", b"A <end_of_text> B")), "is CLIP's own mark"),
        ((ROW[0], ("0.cls", b"3")), "expected a caption"),
    ],
)
def test_a_row_that_cannot_be_meant_is_named(tmp_path, files, reason):
    found, left_out = read(tmp_path, packed(*files, *NEXT))
    assert found == {"1": "A cat."}
    (told,) = left_out
    assert told.startswith("test-0.tar/0: ")
    assert reason in told


IMAGES = [{"bytes": JPEG, "path": "a.jpg"}] * 3
CAPTIONS = ["A dog.", "A cat.", "A cow."]


def table(folder, name="test-0.parquet", image="image", caption="caption", captions=CAPTIONS):
    pq.write_table(pa.table({image: IMAGES[: len(captions)], caption: captions}), folder / name)
    return folder / name


def told(folder, bad_rows="skip"):
    found = held_out(str(folder), "test", 100, bad_rows)
    return [item.captions[0] for item in found.items], [" ".join(one) for one in found.left_out]


def test_columns_are_found_whatever_their_case_and_order(tmp_path):
    table(tmp_path, image="Image", caption="TEXT")
    table(tmp_path, "test-1.parquet", caption="title")  # tables of two tools in one folder
    assert told(tmp_path, "raise") == (CAPTIONS * 2, [])


def test_a_damaged_table_is_named_and_costs_nobody_the_others(tmp_path):
    whole = table(tmp_path, "test-1.parquet").read_bytes()
    no_rows = pa.table({"image": pa.array([], pa.binary()), "caption": pa.array([], pa.string())})
    pq.write_table(no_rows, tmp_path / "test-2.parquet")
    assert told(tmp_path, "raise") == (CAPTIONS, [])
    for content in (b"", whole[:-20], whole[:100] + whole[100:400][::-1] + whole[400:]):
        (tmp_path / "test-0.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"test-0\.parquet: cannot be read on: "):
            told(tmp_path, "raise")
        found, (left,) = told(tmp_path)
        assert found == CAPTIONS
        assert left.startswith(f"{tmp_path}/test-0.parquet cannot be read on: ")


def test_the_mark_of_no_caption_is_no_caption_in_shards_either(tmp_path):
    table(tmp_path, captions=["A dog.", "nan", "None"])
    found, left_out = told(tmp_path)
    assert found == ["A dog."]
    assert [one.split(" is ")[1] for one in left_out] == (
        ["what programs write for none: expected a text"] * 2
    )
    (tmp_path / "tars").mkdir()
    assert read(tmp_path / "tars", packed(ROW[0], ("0.txt", b"NaN"), *NEXT))[0] == {"1": "A cat."}
