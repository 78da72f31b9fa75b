"""What users' files are like: nothing becomes data unasked, and nothing is left out silently."""

import json
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bclip_core.backbone import Tokenizer
from bclip_core.captions import decompose
from bclip_core.config import ConfigError, DataConfig
from bclip_core.data import real
from bclip_core.data.images import list_pictures
from bclip_core.data.real import DataError
from bclip_core.data.real.sharegpt4v import FILE
from bclip_core.data.sources import load_split
from bclip_core.records.texts import clean_text, is_blank


def pictures(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16)).save(folder / name)
    return folder


def load(place, **options):
    return real.load_captions("pairs", place, "train", **options)


def captions(found):
    return {item.id: item.captions for item in found.items}


@pytest.mark.parametrize("closed", ["", '"'])
def test_a_stray_quote_costs_its_row_alone(tmp_path, closed):
    pictures(tmp_path, *(f"{n}.png" for n in range(100)))
    rows = [f"{n}.png,A dog number {n}." for n in range(100)]
    rows[3] = '3.png,"A dog number 3.'
    rows[60] = f"60.png,A dog number 60{closed}"
    (tmp_path / "metadata.csv").write_text("\n".join(["image,caption", *rows, ""]))
    with pytest.raises(DataError, match=r"metadata\.csv, line 5: .*quote that is not closed"):
        load(tmp_path)
    found = load(tmp_path, on_error="skip")
    assert len(found) == 99
    assert [place for place, _ in found.left_out] == ["line 5"]
    assert captions(found)["4.png"] == ("A dog number 4.",)


def test_quoted_captions_may_have_lines_and_quotes(tmp_path):
    pictures(tmp_path, "1.png", "2.png")
    text = 'image,caption\n1.png,"A ""dog"",\non a sofa."\n2.png,A 12" board\n'
    (tmp_path / "metadata.csv").write_text(text)
    assert captions(load(tmp_path)) == {
        "1.png": ('A "dog", on a sofa.',),
        "2.png": ('A 12" board',),
    }


@pytest.mark.parametrize("file", ["mine.TSV", "mine.csv", "metadata.TSV"])
def test_open_clips_tables_and_a_row_per_caption(tmp_path, file):
    pictures(tmp_path, "1.png")
    (tmp_path / file).write_text("filepath\ttitle\n1.png\tA dog, brown.\n1.png\tA pet.\n")
    place = tmp_path if file.startswith("metadata") else tmp_path / file
    assert captions(load(place)) == {"1.png": ("A dog, brown.", "A pet.")}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["txt", "csv", "json", "jsonl"])
def test_a_mark_of_the_encoding_is_no_part_of_a_caption(tmp_path, encoding, ending):
    pictures(tmp_path, "1.png")
    row = {"image": "1.png", "caption": "Café."}
    text = {
        "txt": "Café.",
        "csv": "image,caption\n1.png,Café.\n",
        "json": json.dumps([row], ensure_ascii=False),
        "jsonl": json.dumps(row, ensure_ascii=False),
    }[ending]
    name = "1.txt" if ending == "txt" else f"metadata.{ending}"
    (tmp_path / name).write_text(text, encoding=encoding)
    assert captions(load(tmp_path)) == {"1.png": ("Café.",)}


def test_img2datasets_folders_and_its_table(tmp_path):
    pictures(tmp_path, "00000/000000001.jpg", "00000/000000002.jpg")
    (tmp_path / "00000" / "000000001.txt").write_text("A dog.")
    for n in (1, 2):
        row = json.dumps({"caption": f"Told {n}.", "key": f"00000000{n}"})
        (tmp_path / "00000" / f"00000000{n}.json").write_text(row)
    table = {
        "key": ["000000001"],
        "caption": ["A dog."],
        "odd": pa.array([2**62], pa.timestamp("us")),
    }
    pq.write_table(pa.table(table), tmp_path / "00000.parquet")
    expected = {"00000/000000001.jpg": ("A dog.",), "00000/000000002.jpg": ("Told 2.",)}
    assert captions(load(tmp_path)) == expected
    assert captions(load(tmp_path / "00000.parquet")) == {"00000/000000001.jpg": ("A dog.",)}


def test_hidden_files_are_nobodys_data_and_orphans_are_named(tmp_path):
    pictures(tmp_path, "1.png", ".ipynb_checkpoints/1.png", "__MACOSX/2.png")
    for name in ("1.txt", ".ipynb_checkpoints/1.txt", "lost.txt"):
        (tmp_path / name).write_text("A dog.")
    (tmp_path / "._1.png").write_bytes(b"\0\5\x16\7")
    found = load(tmp_path)
    assert captions(found) == {"1.png": ("A dog.",)}
    assert found.left_out == (("text lost.txt", "no picture beside it"),)
    assert list_pictures(tmp_path).total == 1


