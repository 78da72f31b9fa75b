"""Odd inputs for every reader: each is read right or named, nothing silently."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, features

from bclip_core.data import real
from bclip_core.data.images import SUFFIXES, list_pictures
from bclip_core.data.real import DataError, LayoutError
from bclip_core.data.real.folder import LARGEST_CAPTION
from bclip_core.data.real.json_files import _CHUNK, LONGEST_LINE, json_array
from bclip_core.data.real.rows import RowError
from bclip_core.data.real.sharegpt4v import FILE
from bclip_core.evaluation.measure import is_complete

SKIP = {"on_error": "skip", "missing": "skip"}
TOKEN = "results_20130124.token"


def picture(path, kind="JPEG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16)).save(path, kind)


def written(folder, files):
    """Files by name: texts, bytes, or what becomes JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, bytes):
            text = content if isinstance(content, str) else json.dumps(content)
            content = text.encode()
        path.write_bytes(content)
    return folder


def load(name, place, **options):
    if name == "fgovd":
        return real.load_regions(name, place, "hard", **options)
    split = "train" if name == "pairs" else options.pop("split", "test")
    return real.load_captions(name, place, split, **options)


def reasons(found):
    return {place: reason for place, reason in found.left_out}


def texts(found):
    return {item.id: item.captions for item in found.items}


def refused_and_skipped(name, place, words, **options):
    """The set without its bad rows, after the first of them was refused with these words."""
    with pytest.raises((DataError, LayoutError), match=words) as error:
        load(name, place, **options)
    assert "\n" not in str(error.value).split("; expected layout")[0]
    found = load(name, place, **options, **SKIP)
    assert any(words in reason for _, reason in found.left_out)
    return found


# ---------------------------------------------------------------------------- pairs


def test_of_two_texts_of_a_picture_the_second_is_named(tmp_path):
    picture(tmp_path / "x.jpg")
    written(tmp_path, {"x.txt": "small", "x.TXT": "capital"})
    found = refused_and_skipped("pairs", tmp_path, "two texts")
    assert texts(found) == {"x.jpg": ("small",)}
    assert list(reasons(found)) == ["text x.TXT"]


@pytest.mark.parametrize(("ending", "kind"), [("avif", "AVIF"), ("jp2", "JPEG2000")])
def test_modern_pictures_are_read_where_pillow_can(tmp_path, ending, kind):
    if not features.check({"jp2": "jpg_2000"}.get(ending, ending)):
        assert f".{ending}" not in SUFFIXES
        return
    picture(tmp_path / f"x.{ending}", kind)
    written(tmp_path, {"x.txt": "A dog."})
    found = load("pairs", tmp_path)
    assert texts(found) == {f"x.{ending}": ("A dog.",)}
    assert real.training_rows(found)[0]["image"].size == (16, 16)
    assert list_pictures(tmp_path).total == 1


def test_what_is_not_read_in_a_folder_is_named(tmp_path):
    picture(tmp_path / "x.jpg")
    unread = ("h.HEIC", "v.svg", "metadata.jsonl.gz", "rows.xlsx", "00000.tar", "other.csv")
    written(tmp_path, {"x.txt": "A dog."} | dict.fromkeys(unread, b"?"))
    found = load("pairs", tmp_path)
    assert texts(found) == {"x.jpg": ("A dog.",)}
    assert set(reasons(found)) == {f"file {name}" for name in unread}
    assert list_pictures(tmp_path).unread == ("h.HEIC", "v.svg")


def test_a_folder_of_unread_pictures_says_so(tmp_path):
    written(tmp_path, {"x.heic": b"?", "x.txt": "A dog."})
    with pytest.raises(LayoutError, match=r"not read: x\.heic"):
        load("pairs", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"not read: x\.heic"):
        list_pictures(tmp_path)


def test_pictures_that_no_row_names_are_named(tmp_path, capsys):
    for name in ("x.jpg", "sub/y.jpg", "z.jpg", "w.jpg"):
        picture(tmp_path / name)
    rows = [{"image": "x.jpg"}, {"image": "sub\\y.jpg"}, {"image": f"{tmp_path}/w.jpg"}]
    lines = [json.dumps(row | {"caption": "A dog."}) for row in rows]
    written(tmp_path, {"metadata.jsonl": "\n".join(lines), "metadata.csv": "image,caption\n"})
    found = load("pairs", tmp_path)
    assert reasons(found) == {"picture z.jpg": "no row of metadata.jsonl names it"}
    assert "metadata.jsonl is read; not metadata.csv beside it" in capsys.readouterr().out
    assert load("pairs", tmp_path / "metadata.jsonl").left_out == ()


