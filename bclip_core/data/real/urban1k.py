"""Urban-1K: long captions of street scenes, in two layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.real.folder import read_text, visible
from bclip_core.data.real.layouts import listed
from bclip_core.data.real.record import DataSet, Place, Source
from bclip_core.data.real.rows import Row, Unused, failing


def read(place: Place) -> Source:
    """Long-CLIP's folder of texts, or FLAIR's list where there is none."""
    texts, pictures = place.folder / "caption", place.folder / "image"
    if texts.is_dir():
        return Source(texts, _folder(texts, pictures, place), pictures)
    path = place.file("annotations.json")
    return Source(path, listed(path), pictures)


def _folder(texts: Path, pictures: Path, place: Place) -> Iterator[Row]:
    """`caption/NAME.txt` belongs to `NAME.jpg`.

    The whole file is the caption, or its first line (Long-CLIP's and β-CLIP's readers). Rows come
    in the order of the pictures' names as texts, which is that of the annotations.
    """
    files = {f"{path.stem}.jpg": path for path in visible(texts) if path.suffix.lower() == ".txt"}
    for name in sorted(files):
        yield Row(f"file {files[name].name}", lambda n=name: _row(n, files[n], place))  # type: ignore[misc]
    for path in visible(pictures) if pictures.is_dir() else []:
        if path.suffix.lower() == ".jpg" and f"{path.stem}.jpg" not in files:
            yield Row(f"picture {path.name}", failing(Unused("it has no caption file")))


def _row(name: str, path: Path, place: Place) -> dict[str, Any]:
    text = read_text(path, place.folder, place.links)
    if place.lines == "first":
        text = (text.splitlines() or [""])[0]
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
