"""Rows of annotation files: read whole, read in pieces, and named when they are wrong."""

import json
import re

import pytest

from bclip_core.data.real import CaptionedImage, DataError, LayoutError, json_files
from bclip_core.data.real.folder import PictureRoot
from bclip_core.data.real.json_files import json_array, json_lines, whole_json
from bclip_core.data.real.rows import (
    MissingPicture,
    Options,
    Row,
    RowError,
    field_of,
    gather,
    text_of,
)

ROWS = [{"n": n, "text": 'a "quoted", [bracketed] \\ text é\n' * n} for n in range(12)]


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_read_the_same_in_pieces_of_any_size(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_files, "_CHUNK", chunk)
    path = tmp_path / "rows.json"
    path.write_text(f" \n{json.dumps(ROWS, indent=indent)}\n", encoding="utf-8")
    found = list(json_array(path))
    assert [row.value() for row in found] == ROWS == whole_json(path, list)
    assert [row.place for row in found][:2] == ["row 0", "row 1"]


def test_the_start_of_an_array_is_read_without_its_end(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('[{"n": 0},\n{"n": 1}, broken')
    rows = json_array(path)
    assert [next(rows).value(), next(rows).value()] == [{"n": 0}, {"n": 1}]
    place, value = next(rows)
    assert place == "line 2"
    with pytest.raises(RowError, match=r"broken JSON in row 2 \(lexical.*nothing after it is read"):
        value()
    assert list(rows) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: broken JSON in row 0 .*premature EOF"),
        ('{"a": 1}', "line 1: '{': expected '\\['"),
        ('[\n{"a": 1}\n', "line 3: broken JSON in row 1 .*premature EOF"),
        ('[\n{"a": 1}\n{"a": 2}]', "line 3: broken JSON in row 1 .*expect ',' or '\\]'"),
        ('[\n{"a": 1},\n\n{"a": tru}]', "line 4: broken JSON in row 1"),
        ('[{"a": 1},]', "line 1: broken JSON in row 1"),
        ('[{"a": 1}]\n\n[{"a": 2}]', "line 3: after the array's end, 1 rows"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_a_broken_array_is_named_with_its_line(tmp_path, monkeypatch, chunk, text, message):
    monkeypatch.setattr(json_files, "_CHUNK", chunk)
    path = tmp_path / "rows.json"
    path.write_text(text)
    *whole, last = json_array(path)
    with pytest.raises(RowError) as error:
        last.value()
    assert re.search(message, f"{last.place}: {error.value}")
    assert [row.value() for row in whole] == (
        [{"a": 1}] if text.startswith("[") and '"a": 1}' in text else []
    )


def test_an_empty_array_has_no_rows(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text("[ ]")
    assert list(json_array(path)) == []


def test_a_whole_file_of_another_type_is_refused(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text("[1, 2")
    with pytest.raises(DataError, match=r"rows\.json: broken JSON at line 1"):
        whole_json(path, list)
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="expected a JSON dict at the top, found a list"):
        whole_json(path, dict)


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ("text", str, "'text': expected a dictionary"),
        ({"b": 1, "c": 2}, str, "no field 'a'; it has b, c"),
        ({"a": 1}, str, "a=1: expected a text"),
        ({"a": "x"}, list, "a='x': expected a list"),
        ({"a": None}, int, "a=None: expected a whole number"),
        ({"a": True}, int, "a=True: expected a whole number"),
        ({"a": "1"}, float, "a='1': expected a number"),
    ],
)
def test_fields_are_checked_by_name_and_type(row, kind, message):
    with pytest.raises(RowError, match=message):
        field_of(row, "a", kind)


@pytest.mark.parametrize("value", [None, 3, "", " \n", ["a"], float("nan")])
def test_a_text_is_a_text(value):
    with pytest.raises(RowError, match="caption=.*: expected a text that is not empty"):
        text_of(value, "caption")
    assert text_of(" a\n  b\tc ", "caption") == "a b c"


def test_texts_that_no_file_can_hold_are_refused(tmp_path):
    half = json.loads('"a \\ud800 b"')
    with pytest.raises(RowError, match="caption=.*: half a character"):
        text_of(half, "caption")
    with pytest.raises(RowError, match="picture=.*: half a character"):
        PictureRoot(tmp_path).path(half)


def test_what_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(DataError, match=r"rows\.json.*: expected UTF-8"):
        whole_json(path, list)
    (row,) = json_array(path)
    with pytest.raises(RowError, match="expected UTF-8"):
        row.value()
    path.write_bytes(b'{"a": "\xff"}\n')
    (row,) = json_lines(path)
    with pytest.raises(RowError, match="expected UTF-8"):
        row.value()
    path.write_bytes(b"[" * 100_000)
    (row,) = json_lines(path)
    with pytest.raises(RowError, match="nested too deep|broken JSON"):
        row.value()


def item(row, drop):
    return CaptionedImage(field_of(row, "id", str), b"", (text_of(row.get("caption"), "caption"),))


def rows_of(tmp_path, *lines):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path, json_lines(path)


def test_bad_rows_stop_or_are_left_out_named(tmp_path):
    lines = ['{"id": "a", "caption": "A."}', "", "{", '{"id": "b", "caption": 7}']
    lines += ['{"id": "a", "caption": "B."}', '{"id": "c", "caption": "C."}']
    path, rows = rows_of(tmp_path, *lines)
    with pytest.raises(DataError, match=r"rows\.jsonl, line 3: broken JSON .* for example RIGHT"):
        gather(path, rows, item, Options(example="RIGHT"))
    items, left_out = gather(path, json_lines(path), item, Options(on_error="skip"))
    assert [found.id for found in items] == ["a", "c"]
    assert [place for place, _ in left_out] == ["line 3", "line 4", "line 5"]
    assert "caption=7: expected a text" in left_out[1].reason
    assert "id 'a' is taken by line 1: expected each id once" in left_out[2].reason


def test_known_faults_are_left_out_and_no_others(tmp_path):
    def build(row, drop):
        raise RowError(f"picture {row!r}: caption='': expected a text")

    options = Options(known={"b": "known fault"})
    path = tmp_path / "rows.json"
    _, left_out = gather(path, [Row("row 0", lambda: "b")], build, options)
    assert left_out[0].reason.endswith("expected a text (known fault)")
    with pytest.raises(DataError, match="row 0: picture 'bb'"):
        gather(path, [Row("row 0", lambda: "bb")], build, options)


@pytest.mark.parametrize("name", ["missing", "on_error"])
def test_unknown_treatment_lists_the_known(name):
    with pytest.raises(ValueError, match=f"{name}='no': expected one of 'raise', 'skip'"):
        Options(**{name: "no"})


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    (root / "a").mkdir(parents=True)
    (root / "a" / "1.jpg").write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.jpg").write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../outside/secret.jpg", "a/../../outside/secret.jpg", "/etc/passwd", "a\0b"],
)
def test_a_name_that_climbs_out_is_refused(folder, name):
    with pytest.raises(RowError, match="expected a path inside"):
        PictureRoot(folder).path(name)