def test_links_out_of_the_folder_are_followed_only_when_asked(tmp_path):
    (tmp_path / "blobs").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "blobs" / "p.png")
    (tmp_path / "blobs" / "t").write_text('{"image": "1.png", "caption": "A dog."}')
    folder = tmp_path / "snapshot {1}"
    folder.mkdir()
    (folder / "1.png").symlink_to("../blobs/p.png")
    (folder / "metadata.jsonl").symlink_to("../blobs/t")
    with pytest.raises(DataError, match=r'a link leads out of .*links="follow" follows it'):
        load(folder)
    assert captions(load(folder, links="follow")) == {"1.png": ("A dog.",)}
    config = DataConfig("pairs", folder=str(folder), links="follow")
    assert len(load_split(config, "train")) == 1
    with pytest.raises(ConfigError, match="links='no': expected one of inside, follow"):
        DataConfig("pairs", links="no")
    (folder / "metadata.jsonl").unlink()
    (folder / "1.txt").symlink_to("../blobs/t")
    with pytest.raises(DataError, match=r"text 1\.txt: a link leads out"):
        load(folder)


def test_links_in_a_circle_are_named(tmp_path):
    pictures(tmp_path, "1.png")
    (tmp_path / "1.txt").write_text("A dog.")
    (tmp_path / "again").symlink_to(tmp_path)
    for links, said in (("inside", "is not entered"), ("follow", "in a circle")):
        found = load(tmp_path, links=links)
        assert len(found) == 1
        assert said in found.left_out[0].reason


def test_the_answer_is_told_by_who_speaks(tmp_path):
    turn = {"human": "What?", "gpt": "A dog.", "system": "Be kind."}

    def row(name, *speakers):
        said = [{"from": speaker, "value": turn[speaker]} for speaker in speakers]
        return {"image": name, "conversations": said}

    rows = [row("a.jpg", "system", "human", "gpt"), row("b.jpg", "human", "human")]
    (tmp_path / FILE).write_text(json.dumps(rows))
    found = real.load_captions("sv1k", tmp_path, missing="ignore", on_error="skip")
    assert captions(found) == {"a.jpg": ("A dog.",)}
    assert "2 turns of human, human" in found.left_out[0].reason


@pytest.mark.parametrize(
    "text", ["Tom &amp; Jerry", "It donâ€™t matter", "CAFÃ‰ &LT;B", "&nbsp;A dog"]
)
def test_training_reads_the_tokens_that_evaluation_does(tmp_path, text):
    pictures(tmp_path, "1.png")
    (tmp_path / "metadata.json").write_text(json.dumps([{"image": "1.png", "caption": text}]))
    rows = real.training_rows(load(tmp_path))
    tokenizer = Tokenizer()
    assert tokenizer.encode(rows[0]["short_captions"][0].lower()) == tokenizer.encode(text)
    assert tokenizer.encode(clean_text(text).lower()) == tokenizer.encode(text)


