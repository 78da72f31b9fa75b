"""Digests by which a changed data set is known, wherever it lies."""

from pathlib import Path

import datasets

from bclip_core.data import real
from bclip_core.data.real import identity as module
from bclip_core.data.real.identity import identity, pictures_digest, rows_digest
from tests.planted import draw


def captions(folder: Path, text: str = "A dog.", shade: int = 1) -> real.CaptionSet:
    draw(folder / "a.png", {(0, 0, 8, 8): shade}, (8, 8))
    return real.CaptionSet("pairs", "test", (real.CaptionedImage("a", folder / "a.png", (text,)),))


def test_the_identity_is_of_texts_and_pictures_and_not_of_the_folder(tmp_path):
    first = identity(captions(tmp_path / "one"))
    assert first == identity(captions(tmp_path / "two"))
    assert first["items"] == 1
    other = identity(captions(tmp_path / "one", text="A cat."))
    assert other["sha256"] != first["sha256"]
    assert other["pictures_sha256"] == first["pictures_sha256"]
    again = identity(captions(tmp_path / "one", shade=2))
    assert again["sha256"] == first["sha256"]
    assert again["pictures_sha256"] != first["pictures_sha256"]


def test_rows_change_with_a_caption_a_picture_or_their_order(tmp_path):
    def digest(texts, pictures):
        ids = list(map(str, range(len(texts))))
        images = [{"bytes": content, "path": None} for content in pictures]
        columns = {"id": ids, "caption": texts, "short_captions": [[t] for t in texts]}
        rows = datasets.Dataset.from_dict({**columns, "image": images})
        return rows_digest(rows.cast_column("image", datasets.Image()))

    base = digest(["a", "b"], [b"1", b"2"])
    assert base == digest(["a", "b"], [b"1", b"2"])
    changed = [digest(["a", "c"], [b"1", b"2"]), digest(["a", "b"], [b"1", b"3"]),
               digest(["b", "a"], [b"1", b"2"]), digest(["a"], [b"1"])]  # fmt: skip
    assert len({base, *changed}) == 5


def test_a_picture_that_is_gone_counts_and_large_sets_are_known_by_sizes(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"12")
    there = pictures_digest([tmp_path / "a"])
    assert pictures_digest([tmp_path / "b"]) != there
    (tmp_path / "a").write_bytes(b"21")
    assert pictures_digest([tmp_path / "a"]) != there
    monkeypatch.setattr(module, "READ_WHOLE", 1)
    sizes = pictures_digest([tmp_path / "a"])
    (tmp_path / "a").write_bytes(b"12")
    assert pictures_digest([tmp_path / "a"]) == sizes
    (tmp_path / "a").write_bytes(b"123")
    assert pictures_digest([tmp_path / "a"]) != sizes
