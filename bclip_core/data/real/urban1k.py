"""Urban-1K: long captions of street scenes, in two layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.images import SUFFIXES, UNREAD_SUFFIXES
from bclip_core.data.real.folder import LARGEST_CAPTION, read_text, visible
from bclip_core.data.real.layouts import listed
from bclip_core.data.real.record import DataSet, Place, Source
from bclip_core.data.real.rows import Row, RowError, Unused, failing, tell_unread
from bclip_core.records.texts import lines_of


def read(place: Place) -> Source:
    """Long-CLIP's folder of texts, or FLAIR's list where there is none."""
    texts, pictures = place.folder / "caption", place.folder / "image"
    if texts.is_dir():
        rest = ["annotations.json"] if (place.folder / "annotations.json").is_file() else []
        tell_unread("urban1k", ["caption/", *rest])
        return Source(texts, _folder(texts, pictures, place), pictures)
    path = place.file("annotations.json")
    return Source(path, listed(path), pictures)


def _folder(texts: Path, pictures: Path, place: Place) -> Iterator[Row]:
    """`caption/NAME.txt` belongs to `NAME.jpg`, or to a picture of another ending.

    The whole file is the caption, or its first line (Long-CLIP's and β-CLIP's readers). Rows come
    in the order of the pictures' names as texts, which is that of the annotations.
    """
    beside, files = dict[str, str](), dict[str, Path]()
    for path in visible(pictures) if pictures.is_dir() else []:
        if path.suffix.lower() in (*SUFFIXES, *UNREAD_SUFFIXES):
            beside[path.stem] = min(path.name, beside.get(path.stem, path.name), key=_rank)
    for path in visible(texts):
        name = beside.get(path.stem, f"{path.stem}.jpg")
        if path.suffix.lower() != ".txt":
            yield Row(f"file {path.name}", failing(Unused("no .txt file: it is not read")))
        elif name in files:
            fault = RowError(f"a second caption of {path.stem}, beside {files[name].name}")
            yield Row(f"file {path.name}", failing(fault))
        else:
            files[name] = path
    for name in sorted(files):
        yield Row(f"file {files[name].name}", lambda n=name: _row(n, files[n], place))  # type: ignore[misc]
    for path in visible(pictures) if pictures.is_dir() else []:
        if path.suffix.lower() in (*SUFFIXES, *UNREAD_SUFFIXES) and path.name not in files:
            used = beside[path.stem] if beside[path.stem] in files else ""
            why = f"{used} is the picture of its caption" if used else "it has no caption file"
            yield Row(f"picture {path.name}", failing(Unused(why)))


def _rank(name: str) -> tuple[bool, bool, str]:
    """Official pictures are .jpg: these come before others of the same stem."""
    return not name.endswith(".jpg"), not name.lower().endswith((".jpg", ".jpeg")), name


def _row(name: str, path: Path, place: Place) -> dict[str, Any]:
    text = read_text(path, place.folder, place.links, LARGEST_CAPTION)
    if place.lines == "first":
        text = lines_of(text)[0]
    return {"image": name, "caption": text}


URBAN1K = DataSet(
    name="urban1k",
    task="captions",
    title="Urban-1K",
    source="https://huggingface.co/datasets/BeichenZhang/Urban1k",
    licence="CC BY-NC 4.0",
    size="81 MB",
    splits=Fixed({"test": 1000}),
    folder="urban1k",
    read=read,
    layout="image/*.jpg\ncaption/*.txt    (NAME.txt belongs to NAME.jpg; or instead:)\n"
    "annotations.json (FLAIR's list)",
    example='{"image": "1.jpg", "caption": "This image depicts ..."}',
    captions=1,
    known=Fixed({"592.jpg": "row 548 of FLAIR's list has an empty caption"}),
    note="annotations.json gives 999 pairs; 1,000 in the papers, so a difference of 0.1 points "
    "may be this pair. The whole caption file is read; the authors' readers take its first line.",
)
