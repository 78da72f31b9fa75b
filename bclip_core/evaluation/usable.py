"""Which items of a data set can be measured: their pictures decode, their texts are not blank."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import datasets

from bclip_core.backbone import Tokenizer
from bclip_core.data.images import BrokenImageError, decode_row
from bclip_core.data.real import DataError, LeftOut
from bclip_core.data.real.sets import AnySet, PhotoRegion, Picture, RegionSet, encoded

BAD_ROWS = ("raise", "skip")
SomeSet = TypeVar("SomeSet", bound=AnySet)


def usable_items(found: SomeSet, tokenizer: Tokenizer, size: int, bad_rows: str) -> SomeSet:
    """A set without the items that cannot be measured; its `left_out` then names them.

    Blank texts are looked for in any case, broken pictures for "skip" alone (every picture is
    decoded once for it; otherwise the measurement itself meets them).

    Args:
        found: any set.
        tokenizer: a text in which it finds nothing is blank.
        size: side in pixels that pictures are brought to.
        bad_rows: "raise" or "skip".

    Raises:
        DataError: a blank text and "raise"; or nothing is left.
    """
    faults = _blank_texts(found, tokenizer)
    if faults and bad_rows == "raise":
        number, reason = next(iter(faults.items()))
        raise DataError(f"{found.name} {found.split}, {_place(found, number)}: {reason}")
    if bad_rows == "skip":
        faults = _broken_pictures(found, size) | faults
    if not faults:
        return found
    left_out = (LeftOut(_place(found, number), faults[number]) for number in sorted(faults))
    kept = tuple(item for number, item in enumerate(found.items) if number not in faults)
    if not kept:
        reason = faults[min(faults)]
        raise DataError(f"{found.name} {found.split}: no item can be used, the first: {reason}")
    replace: Any = dataclasses.replace  # typed for dataclasses, which every set is
    rest: SomeSet = replace(found, items=kept, left_out=(*found.left_out, *left_out))
    print(f"{found.name} {found.split}: left out {len(faults):,} more items that cannot be used")
    return rest


def _place(found: AnySet, number: int) -> str:
    return f"item {number}, id {found.items[number].id!r}"


def _blank_texts(found: AnySet, tokenizer: Tokenizer) -> dict[int, str]:
    """Items with a text that the tokenizer sees nothing in, by number, with the reason."""
    faults = {}
    for number, item in enumerate(found.items):
        summary = getattr(item, "summary", "")
        for text in (*getattr(item, "captions", ()), *([summary] if summary else [])):
            try:
                tokenizer.count(text)
            except ValueError:
                faults[number] = f"caption={text!r}: expected a text that is not blank"
    return faults


def _broken_pictures(found: AnySet, size: int) -> dict[int, str]:
    """Items whose picture cannot be decoded, by number, with the reason."""
    whole, reasons = isinstance(found, RegionSet), dict[Picture, str]()
    pictures = list(dict.fromkeys(map(_picture, found.items)))
    stored = datasets.Dataset.from_dict(
        {"id": [str(n) for n in range(len(pictures))], "image": [encoded(p) for p in pictures]}
    ).cast_column("image", datasets.Image(decode=False))
    for row, picture in enumerate(pictures):
        try:
            decode_row(stored, row, size, whole=whole)
        except BrokenImageError as error:
            reasons[picture] = str(error)
    broken = enumerate(map(_picture, found.items))
    return {number: reasons[picture] for number, picture in broken if picture in reasons}


def _picture(item: Any) -> Picture:
    picture: Picture = item.photo if isinstance(item, PhotoRegion) else item.image
    return picture