@pytest.mark.parametrize("stored", ["path", "bytes", "bare"])
def test_pictures_in_parquet_in_every_form(tmp_path, stored):
    picture(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    image = {
        "path": {"bytes": None, "path": "x.jpg"},
        "bytes": {"bytes": content, "path": None},
        "bare": content,
    }
    table = pa.table({"image": [image[stored]], "caption": [["One.", "Two."]]})
    pq.write_table(table, tmp_path / "mine.parquet")
    (item,) = load("pairs", tmp_path / "mine.parquet").items
    assert item.captions == ("One.", "Two.")
    assert item.image == (tmp_path / "x.jpg" if stored == "path" else content)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("\"['A dog.', 'A pet']\"", ("A dog.", "A pet")),  # as pandas writes lists
        ('"[""A dog."", ""It\'s \\u00e9.""]"', ("A dog.", "It's é.")),
        ("\"['A dog.', 5]\"", ("['A dog.', 5]",)),
        ("['Sale'] says a sign", ("['Sale'] says a sign",)),
    ],
)
def test_a_list_that_a_table_holds_as_a_text_is_a_list(tmp_path, cell, expected):
    picture(tmp_path / "x.jpg")
    written(tmp_path, {"mine.csv": f"image,caption\nx.jpg,{cell}\n"})
    assert texts(load("pairs", tmp_path / "mine.csv")) == {"x.jpg": expected}


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_in_json_costs_its_row_alone(tmp_path, value):
    for name in "xyz":
        picture(tmp_path / f"{name}.jpg")
    rows = [
        '{"image": "x.jpg", "caption": "NaN \\"-Infinity"}',
        f'{{"image": "y.jpg", "caption": {value}}}',
        f'{{"image": "z.jpg", "caption": "A dog.", "score": [{value},{value}]}}',
    ]
    written(tmp_path, {"metadata.json": f"[{', '.join(rows)}]"})
    found = refused_and_skipped("pairs", tmp_path, "caption=None")
    assert texts(found) == {"x.jpg": ('NaN "-Infinity',), "z.jpg": ("A dog.",)}


def test_such_words_are_found_wherever_a_piece_ends(tmp_path):
    path = tmp_path / "rows.json"
    for filling in range(_CHUNK - 24, _CHUNK + 2):
        path.write_text(f'["{"x" * filling}", -Infinity, "NaN\\\\", NaN, "Infinity"]')
        values = [row.value() for row in json_array(path)]
        assert values[1:] == [None, "NaN\\", None, "Infinity"]
    path.write_text('[NaN,\n1,\n"a",\n}')
    *_, last = json_array(path)
    assert last.place == "line 4"
    with pytest.raises(RowError, match="broken JSON"):
        last.value()


@pytest.mark.parametrize(
    "mark", ["<end_of_text>", "<Start_Of_Text>", "&lt;end_of_text&gt;", "＜end_of_text＞"]
)
def test_a_mark_that_would_end_a_text_is_named(tmp_path, mark):
    for name in ("x.jpg", "y.jpg"):
        picture(tmp_path / name)
    written(tmp_path, {"x.txt": f"A dog {mark} and a cat.", "y.txt": "A <b>dog</b> & a cat."})
    found = refused_and_skipped("pairs", tmp_path, "is CLIP's own mark")
    assert texts(found) == {"y.jpg": ("A <b>dog</b> & a cat.",)}


# ---------------------------------------------------------------------------- COCO


def coco(folder, images, annotations):
    for name in "12":
        picture(folder / "val2017" / f"{name}.jpg")
    body = {"images": images, "annotations": annotations}
    if isinstance(images, str):
        body = f'{{"images": {images}, "annotations": {annotations}}}'
    return written(folder, {"annotations/captions_val2017.json": body})


def image(number, name=None):
    return {"id": number, "file_name": name or f"{number}.jpg"}


def note(number, of, caption="A dog."):
    return {"id": number, "image_id": of, "caption": caption}


