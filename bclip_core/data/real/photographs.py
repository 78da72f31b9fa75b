"""Sample photographs that a clone has: pictures of well-kept packages, with texts of our own.

`python -m bclip_core.data.real.photographs DIR` lays them out as the official data sets lie: short
captions as COCO, long ones as DOCCI, boxes with true and false expressions as FG-OVD, and pairs to
train on. `BCLIP_DATA=DIR` then makes every loader find them. The data set `photographs` is their
pairs, laid out in the cache where no folder is given. The packages come with the extra `photos`; no
picture is in this repository, and none is fetched.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

import tyro

from bclip_core.config.command_line import read_options, run_command
from bclip_core.data.real import pairs
from bclip_core.data.real.record import DataSet, Place, Source
from bclip_core.data.real.rows import LayoutError
from bclip_core.data.real.sharegpt4v import FILE, HELD_OUT
from bclip_core.data.scenes.build import cache_folder
from bclip_core.records.files import (
    read_json,
    remove_partial,
    sha256,
    write_atomically,
    write_json,
)
from bclip_core.records.locks import lock

TEXTS = Path(__file__).parent / "samples" / "photographs.json"
NEGATIVES = 10
LEVELS = {"h": 1, "m": 2, "e": 3}
"""Letter of FG-OVD's file -> how many attributes of a true expression a false one changes."""


class MissingPhotographsError(FileNotFoundError):
    """A package with sample photographs is not installed, or its picture is another one now."""


def photographs() -> list[dict[str, Any]]:
    """What is known of each photograph: origin, licence, captions, regions."""
    found: list[dict[str, Any]] = read_json(TEXTS)["photographs"]
    return found


def picture(photograph: dict[str, Any]) -> Path:
    """Where a photograph lies in its installed package, which is not imported.

    Raises:
        MissingPhotographsError: it is not there, or not the picture that the texts are about.
    """
    module, _, inside = photograph["path"].partition("/")
    found = importlib.util.find_spec(module)
    advice = "install the extra: pip install bclip[photos]"
    if found is None or found.origin is None:
        raise MissingPhotographsError(f"package {photograph['package']}: not installed; {advice}")
    path: Path = Path(found.origin).parent / inside
    if not path.is_file() or sha256(path) != photograph["sha256"]:
        state = "another picture" if path.is_file() else "no such file"
        raise MissingPhotographsError(f"{path}: {state}, expected that of {photograph['package']}")
    return path


def write_photographs(folder: Path) -> Path:
    """Lay out all sample photographs below `folder`, in the official formats.

    Args:
        folder: receives coco/, docci/, fgovd/, pairs/ and sharegpt4v/; what stands there under
            these names is replaced, each in one step.

    Raises:
        MissingPhotographsError: see `picture`; nothing is written then.
    """
    known = photographs()
    sources = [picture(one) for one in known]
    for name, write in _LAYOUTS.items():
        write_atomically(folder / name, lambda place, write=write: write(place, known, sources))  # type: ignore[misc]
    return folder


def sample_folder() -> Path:
    """Where the cache holds the sample photographs; the first call lays them out.

    Raises:
        LayoutError: see `picture`.
    """
    root = cache_folder()
    folder = root / f"photographs-{sha256(TEXTS)[:16]}"  # other texts, another folder
    if folder.is_dir():  # also where nothing may be written
        return folder
    with lock(folder):  # of several processes one writes
        if not folder.is_dir():
            remove_partial(folder)
            try:
                write_atomically(folder, write_photographs)
            except MissingPhotographsError as missing:
                raise LayoutError(f"photographs: {missing}") from missing
    return folder


def read(place: Place) -> Source:
    """The pairs of the sample photographs."""
    place.file("pairs/metadata.jsonl")
    return pairs.read(place._replace(folder=place.folder / "pairs"))


PHOTOGRAPHS = DataSet(
    name="photographs",
    task="captions",
    title="sample photographs of installed packages",
    source="scikit-image, scikit-learn, matplotlib",
    licence="each picture's own: real/samples/photographs.json",
    size="none: with the extra `photos`",
    splits=Fixed({"train": 16, "test": 16}),
    folder="photographs",
    read=read,
    layout="pairs/metadata.jsonl\npairs/images/*",
    example='{"image": "images/chelsea.png", "caption": "A ...", "summary": "A cat."}',
    note="Laid out in the cache where no folder is given. Its splits are the same 16 pictures: it\n"
    "shows that training and evaluation run, and measures nothing.",
    supply=sample_folder,
)


