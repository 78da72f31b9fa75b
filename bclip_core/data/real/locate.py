"""Which file of a data set holds a split, in which layout, and where its pictures are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bclip_core.data.real import captions, pairs, regions
from bclip_core.data.real.folder import require_file
from bclip_core.data.real.record import Benchmark, layout_error
from bclip_core.data.real.rows import Row, json_array

HELD_OUT = 1000  # first rows of ShareGPT4V's file: SV-1k, never trained on (Long-CLIP, β-CLIP)
SHAREGPT4V_FILE = "share-captioner_coco_lcs_sam_1246k_1107.json"
FGOVD_FILES = {
    "hard": ("h_attributes_llava.jsonl", "1_attributes.json"),
    "medium": ("m_attributes_llava.jsonl", "2_attributes.json"),
    "easy": ("e_attributes_llava.jsonl", "3_attributes.json"),
    "trivial": ("shuffle_negatives_llava.jsonl", "shuffle_negatives.json"),
}
Source = tuple[Path, Iterable[Row], Path]  # file, its rows, folder of the pictures
Locator = Callable[[Benchmark, Path, str, str], Source]  # record, folder, split, links


def caption_source(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
    """File, rows and pictures of a data set with the task "captions".

    Raises:
        LayoutError: a file or folder is not where the record's layout has it.
        DataError: the file does not have the expected form.
    """
    return _LOCATORS[benchmark.name](benchmark, folder, split, links)


def region_source(benchmark: Benchmark, folder: Path, split: str) -> Source:
    """As `caption_source`, for FG-OVD: the JSON lines, or the official JSON where they are not."""
    path, other = (folder / file for file in FGOVD_FILES[split])
    pictures = folder.parent / "coco"
    if other.is_file() and not path.is_file():
        return other, regions.official(other), pictures
    return require_file(path, benchmark.layout), regions.lines(path), pictures


def _urban1k(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
    texts = folder / "caption"
    if texts.is_dir():
        return texts, captions.caption_folder(texts, links), folder / "image"
    path = require_file(folder / "annotations.json", benchmark.layout)
    return path, captions.listed(path), folder / "image"


def _sharegpt4v(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
    path = require_file(folder / SHAREGPT4V_FILE, benchmark.layout)
    first, stop = (HELD_OUT, None) if split == "train" else (0, HELD_OUT)
    rows = itertools.islice(json_array(path), first, stop)
    return path, (_mapped(row, captions.sharegpt4v) for row in rows), folder


def _mapped(row: Row, change: Callable[[Any], dict[str, Any]]) -> Row:
    return Row(row.place, lambda: change(row.value()))


def _dci(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
    path = folder / "annotations"
    if not path.is_dir():
        raise layout_error(benchmark, f"no folder {path}")
    return path, captions.dci(path, links), folder / "photos"


def _goal(file: str, pictures: str) -> Locator:
    """A list as GOAL has it, which names pictures by `filename`."""

    def locate(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
        path = require_file(folder / file, benchmark.layout)
        return path, captions.listed(path, "filename"), folder / pictures

    return locate


def _docci(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
    path = require_file(folder / "docci_descriptions.jsonlines", benchmark.layout)
    return path, captions.docci(path, split), folder / "images"


def _flickr30k(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
    short = {"validation": "val"}.get(split, split)
    path, whole = folder / f"flickr30k_{short}.json", folder / "dataset_flickr30k.json"
    if whole.is_file() and not path.is_file():
        return whole, captions.karpathy(whole, short, "flickr30k-images"), folder
    return require_file(path, benchmark.layout), captions.listed(path), folder


def _coco(benchmark: Benchmark, folder: Path, split: str, links: str) -> Source:
    year = "train2017" if split == "train" else "val2017"
    path = folder / "annotations" / f"captions_{year}.json"
    return require_file(path, benchmark.layout), captions.coco(path, year), folder


def _pairs(benchmark: Benchmark, place: Path, split: str, links: str) -> Source:
    return pairs.source(place, benchmark.layout, links)


_LOCATORS: dict[str, Locator] = {
    "urban1k": _urban1k,
    "sv1k": _sharegpt4v,
    "dci": _dci,
    "dci-1999": _goal("DCI_test.json", "photos"),
    "docci": _docci,
    "docci-5100": _goal("docci_test.json", "images"),
    "flickr30k": _flickr30k,
    "coco": _coco,
    "sharegpt4v": _sharegpt4v,
    "pairs": _pairs,
}