@pytest.mark.parametrize("kind", [float, str, lambda number: f"000{number}"])
def test_numbers_of_coco_may_be_floats_and_texts(tmp_path, kind):
    images = [image(kind(1), "1.jpg"), image(2, "2.jpg")]
    coco(tmp_path, images, [note(kind(12), kind(1), "b"), note(2, kind(2)), note(3, 1, "a")])
    assert texts(load("coco", tmp_path)) == {
        "val2017/1.jpg": ("a", "b"),
        "val2017/2.jpg": ("A dog.",),
    }


def test_names_that_hold_their_folder_are_found(tmp_path):
    coco(tmp_path, [image(1, "val2017/1.jpg")], [note(1, 1)])
    assert list(texts(load("coco", tmp_path))) == ["val2017/1.jpg"]


@pytest.mark.parametrize(
    ("images", "annotations", "words"),
    [
        ([image(1), image(1, "2.jpg")], [note(1, 1)], "id=1 twice under 'images'"),
        ([image(1)], [note(1, 1), note(1, 1)], "id=1 twice under 'annotations'"),
        ([image(1)], [note(1, 1), note("1", 1, "b")], "id=1 twice under 'annotations'"),
        ([image(1), image(float("nan"), "2.jpg")], [note(1, 1)], "id=nan"),
        ([image(1), image(True, "2.jpg")], [note(1, 1)], "id=True"),
        (
            '[{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg", "id": 1}]',
            '[{"id": 1, "image_id": 1, "caption": "A dog."}]',
            "field 'id' twice",
        ),
        (
            '[{"id": 1, "file_name": "1.jpg"}]',
            '[{"id": 1, "image_id": 1, "caption": "A dog."},'
            ' {"id": 2, "image_id": 1, "caption": "a", "caption": "b"}]',
            "field 'caption' twice",
        ),
    ],
)
def test_what_coco_has_twice_is_named(tmp_path, images, annotations, words):
    coco(tmp_path, images, annotations)
    found = refused_and_skipped("coco", tmp_path, words)
    assert texts(found) == {"val2017/1.jpg": ("A dog.",)}


def test_a_part_that_is_there_twice_is_refused(tmp_path):
    coco(tmp_path, '[], "images": []', "[]")
    with pytest.raises(DataError, match="field 'images' twice"):
        load("coco", tmp_path, **SKIP)


# ---------------------------------------------------------------------------- Flickr30k


def flickr(folder, files):
    for name in "12":
        picture(folder / "flickr30k-images" / f"{name}.jpg")
    return written(folder, files)


def test_the_published_table_is_read_by_its_numbers(tmp_path):
    lines = "1.jpg#1\tTwo\u2028and\x85more.\r\n1.jpg#0\tOne.\r\n\r\n2.jpg#0\tA\ttab.\r\n\r\n"
    found = load("flickr30k", flickr(tmp_path, {TOKEN: lines}), split="all")
    assert texts(found) == {
        "flickr30k-images/1.jpg": ("One.", "Two and more."),
        "flickr30k-images/2.jpg": ("A tab.",),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [("2.jpg#0\tOther.", "twice"), ("2.jpg#a\tOne.", "NAME#NUMBER"), ("1.jpg", "NAME#NUMBER")],
)
def test_lines_of_the_published_table_that_cannot_be_meant(tmp_path, line, words):
    flickr(tmp_path, {TOKEN: f"2.jpg#0\tOne.\n{line}\n"})
    found = refused_and_skipped("flickr30k", tmp_path, words, split="all")
    assert texts(found) == {"flickr30k-images/2.jpg": ("One.",)}
    assert reasons(found).keys() == {"line 2"}


def karpathy(name, split="test"):
    return {"filename": name, "split": split, "sentences": [{"raw": "A dog."}]}


@pytest.mark.parametrize("split", ["Test", "validation", ""])
def test_a_split_that_karpathys_file_has_not_is_named(tmp_path, split):
    body = {"images": [karpathy("1.jpg", split), karpathy("2.jpg"), karpathy("3.jpg", "train")]}
    flickr(tmp_path, {"dataset_flickr30k.json": body})
    found = refused_and_skipped("flickr30k", tmp_path, f"split={split!r}")
    assert list(texts(found)) == ["flickr30k-images/2.jpg"]


def test_a_second_form_beside_the_first_is_said_to_be_unread(tmp_path, capsys):
    listed = [{"image": "flickr30k-images/1.jpg", "caption": ["A dog."]}]
    own, whole = "flickr30k_test.json", "dataset_flickr30k.json"
    flickr(tmp_path, {own: listed, whole: {"images": [karpathy("2.jpg")]}})
    assert list(texts(load("flickr30k", tmp_path))) == ["flickr30k-images/1.jpg"]
    assert f"{own} is read; not {whole} beside it" in capsys.readouterr().out


