"""Odd files that users have: nothing is left out silently, and no caption is something else."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bclip_core.data import real
from bclip_core.data.images import list_pictures
from bclip_core.data.real import DataError, LayoutError
from bclip_core.data.real.json_files import _CHUNK, json_array
from bclip_core.data.real.sharegpt4v import FILTERED

SKIP = {"missing": "skip", "on_error": "skip"}


@pytest.fixture
def folder(tmp_path):
    """A folder with ten pictures, 0.jpg to 9.jpg."""
    inner = tmp_path / "data"
    inner.mkdir()
    for number in range(10):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(inner / f"{number}.jpg")
    return inner


def pairs(place, **options):
    return real.load_captions("pairs", place, "train", **options)


def named(found):
    return {item.id: item.captions for item in found.items}


def csv_lines(count=10):
    return [f"{number}.jpg,A dog number {number}.\n" for number in range(count)]


@pytest.mark.parametrize("stray", ['3.jpg,"A dog number 3.\n', '3.jpg,"A dog" number 3.\n'])
def test_a_stray_quote_costs_one_row_and_not_the_others(folder, stray):
    lines = csv_lines()
    lines[3] = stray
    (folder / "metadata.csv").write_text("image,caption\n" + "".join(lines))
    with pytest.raises(DataError, match=r"metadata\.csv, line 5: .*a quote that is not closed"):
        pairs(folder)
    found = pairs(folder, **SKIP)
    assert sorted(named(found)) == [f"{n}.jpg" for n in range(10) if n != 3]
    assert named(found)["9.jpg"] == ("A dog number 9.",)
    (left,) = found.left_out
    assert left.place == "line 5"


def test_two_stray_quotes_that_close_each_other_are_seen(folder):
    lines = csv_lines()
    lines[3], lines[5] = '3.jpg,"A dog number 3.\n', '5.jpg,A dog number 5."\n'
    (folder / "metadata.csv").write_text("image,caption\n" + "".join(lines))
    with pytest.raises(
        DataError, match=r"line 5: it holds line 6, which looks like a row of its own"
    ):
        pairs(folder)
    assert len(pairs(folder, **SKIP)) == 9


def test_a_caption_over_several_lines_is_one_caption(folder):
    text = 'image,caption\n0.jpg,"A dog,\n""Rex"",\n on a sofa."\n1.jpg,A 12" pizza.\n'
    (folder / "metadata.csv").write_text(text)
    expected = {"0.jpg": ('A dog, "Rex", on a sofa.',), "1.jpg": ('A 12" pizza.',)}
    assert named(pairs(folder)) == expected


@pytest.mark.parametrize(
    ("name", "header", "separator"),
    [
        ("metadata.csv", ("filepath", "title"), "\t"),  # as open_clip writes it
        ("METADATA.TSV", ("image", "caption"), "\t"),
        ("Metadata.CSV", ("file_name", "text"), ","),
    ],
)
def test_tables_of_other_tools_and_in_capitals_are_read(folder, name, header, separator):
    rows = [header, ("0.jpg", "A dog."), ("1.jpg", "A cat.")]
    (folder / name).write_text("".join(separator.join(row) + "\n" for row in rows))
    for place in (folder, folder / name):
        assert named(pairs(place)) == {"0.jpg": ("A dog.",), "1.jpg": ("A cat.",)}


def test_rows_of_one_picture_are_its_captions(folder):
    rows = [(f"{n}.jpg", f"Caption {k} of {n}.") for n in range(2) for k in range(5)]
    text = "".join(f"{image},{caption}\n" for image, caption in rows)
    (folder / "metadata.csv").write_text("image,caption\n" + text)
    found = named(pairs(folder))
    assert list(found) == ["0.jpg", "1.jpg"]
    assert found["1.jpg"] == tuple(f"Caption {k} of 1." for k in range(5))


MARK = "\ufeff"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_caption(folder, encoding):
    (folder / "0.txt").write_text("A dog.", encoding=encoding)
    for number in range(1, 10):
        (folder / f"{number}.jpg").unlink()
    assert named(pairs(folder)) == {"0.jpg": ("A dog.",)}
    (folder / "metadata.csv").write_text("image,caption\n0.jpg,A dog.\n", encoding=encoding)
    assert named(pairs(folder)) == {"0.jpg": ("A dog.",)}


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_json_may_begin_with_a_mark_and_hold_one(folder, kind):
    row = json.dumps({"image": "0.jpg", "caption": f"{MARK}A dog."}, ensure_ascii=False)
    text = row + "\n" if kind == "jsonl" else f"[{row}]"
    (folder / f"metadata.{kind}").write_text(text, encoding="utf-8-sig")
    assert named(pairs(folder)) == {"0.jpg": ("A dog.",)}
    if kind == "jsonl":
        (folder / "metadata.jsonl").write_text(text, encoding="utf-16")
        assert named(pairs(folder)) == {"0.jpg": ("A dog.",)}


def test_other_encodings_are_named_and_skipped_row_by_row(folder):
    for number in range(10):
        (folder / f"{number}.txt").write_text("A dog.")
    (folder / "4.txt").write_bytes("Ein Café.".encode("latin-1"))
    with pytest.raises(DataError, match=r"picture 4\.jpg: .*4\.txt: .*byte 0xe9 at position 7"):
        pairs(folder)
    found = pairs(folder, **SKIP)
    assert len(found) == 9
    assert "byte 0xe9 at position 7" in found.left_out[0].reason
    lines = csv_lines()
    content = ("image,caption\n" + "".join(lines)).encode()
    (folder / "metadata.csv").write_bytes(content.replace(b"number 6", b"num\xe9ro 6"))
    with pytest.raises(DataError, match=r"line 8: .*byte 0xe9"):
        pairs(folder)
    assert sorted(named(pairs(folder, **SKIP))) == [f"{n}.jpg" for n in range(10) if n != 6]


@pytest.mark.parametrize("hidden", ["._0.jpg", ".ipynb_checkpoints/0.jpg", "__MACOSX/._0.jpg"])
def test_what_systems_leave_behind_is_no_data(folder, hidden):
    for number in range(10):
        (folder / f"{number}.txt").write_text("A dog.")
    path = folder / hidden
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((folder / "0.jpg").read_bytes())
    path.with_suffix(".txt").write_bytes(b"\x80")
    assert len(pairs(folder)) == 10
    if path.parent == folder:
        assert list_pictures(folder).total == 10


@pytest.mark.parametrize("blank", ["&nbsp;", MARK, "\x00", " \t", "&#8203;"])
def test_blank_captions_are_named_at_loading(folder, blank):
    rows = [{"image": f"{n}.jpg", "caption": blank if n == 2 else "A dog."} for n in range(10)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"line 3: picture '2\.jpg': caption=.*expected a text"):
        pairs(folder)
    assert len(pairs(folder, **SKIP)) == 9


def test_links_out_of_the_folder_are_one_rule_for_pictures_and_texts(folder, tmp_path):
    outside = tmp_path / "blobs"
    outside.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text("A dog.")
    for name in ("0.jpg", "1.txt"):
        (folder / name).rename(outside / name)
        (folder / name).symlink_to(outside / name)
    with pytest.raises(DataError, match='links="follow"'):
        pairs(folder)
    found = pairs(folder, **SKIP)
    assert len(found) == 8
    assert all("a link leads out of" in one.reason for one in found.left_out)
    assert len(pairs(folder, links="follow")) == 10
    with pytest.raises(ValueError, match="links='yes': expected one of 'inside', 'follow'"):
        pairs(folder, links="yes")


def test_a_snapshot_of_links_is_read_when_asked(folder, tmp_path):
    (folder / "metadata.jsonl").write_text('{"image": "0.jpg", "caption": "A dog."}\n')
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for name in ("0.jpg", "metadata.jsonl"):
        (snapshot / name).symlink_to(folder / name)
    with pytest.raises(DataError, match=r'metadata\.jsonl.*a link leads out of .*links="follow"'):
        pairs(snapshot)
    assert named(pairs(snapshot, links="follow")) == {"0.jpg": ("A dog.",)}


def test_loops_of_links_are_named(folder):
    (folder / "loop.jpg").symlink_to("loop.jpg")
    rows = [{"image": name, "caption": "A dog."} for name in ("0.jpg", "loop.jpg")]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"line 2: picture 'loop\.jpg': links lead in a circle"):
        pairs(folder)
    assert named(pairs(folder, **SKIP)) == {"0.jpg": ("A dog.",)}


def test_img2dataset_folders_are_read(folder):
    shard = folder / "00000"
    shard.mkdir()
    for number in range(10):
        target = shard / f"{number:09d}.jpg"
        (folder / f"{number}.jpg").rename(target)
        if number < 5:
            target.with_suffix(".txt").write_text("A dog.")
        notes = {"caption": "A dog.", "url": "x", "key": target.stem, "status": "success"}
        target.with_suffix(".json").write_text(json.dumps(notes))
    pq.write_table(pa.table({"caption": ["A dog."], "key": ["0"]}), folder / "00000.parquet")
    (folder / "00000_stats.json").write_text("{}")
    found = pairs(folder)
    assert len(found) == 10
    assert {item.captions for item in found.items} == {("A dog.",)}


def test_parquet_reads_the_columns_that_it_needs(folder):
    odd = pa.array([2**62], pa.timestamp("us"))
    table = pa.table({"image": ["0.jpg"], "caption": ["A dog."], "taken": odd})
    pq.write_table(table, folder / "metadata.parquet")
    assert named(pairs(folder)) == {"0.jpg": ("A dog.",)}


def test_braces_in_a_folders_name_mean_nothing(tmp_path):
    inner = tmp_path / "{x} {0} %s [a] *"
    inner.mkdir()
    Image.new("RGB", (40, 30)).save(inner / "0.jpg")
    (inner / "0.txt").write_text("A {dog}.")
    assert named(pairs(inner)) == {"0.jpg": ("A {dog}.",)}


SHAREGPT4V = "share-captioner_coco_lcs_sam_1246k_1107.json"


@pytest.mark.parametrize(
    "speakers",
    [
        ("human", "gpt"),
        ("system", "human", "gpt"),
        ("user", "assistant"),
        ("gpt", "human"),
        ("human", "gpt", "human", "gpt"),
    ],
)
def test_sharegpt4v_reads_what_the_model_says(folder, speakers):
    said = iter(("The caption.", "Something else."))
    turns = [
        {"from": who, "value": next(said) if who in ("gpt", "assistant") else "What is it?"}
        for who in speakers
    ]
    (folder / SHAREGPT4V).write_text(json.dumps([{"image": "0.jpg", "conversations": turns}]))
    found = real.load_captions("sharegpt4v", folder, "test")
    assert named(found) == {"0.jpg": ("The caption.",)}


@pytest.mark.parametrize("speakers", [("human", "human"), ("human",), ("human", "narrator")])
def test_sharegpt4v_without_an_answer_is_a_named_row(folder, speakers):
    turns = [{"from": who, "value": "What?"} for who in speakers]
    good = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A dog."}]
    rows = [
        {"image": "0.jpg", "conversations": turns},
        {"image": "1.jpg", "conversations": good},
    ]
    (folder / SHAREGPT4V).write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"row 0: picture '0\.jpg'"):
        real.load_captions("sharegpt4v", folder, "test")
    assert named(real.load_captions("sharegpt4v", folder, "test", **SKIP)) == {"1.jpg": ("A dog.",)}


def coco(folder, images, notes):
    (folder / "val2017").mkdir(exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    for number in range(3):
        Image.new("RGB", (40, 30)).save(folder / "val2017" / f"{number}.jpg")
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in images],
        "annotations": [
            {"id": k, "image_id": n, "caption": text} for k, (n, text) in enumerate(notes)
        ],
    }
    (folder / "annotations" / "captions_val2017.json").write_text(json.dumps(content))
    return folder


FIVE = [(0, f"Caption {n}.") for n in range(5)]


def test_coco_names_strays_and_drops_blanks_alone(tmp_path):
    root = coco(tmp_path, [0], [*FIVE, (7, "Of no picture.")])
    with pytest.raises(DataError, match="annotation id 5: image_id=7: no such picture"):
        real.load_captions("coco", root, "test")
    found = real.load_captions("coco", root, "test", **SKIP)
    assert len(found) == 1
    assert "image_id=7" in found.left_out[0].reason
    root = coco(tmp_path, [0], [*FIVE, (0, " ")])  # beyond the five that are used
    assert len(real.load_captions("coco", root, "test").items[0].captions) == 5
    root = coco(tmp_path, [0], [*FIVE[:2], (0, "&nbsp;"), *FIVE[2:]])
    with pytest.raises(DataError, match="caption 3: '&nbsp;': expected a text"):
        real.load_captions("coco", root, "test")
    found = real.load_captions("coco", root, "test", **SKIP)
    assert found.items[0].captions == tuple(text for _, text in FIVE)
    (left,) = found.left_out
    assert "caption 3: '&nbsp;'" in left.reason
    root = coco(tmp_path, [0, 0], FIVE)
    with pytest.raises(DataError, match=r"val2017/0\.jpg"):
        real.load_captions("coco", root, "test")


@pytest.mark.parametrize("name", ["urban1k", "dci", "imagenet-v2"])
def test_hidden_files_beside_official_ones_are_no_data(tmp_path, name):
    picture = tmp_path / "x.jpg"
    Image.new("RGB", (40, 30)).save(picture)
    content = picture.read_bytes()
    picture.unlink()
    if name == "urban1k":
        for part, file, value in (("image", "1.jpg", content), ("caption", "1.txt", b"A dog.")):
            (tmp_path / part).mkdir()
            (tmp_path / part / file).write_bytes(value)
            (tmp_path / part / f"._{file}").write_bytes(b"\x80")
        found = real.load_captions(name, tmp_path, "test")
    elif name == "dci":
        row = {"image": "1.jpg", "short_caption": "A dog.", "extra_caption": "It sits."}
        (tmp_path / "annotations").mkdir()
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "1.jpg").write_bytes(content)
        (tmp_path / "annotations" / "1.json").write_text(json.dumps(row))
        (tmp_path / "annotations" / "._1.json").write_bytes(b"\x80")
        found = real.load_captions(name, tmp_path, next(iter(real.get(name).splits)))
    else:
        (tmp_path / "7").mkdir()
        (tmp_path / ".ipynb_checkpoints").mkdir()
        for place in ("7/1.jpeg", "7/._1.jpeg", ".ipynb_checkpoints/1.jpeg"):
            (tmp_path / place).write_bytes(content)
        found = real.load_labelled(name, tmp_path)
    assert len(found) == 1
    assert not found.left_out


def test_nothing_at_all_is_still_an_error_when_skipping(folder):
    (folder / "metadata.jsonl").write_text("{\n{\n")
    with pytest.raises(LayoutError, match="no row can be used: .*left out 2"):
        pairs(folder, **SKIP)


# ---------------------------------------------------------------------------- numbers and halves


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_half_a_character_is_a_named_row_and_never_a_question_mark(folder, form):
    half, whole = r'"A \ud83d dog."', r'"A \ud83d\ude00 cat."'
    said = enumerate((half, whole))
    rows = [f'{{"image": "{number}.jpg", "caption": {text}}}' for number, text in said]
    text = f"[{', '.join(rows)}]" if form == "json" else "\n".join(rows)
    (folder / f"metadata.{form}").write_text(text)
    with pytest.raises(DataError, match=r"half a character \(surrogate\)"):
        pairs(folder)
    found = pairs(folder, **SKIP)
    assert found.items[0].captions == ("A \U0001f600 cat.",)
    assert any("half a character" in reason for _, reason in found.left_out)


def test_escapes_are_read_right_wherever_a_piece_of_the_file_ends(tmp_path):
    path = tmp_path / "rows.json"
    for filling in range(_CHUNK - 30, _CHUNK + 2):
        text = f'["{"x" * filling}' + r'\\\ud83d\ude00 \n \ud83d."]'
        path.write_text(text)
        (row,) = json_array(path)
        assert row.value().replace("\ud800", "\ud83d") == json.loads(text)[0]


def test_the_filtered_file_of_the_authors_is_found_where_they_have_it(tmp_path, capsys):
    (tmp_path / "annotations").mkdir()
    pictures = tmp_path / "data" / "coco"
    pictures.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(pictures / "0.jpg")
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A dog."}]
    rows = [{"image": "coco/0.jpg", "conversations": turns}]
    rows = [{"image": f"coco/{n}.jpg", "conversations": turns} for n in range(1, 1001)] + rows
    (tmp_path / "annotations" / FILTERED).write_text(json.dumps(rows))
    found = real.load_captions("sharegpt4v", tmp_path, "train")
    assert named(found) == {"coco/0.jpg": ("A dog.",)}
    assert "filtered rows" in capsys.readouterr().out
    with pytest.raises(LayoutError, match=SHAREGPT4V):  # its first rows are not SV-1k
        real.load_captions("sv1k", tmp_path, "test")


# ---------------------------------------------------------------------------- nothing silently


def official(name, root):
    """Two rows in the official form, of which the second's caption is blank; what is left out."""
    picture = Image.new("RGB", (8, 8))
    if name == "coco":
        (root / "annotations").mkdir()
        (root / "val2017").mkdir()
        for number in (1, 2):
            picture.save(root / "val2017" / f"{number}.jpg")
        images = [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)]
        texts = [{"id": n, "image_id": n, "caption": text} for n, text in ((1, "A dog."), (2, " "))]
        stored = json.dumps({"images": images, "annotations": texts})
        (root / "annotations" / "captions_val2017.json").write_text(stored)
    elif name == "docci":
        (root / "images").mkdir()
        lines = []
        for number, text in ((1, "A dog."), (2, " ")):
            picture.save(root / "images" / f"test_{number}.jpg")
            row = {"example_id": f"test_{number}", "split": "test", "description": text}
            lines.append(json.dumps(row | {"image_file": f"test_{number}.jpg"}))
        (root / "docci_descriptions.jsonlines").write_text("\n".join(lines))
    elif name == "dci":
        (root / "annotations").mkdir()
        (root / "photos").mkdir()
        for number, text in ((1, "A dog."), (2, " ")):
            picture.save(root / "photos" / f"sa_{number}.jpg")
            row = {"image": f"sa_{number}.jpg", "short_caption": text, "extra_caption": text}
            (root / "annotations" / f"{number}.json").write_text(json.dumps(row))
    else:
        (root / "flickr30k-images").mkdir()
        rows = []
        for number, text in ((1, "A dog."), (2, " ")):
            picture.save(root / "flickr30k-images" / f"{number}.jpg")
            sentences = [{"raw": text}]
            rows.append({"filename": f"{number}.jpg", "split": "test", "sentences": sentences})
        if name == "flickr30k":
            stored: object = {"images": rows}
            (root / "dataset_flickr30k.json").write_text(json.dumps(stored))
        else:
            listed = [
                {"image": f"flickr30k-images/{row['filename']}",
                 "caption": [row["sentences"][0]["raw"]]} for row in rows
            ]  # fmt: skip
            (root / "flickr30k_test.json").write_text(json.dumps(listed))


