"""ShareGPT4V: 1.2M long captions for training; its first 1,000 rows are SV-1k."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.data.real.json_files import json_array
from bclip_core.data.real.record import NOT_CHECKED, DataSet, Hub, Place, Source
from bclip_core.data.real.rows import Row, RowError, field_of, shortened

HELD_OUT = 1000  # first rows of the file: SV-1k, never trained on (Long-CLIP, β-CLIP)
FILE = "share-captioner_coco_lcs_sam_1246k_1107.json"
FILTERED = "share-captioner_coco_lcs_sam_1246k_1107_filtered.json"  # the β-CLIP authors' own
_ANSWERS = ("gpt", "assistant")
_PLACE = "<image>"  # stands for the picture in LLaVA's texts, and is no word of a caption


def read(place: Place) -> Source:
    """The rows that are held out, or for training all that follow.

    Of the β-CLIP authors' filtered file the first 1,000 rows are left out as well, as they do. It
    lacks some rows, so that its first ones are not SV-1k and none of its later ones is.
    """
    train = place.split == "train"
    path, pictures = (_filtered(place) if train else None) or (place.file(FILE), place.folder)
    first, stop = (HELD_OUT, None) if train else (0, HELD_OUT)
    rows = map(_changed, itertools.islice(json_array(path), first, stop))
    return Source(path, rows, pictures)


def _filtered(place: Place) -> tuple[Path, Path] | None:
    """The filtered file where the official one is not there, and the folder of its pictures.

    Both lie as their authors have them, in `annotations` and `data`, or as the official ones do.
    """
    names = [name for name in (f"annotations/{FILTERED}", FILTERED)
             if (place.folder / name).is_file()]  # fmt: skip
    official = (place.folder / FILE).is_file()
    if not names:
        return None
    if official:
        print(f"sharegpt4v: {FILE} is read; {names[0]} beside it is not: move one of them away")
        return None
    print(f"sharegpt4v: {names[0]}, the filtered rows of β-CLIP's authors")
    within = place.folder / "data"
    return place.file(names[0]), within if within.is_dir() else place.folder


def _changed(row: Row) -> Row:
    return Row(row.place, lambda: _row(row.value()))


def _row(row: Any) -> dict[str, Any]:
    name, turns = field_of(row, "image", str), field_of(row, "conversations", list)
    try:
        return {"image": name, "caption": answer_of(turns)}
    except RowError as error:
        raise RowError(f"picture {name!r}: {error}") from error


def answer_of(turns: Any) -> str:
    """The caption in a conversation: the first turn that is the model's, by who speaks in it.

    Raises:
        RowError: no turn of "gpt" or "assistant", or one without a text.
    """
    if not isinstance(turns, list):
        raise RowError(f"conversations={shortened(turns)}: expected a list of turns")
    speakers = []
    for turn in turns:
        named = (
            "role" if isinstance(turn, dict) and "from" not in turn and "role" in turn else "from"
        )
        speaker = field_of(turn, named, str)
        if speaker.strip().lower() in _ANSWERS:
            said = field_of(turn, "content" if "content" in turn else "value", str)
            return (
                said.strip().removeprefix(_PLACE).removesuffix(_PLACE) if _PLACE in said else said
            )
        speakers.append(speaker)
    all_said = f"{len(turns)} turns of {', '.join(speakers) or 'nobody'}"
    raise RowError(f"{all_said}: expected one of {' or '.join(_ANSWERS)}, which is the caption")


_LAYOUT = """\
share-captioner_coco_lcs_sam_1246k_1107.json
coco/train2017/*.jpg
llava/llava_pretrain/images/*/*.jpg
sam/images/*.jpg"""
_ROW = (
    '{"image": "coco/train2017/000000000009.jpg", "conversations": '
    '[{"from": "human", "value": "..."}, {"from": "gpt", "value": "The caption."}]}'
)

SV1K = DataSet(
    name="sv1k",
    task="captions",
    title="ShareGPT4V, first 1,000 rows (SV-1k)",
    source="https://huggingface.co/datasets/Lin-Chen/ShareGPT4V",
    licence="CC BY-NC 4.0, and OpenAI's terms of use",
    size=NOT_CHECKED,
    splits=Fixed({"test": HELD_OUT}),
    folder="sharegpt4v",
    read=read,
    layout=_LAYOUT,
    example=_ROW,
    captions=1,
)

SHAREGPT4V = DataSet(
    name="sharegpt4v",
    task="captions",
    title="ShareGPT4V, 1.2M captions",
    source="https://huggingface.co/datasets/Lin-Chen/ShareGPT4V",
    licence="CC BY-NC 4.0, and OpenAI's terms of use",
    size=NOT_CHECKED,
    splits=Fixed({"train": 0, "test": HELD_OUT}),
    folder="sharegpt4v",
    read=read,
    layout=_LAYOUT,
    example=_ROW,
    captions=1,
    note="train is every row from row 1,000 on; test is SV-1k. The caption is the first answer. "
    f"Training reads annotations/{FILTERED} with pictures in data/ where the official file is not.",
    hub=Hub(
        "Lin-Chen/ShareGPT4V",
        Fixed({"picture": "image", "captions": "conversations"}),
        Fixed({"train": "train", "test": "train"}),
        config="ShareGPT4V-PT",
        note="captions only; the pictures come from COCO, LLaVA and SAM",
    ),
)