# ---------------------------------------------------------------------------- DOCCI, DCI, Urban-1K


@pytest.mark.parametrize("split", ["Test", "validation", None])
def test_a_split_that_docci_has_not_is_named(tmp_path, split):
    lines = []
    for number, named in ((1, split), (2, "test"), (3, "train")):
        picture(tmp_path / "images" / f"{number}.jpg")
        row = {"split": named, "image_file": f"{number}.jpg", "description": "A dog."}
        lines.append(json.dumps(row))
    written(tmp_path, {"docci_descriptions.jsonlines": "\n".join(lines)})
    found = refused_and_skipped("docci", tmp_path, f"split={split!r}")
    assert list(texts(found)) == ["2.jpg"]


def test_files_between_dcis_are_named(tmp_path):
    picture(tmp_path / "photos" / "1.jpg")
    row = {"image": "1.jpg", "short_caption": "A dog.", "extra_caption": "It runs."}
    packed = gzip.compress(json.dumps(row).encode())
    written(tmp_path / "annotations", {"1.json": row, "2.json.gz": packed, "more/3.json": row})
    found = load("dci", tmp_path)
    assert texts(found) == {"1.jpg": ("A dog. It runs.",)}
    assert set(reasons(found)) == {"file 2.json.gz", "file more"}


def test_pictures_of_urban1k_with_other_endings_are_found(tmp_path):
    for name in ("1.JPG", "2.png", "3.jpg", "3.png", "4.jpeg"):
        picture(tmp_path / "image" / name)
    captions = {f"{number}.txt": f"Street {number}." for number in (1, 2, 3)}
    written(tmp_path / "caption", captions | {"4.txt.gz": b"?"})
    found = load("urban1k", tmp_path)
    assert texts(found) == {
        "1.JPG": ("Street 1.",),
        "2.png": ("Street 2.",),
        "3.jpg": ("Street 3.",),
    }
    assert set(reasons(found)) == {"file 4.txt.gz", "picture 3.png", "picture 4.jpeg"}


def test_a_second_caption_of_urban1k_is_named(tmp_path):
    picture(tmp_path / "image" / "1.jpg")
    written(tmp_path / "caption", {"1.TXT": "Capital.", "1.txt": "Small."})
    found = refused_and_skipped("urban1k", tmp_path, "second caption")
    assert len(found) == 1


def test_the_first_line_ends_where_a_line_ends(tmp_path):
    picture(tmp_path / "image" / "1.jpg")
    written(tmp_path / "caption", {"1.txt": "First\u2028still\x0bfirst.\r\nSecond."})
    found = load("urban1k", tmp_path, lines="first")
    assert texts(found) == {"1.jpg": ("First still first.",)}


def test_a_field_twice_in_a_list_is_named(tmp_path):
    picture(tmp_path / "image" / "1.jpg")
    rows = '[{"image": "1.jpg", "caption": "a"}, {"image": "1.jpg", "caption": "b", "caption": ""}]'
    written(tmp_path, {"annotations.json": rows})
    found = refused_and_skipped("urban1k", tmp_path, "field 'caption' twice")
    assert texts(found) == {"1.jpg": ("a",)}


# ---------------------------------------------------------------------------- ShareGPT4V, FG-OVD


@pytest.mark.parametrize("turn", [5, None, "from gpt", [], {"from": 1, "value": "A"}, {}])
def test_a_turn_that_is_none_is_a_named_row(tmp_path, turn):
    for name in ("coco/1.jpg", "coco/2.jpg"):
        picture(tmp_path / name)
    answer = {"from": "GPT ", "value": "<image>\nA dog."}
    rows = [{"image": f"coco/{n}.jpg", "conversations": said} for n, said in
            ((1, [turn, answer]), (2, [answer]))]  # fmt: skip
    written(tmp_path, {FILE: rows})
    found = refused_and_skipped("sharegpt4v", tmp_path, "coco/1.jpg")
    assert texts(found) == {"coco/2.jpg": ("A dog.",)}


def region(number, **fields):
    return {
        "img_path": "val2017/1.jpg", "bbox": [0, 0, 8, 8], "pos_expression": ["A red bus."],
        "neg_expression": ["A blue bus."], "width": 16, "height": 16, "sent_id": number,
    } | fields  # fmt: skip