def _copy(sources: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for source in sources:
        shutil.copy(source, folder / source.name)


def _lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def _coco(folder: Path, known: Sequence[dict[str, Any]], sources: Sequence[Path]) -> None:
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, (one, source) in enumerate(zip(known, sources, strict=True)):
        width, height = one["size"]
        images.append({"id": number, "file_name": source.name, "width": width, "height": height})
        for caption in one["short_captions"]:
            row = {"image_id": number, "id": len(annotations), "caption": caption}
            annotations.append(row)
    content = {"images": images, "annotations": annotations}
    for part in ("train2017", "val2017"):
        _copy(sources, folder / part)
        write_json(folder / "annotations" / f"captions_{part}.json", content)


def _docci(folder: Path, known: Sequence[dict[str, Any]], sources: Sequence[Path]) -> None:
    _copy(sources, folder / "images")
    rows = (
        {"example_id": f"{split}_{n:05d}", "split": split, "image_file": source.name,
         "description": one["caption"]}
        for split in ("test", "train")
        for n, (one, source) in enumerate(zip(known, sources, strict=True))
    )  # fmt: skip
    _lines(folder / "docci_descriptions.jsonlines", rows)


def _sharegpt4v(folder: Path, known: Sequence[dict[str, Any]], sources: Sequence[Path]) -> None:
    """The first `HELD_OUT` rows are never trained on, so that the photographs stand there again."""
    _copy(sources, folder / "images")
    once = [
        {"image": f"images/{source.name}", "conversations": [
            {"from": "human", "value": "What do you see?"}, {"from": "gpt", "value": one["caption"]}
        ]}
        for one, source in zip(known, sources, strict=True)
    ]  # fmt: skip
    held_out = itertools.islice(itertools.cycle(once), HELD_OUT)
    (folder / FILE).write_text(json.dumps([*held_out, *once]), encoding="utf-8")


def _pairs(folder: Path, known: Sequence[dict[str, Any]], sources: Sequence[Path]) -> None:
    _copy(sources, folder / "images")
    rows = (
        {"image": f"images/{source.name}", "caption": one["caption"],
         "summary": one["short_captions"][0]}
        for one, source in zip(known, sources, strict=True)
    )  # fmt: skip
    _lines(folder / "metadata.jsonl", rows)


def _fgovd(folder: Path, known: Sequence[dict[str, Any]], sources: Sequence[Path]) -> None:
    folder.mkdir(parents=True)
    for letter, changed in LEVELS.items():
        rows = _region_rows(known, sources, lambda r, _, k=changed: false_expressions(r, k))
        _lines(folder / f"{letter}_attributes_llava.jsonl", rows)
    true = [true_expression(region) for one in known for region in one["regions"]]

    def others(region: dict[str, Any], number: int) -> list[str]:
        turned = true[number + 1 :] + true[:number]
        return list(itertools.islice((text for text in turned if text != true[number]), NEGATIVES))

    rows = _region_rows(known, sources, others)
    _lines(folder / "shuffle_negatives_llava.jsonl", rows)


_LAYOUTS = {
    "coco": _coco, "docci": _docci, "fgovd": _fgovd, "pairs": _pairs, "sharegpt4v": _sharegpt4v
}  # fmt: skip


def _region_rows(
    known: Sequence[dict[str, Any]], sources: Sequence[Path], negatives: Any
) -> Iterator[dict[str, Any]]:
    number = 0
    for one, source in zip(known, sources, strict=True):
        for region in one["regions"]:
            yield {
                "img_path": f"val2017/{source.name}",
                "bbox": region["box"],
                "pos_expression": [true_expression(region)],
                "neg_expression": negatives(region, number),
                "width": one["size"][0],
                "height": one["size"][1],
                "sent_id": number,
            }
            number += 1


def true_expression(region: dict[str, Any]) -> str:
    """The expression that is true of a region: the first value of each attribute."""
    text: str = region["expression"].format(*(values[0] for values in region["attributes"]))
    return text


def false_expressions(region: dict[str, Any], changed: int) -> list[str]:
    """Ten expressions that differ from the true one in `changed` attributes, as FG-OVD makes them.

    They are drawn among all that there are, the same ones every time.
    """
    values = region["attributes"]
    pool = [
        region["expression"].format(*chosen)
        for way in itertools.combinations(range(len(values)), changed)
        for chosen in itertools.product(
            *(several[1:] if n in way else several[:1] for n, several in enumerate(values))
        )
    ]
    return random.Random(f"{true_expression(region)} {changed}").sample(pool, NEGATIVES)


@dataclass(frozen=True)
class Options:
    """Write the sample photographs as data sets that the loaders read."""

    folder: tyro.conf.Positional[Path]  # becomes the folder above the data sets, $BCLIP_DATA


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: write the sample photographs."""
    options = read_options(Options, arguments, "python -m bclip_core.data.real.photographs")
    print(write_photographs(options.folder))


if __name__ == "__main__":
    run_command(main, ValueError)