@pytest.mark.parametrize("text", ["", " \n", "&nbsp;", "\ufeff", "\u200b", "\x07", "\u00ad"])
def test_blank_is_one_notion(tmp_path, text):
    assert is_blank(text)
    for refuse in (Tokenizer().encode, decompose):
        with pytest.raises(ValueError, match=r"expected (at least one visible|a text that is not)"):
            refuse(text)
    pictures(tmp_path, "1.png", "2.png")
    rows = [{"image": "1.png", "caption": text}, {"image": "2.png", "caption": ["A dog.", text]}]
    (tmp_path / "metadata.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="row 0: picture '1.png': caption="):
        load(tmp_path)
    found = load(tmp_path, on_error="skip")
    assert captions(found) == {"2.png": ("A dog.",)}
    assert [place for place, _ in found.left_out] == ["row 0", "row 1"]


def test_numbers_of_fgovd_may_be_texts(tmp_path):
    pictures(tmp_path / "coco", "val2017/1.jpg")
    row = {"img_path": "val2017/1.jpg", "bbox": ["0", "1.5", 4, 4], "width": "16", "height": 16.0}
    row |= {"pos_expression": ["A bus."], "neg_expression": ["A car."], "sent_id": "7"}
    (tmp_path / "fgovd").mkdir()
    (tmp_path / "fgovd" / "h_attributes_llava.jsonl").write_text(json.dumps(row))
    (item,) = real.load_regions(root=tmp_path / "fgovd").items
    assert (item.box, item.size) == ((0.0, 1.5, 4.0, 4.0), (16, 16))


@pytest.mark.parametrize("text", ["1.TXT", "1.Txt", "1.JSON"])
def test_texts_in_capitals_are_read(tmp_path, text):
    pictures(tmp_path, "1.JPG")
    content = json.dumps({"caption": "A dog."}) if text.endswith("JSON") else "A dog."
    (tmp_path / text).write_text(content)
    found = load(tmp_path)
    assert captions(found) == {"1.JPG": ("A dog.",)}
    assert found.left_out == ()


@pytest.mark.parametrize("name", ["1.gif", "1.pgm", "1.ppm", "1.jfif", "1.PGM"])
def test_every_picture_that_can_be_decoded_is_found_in_a_folder(tmp_path, name):
    kind = {"gif": "GIF", "jfif": "JPEG"}.get(name[2:].lower(), "PPM")
    Image.new("L" if "gm" in name.lower() else "RGB", (16, 16)).save(tmp_path / name, kind)
    (tmp_path / "1.txt").write_text("A dog.")
    assert captions(load(tmp_path)) == {name: ("A dog.",)}


def test_img2datasets_texts_without_a_picture_are_named(tmp_path):
    pictures(tmp_path, "00000/1.jpg")
    for key in ("1", "2"):
        (tmp_path / "00000" / f"{key}.json").write_text(json.dumps({"caption": f"Dog {key}."}))
    (tmp_path / "00000_stats.json").write_text('{"count": 2}')
    found = load(tmp_path)
    assert captions(found) == {"00000/1.jpg": ("Dog 1.",)}
    assert found.left_out == (("text 00000/2.json", "no picture beside it"),)


TWICE = {
    "metadata.csv": "image,caption,caption\n1.png,One.,Two.\n",
    "metadata.tsv": "image\tCaption\tcaption\n1.png\tOne.\tTwo.\n",
    "metadata.jsonl": '{"image": "1.png", "caption": "One.", "caption": "Two."}\n',
    "metadata.json": '[{"image": "1.png", "caption": "One.", "caption": "Two."}]',
    "other.jsonl": '{"image": "1.png", "Caption": "One.", "caption": "Two."}\n',
}


@pytest.mark.parametrize("file", TWICE)
def test_of_two_captions_of_one_name_none_is_taken_silently(tmp_path, file):
    pictures(tmp_path, "1.png")
    (tmp_path / file).write_text(TWICE[file])
    with pytest.raises(DataError, match=r"'caption' twice") as error:
        load(tmp_path / file)
    assert file in str(error.value)


def test_other_columns_may_come_twice(tmp_path):
    pictures(tmp_path, "1.png")
    (tmp_path / "metadata.csv").write_text("image,caption,width,width\n1.png,One.,8,9\n")
    assert captions(load(tmp_path)) == {"1.png": ("One.",)}


def test_parquet_columns_that_differ_by_capitals_alone_are_refused(tmp_path):
    pictures(tmp_path, "1.png")
    table = pa.table({"image": ["1.png"], "Caption": ["One."], "caption": ["Two."]})
    pq.write_table(table, tmp_path / "metadata.parquet")
    with pytest.raises(DataError, match=r"metadata\.parquet: column 'caption' twice"):
        load(tmp_path)


CAFE = "caf\u00e9.png"


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ("a/1.png", "a\\1.png"),
        ("1.png", " 1.png "),
        (unicodedata.normalize("NFD", CAFE), CAFE),
        (CAFE, unicodedata.normalize("NFD", CAFE)),
    ],
)
def test_names_as_other_systems_write_them(tmp_path, there, named):
    pictures(tmp_path, there)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"image": named, "caption": "A dog."}))
    [item] = load(tmp_path).items
    assert item.captions == ("A dog.",)
    assert Image.open(item.image).size == (16, 16)


def test_other_spellings_leave_the_folder_no_more_than_names_do(tmp_path):
    pictures(tmp_path, "1.png", "mine/2.png")
    row = {"image": "..\\1.png", "caption": "A dog."}
    (tmp_path / "mine" / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="expected a path inside"):
        load(tmp_path / "mine")


def test_one_picture_under_two_names_is_one_item(tmp_path):
    pictures(tmp_path, "1.png")
    (tmp_path / "metadata.csv").write_text("image,caption\n1.png,A dog.\n./1.png,A pet.\n")
    assert captions(load(tmp_path)) == {"1.png": ("A dog.", "A pet.")}