def regions(folder, rows):
    picture(folder / "coco" / "val2017" / "1.jpg")
    written(folder / "fgovd", {"h_attributes_llava.jsonl": "\n".join(map(json.dumps, rows))})
    return folder / "fgovd"


@pytest.mark.parametrize(
    "odd",
    [
        {"bbox": [0, 0, 10**400, 8]}, {"width": 10**400}, {"bbox": ["0", "0", "1e400", "8"]},
        {"bbox": [0, 0, float("nan"), 8]}, {"bbox": {"x": 0}}, {"bbox": [[0, 0, 8, 8]]},
        {"width": float("inf")}, {"neg_expression": "A blue bus."}, {"neg_expression": []},
        {"pos_expression": [{}]}, {"img_path": 5}, {"img_path": "x" * 5000}, {"width": 8},
    ],
)  # fmt: skip
def test_a_region_that_cannot_be_meant_is_a_named_row(tmp_path, odd):
    place = regions(tmp_path, [region(1, **odd), region(2)])
    with pytest.raises((DataError, LayoutError), match="line 1"):
        load("fgovd", place)
    found = load("fgovd", place, **SKIP)
    assert list(texts(found)) == ["2"]
    assert list(reasons(found)) == ["line 1"]


def test_regions_without_numbers_are_not_one_region(tmp_path):
    found = load("fgovd", regions(tmp_path, [region(None), region(None), region(7)]))
    assert list(texts(found)) == ["row 0", "row 1", "7"]


def test_one_number_in_two_forms_is_one_number(tmp_path):
    found = refused_and_skipped("fgovd", regions(tmp_path, [region(1.0), region("1")]), "id '1'")
    assert list(texts(found)) == ["1"]


def lvis(folder, **changes):
    picture(folder / "coco" / "val2017" / "1.jpg")
    body = {
        "images": [{"id": 1, "file_name": "val2017/1.jpg", "width": 16, "height": 16}],
        "categories": [{"id": 1, "name": "A red bus."}, {"id": 2, "name": "A blue bus."}],
        "annotations": [],
    }
    for name, rows in changes.items():
        body[name] = body[name] + rows
    written(folder / "fgovd", {"1_attributes.json": body})
    return folder / "fgovd"


def annotation(number, **fields):
    return {
        "id": number, "image_id": 1, "category_id": 1, "neg_category_ids": [2], "bbox": [0, 0, 8, 8]
    } | fields  # fmt: skip


@pytest.mark.parametrize("negatives", [[[2]], [{"id": 2}], [float("nan")], [None], 2, None, [9]])
def test_negatives_that_are_no_numbers_are_a_named_row(tmp_path, negatives):
    odd = [annotation(1, neg_category_ids=negatives), annotation(2)]
    found = refused_and_skipped("fgovd", lvis(tmp_path, annotations=odd), "categor")
    assert list(texts(found)) == ["2"]


@pytest.mark.parametrize(
    ("part", "second"),
    [
        ("categories", {"id": 1, "name": "A green bus."}),
        ("images", {"id": 1.0, "file_name": "val2017/2.jpg", "width": 16, "height": 16}),
    ],
)
def test_a_second_entry_of_a_number_does_not_win_silently(tmp_path, part, second):
    place = lvis(tmp_path, **{part: [second], "annotations": [annotation(1)]})
    found = refused_and_skipped("fgovd", place, "expected each id once")
    assert texts(found) == {"1": ("A red bus.", "A blue bus.")}


def test_two_names_of_a_class_are_refused(tmp_path):
    picture(tmp_path / "n01443537" / "a.JPEG")
    written(tmp_path, {"README.txt": "n01443537 goldfish\nn01443537 shark\n"})
    with pytest.raises(DataError, match="n01443537 is 'goldfish' and 'shark'"):
        real.load_labelled("imagenet-o", tmp_path)


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("", "premature EOF"),
        (', {"image": "z.jpg", "capt', "premature EOF"),
        (', {"image": "z.jpg", "caption": tru}]', "broken JSON in row 2"),
        ('] {"image": "z.jpg", "caption": "A cow."}', "after the array's end, 2 rows"),
    ],
)
def test_of_an_array_that_breaks_off_the_whole_rows_are_read_and_the_rest_is_told(
    tmp_path, rest, why
):
    for name in "xyz":
        picture(tmp_path / f"{name}.jpg")
    rows = '[{"image": "x.jpg", "caption": "A cat."}, {"image": "y.jpg", "caption": "A dog."}'
    written(tmp_path, {"metadata.json": rows + rest})
    found = refused_and_skipped("pairs", tmp_path, why)
    assert texts(found) == {"x.jpg": ("A cat.",), "y.jpg": ("A dog.",)}
    assert "nothing after it is read" in found.left_out[-1].reason
    assert not is_complete(found)