def test_a_link_that_leads_out_is_refused(folder):
    (folder / "link.jpg").symlink_to(folder.parent / "outside" / "secret.jpg")
    (folder / "b").symlink_to(folder.parent / "outside")
    for look in (True, False):
        pictures = PictureRoot(folder, look)
        for name in ("link.jpg", "b/secret.jpg"):
            with pytest.raises(RowError, match="a link leads out of .*, which is refused"):
                pictures.path(name)


def test_links_inside_and_a_folder_that_is_a_link_are_fine(folder):
    (folder / "b.jpg").symlink_to(folder / "a" / "1.jpg")
    (folder.parent / "linked").symlink_to(folder)
    for root in (folder, folder.parent / "linked"):
        pictures = PictureRoot(root)
        assert pictures.path("b.jpg").read_bytes() == b"x"
        assert pictures.path("a/1.jpg") == root / "a" / "1.jpg"
        assert pictures.path(str(root / "a" / "1.jpg")) == root / "a" / "1.jpg"


def test_pictures_are_looked_for_only_when_asked(folder):
    with pytest.raises(MissingPicture, match=r"2\.jpg"):
        PictureRoot(folder).path("a/2.jpg")
    assert PictureRoot(folder, look=False).path("a/2.jpg") == folder / "a" / "2.jpg"
    with pytest.raises(MissingPicture):
        PictureRoot(folder).path("n" * 5000 + ".jpg")
    with pytest.raises(LayoutError, match="nowhere: expected the folder of the pictures"):
        PictureRoot(folder / "nowhere")
    assert PictureRoot(folder / "nowhere", look=False).path("a.jpg").name == "a.jpg"