@pytest.mark.parametrize("form", ["coco", "docci", "dci", "flickr30k", "flickr30k by FLAIR"])
def test_official_files_name_what_they_leave_out(tmp_path, form, capsys):
    official(form, tmp_path)
    name = form.split()[0]
    with pytest.raises(DataError, match="expected a text that is not empty"):
        real.load_captions(name, tmp_path, "test")
    found = real.load_captions(name, tmp_path, "test", **SKIP)
    assert [len(found.items), len(found.left_out)] == [1, 1]
    shown = capsys.readouterr().out
    assert "left out 1: " in shown
    assert found.left_out[0].place in shown


def test_every_row_of_a_damaged_part_of_a_parquet_file_is_counted_and_named(folder, capsys):
    path = folder / "mine.parquet"
    rows = {"image": [f"{n}.jpg" for n in range(10)], "caption": [f"A dog {n}." for n in range(10)]}
    how = {"row_group_size": 4, "compression": "gzip", "use_dictionary": False}
    pq.write_table(pa.table(rows), path, **how)
    part = pq.ParquetFile(path).metadata.row_group(1).column(1)
    content = bytearray(path.read_bytes())
    start = part.data_page_offset + part.total_compressed_size // 2
    content[start : start + 6] = b"\xff" * 6
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"mine\.parquet, .*: damaged parquet"):
        pairs(path)
    found = pairs(path, **SKIP)
    kept = {item.id for item in found.items}
    assert {"0.jpg", "3.jpg", "8.jpg", "9.jpg"} <= kept
    assert len(found.items) + len(found.left_out) == 10
    assert "left out 4: " in capsys.readouterr().out