@pytest.mark.parametrize("name", ["x.txt", "x.jpg", "metadata.jsonl"])
@pytest.mark.parametrize("target", ["/dev/zero", "itself", "pipe", "nowhere"])
def test_what_is_no_file_behind_a_link_is_named_and_not_waited_for(tmp_path, name, target):
    picture(tmp_path / "ok.jpg")
    picture(tmp_path / "x.jpg")
    if name == "metadata.jsonl":
        where = tmp_path / name
    else:
        written(tmp_path, {"ok.txt": "A cat.", "x.txt": "A dog."})
        where = tmp_path / name
        where.unlink()
    if target == "pipe":
        os.mkfifo(where)
    else:
        where.symlink_to(name if target == "itself" else target)
    if name == "metadata.jsonl":
        if target != "nowhere":  # which is as good as no table
            with pytest.raises((DataError, LayoutError), match=r"metadata\.jsonl"):
                load("pairs", tmp_path, links="follow", on_error="skip", missing="skip")
        return
    found = load("pairs", tmp_path, links="follow", on_error="skip", missing="skip")
    assert texts(found) == {"ok.jpg": ("A cat.",)}
    assert any("x.jpg" in reason for _, reason in found.left_out)


def test_a_picture_that_links_to_itself_costs_nobody_the_others(tmp_path):
    picture(tmp_path / "ok.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.png").symlink_to("nowhere")
    found = list_pictures(tmp_path)
    assert ([path.name for path in found.paths], found.total) == (["ok.jpg"], 1)
    assert found.unread == ("gone.png", "loop.jpg")


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_file_without_ends_of_lines_is_never_held_whole(tmp_path, name):
    picture(tmp_path / "0.jpg")
    begin = {"metadata.jsonl": '{"image": "0.jpg", "caption": "A dog."}\n',
             "metadata.csv": "image,caption\n0.jpg,A dog.\n"}[name]  # fmt: skip
    written(tmp_path, {name: begin})
    os.truncate(tmp_path / name, 3 * LONGEST_LINE)  # as a full disk leaves it: zeros
    found = load("pairs", tmp_path, **SKIP)
    assert texts(found) == {"0.jpg": ("A dog.",)}
    ((place, reason),) = reasons(found).items()
    assert place.startswith("line ")
    assert reason == f"more than {LONGEST_LINE:,} bytes: expected a row"
    with pytest.raises(DataError, match="more than 16,777,216 bytes: expected a row"):
        load("pairs", tmp_path)


def test_a_text_that_is_no_caption_by_its_size_is_named(tmp_path):
    picture(tmp_path / "0.jpg")
    picture(tmp_path / "1.jpg")
    written(tmp_path, {"0.txt": "A dog.", "1.txt": "A cat."})
    os.truncate(tmp_path / "1.txt", LARGEST_CAPTION + 1)
    found = load("pairs", tmp_path, **SKIP)
    assert texts(found) == {"0.jpg": ("A dog.",)}
    assert "1.txt: more than 1,048,576 bytes" in str(reasons(found))


@pytest.mark.parametrize("mark", ["nan", "NaN", "None", "null", "<NA>", "#N/A"])
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.tsv", "metadata.jsonl"])
def test_what_programs_write_for_no_caption_is_none(tmp_path, name, mark):
    rows = [("0.jpg", mark), ("1.jpg", f"A {mark} bread.")]
    cut = {"metadata.csv": ",", "metadata.tsv": "\t"}.get(name)
    lines = [cut.join(row) for row in (("image", "caption"), *rows)] if cut else [
        json.dumps({"image": image, "caption": caption}) for image, caption in rows
    ]  # fmt: skip
    written(tmp_path, {name: "\n".join(lines)})
    for number in range(2):
        picture(tmp_path / f"{number}.jpg")
    found = refused_and_skipped("pairs", tmp_path, "is what programs write for none")
    assert texts(found) == {"1.jpg": (f"A {mark} bread.",)}
