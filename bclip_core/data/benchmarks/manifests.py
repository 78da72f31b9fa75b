"""What exactly a split holds: counts, and a checksum of pictures' names and texts in order."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from bclip_core.data.benchmarks.records import (
    AnySet,
    CaptionedImage,
    LabelledImage,
    PhotoRegion,
)


def manifest(found: AnySet) -> dict[str, Any]:
    """Counts and checksum of a split; the same wherever its pictures lie.

    The checksum is the SHA-256 of one line of JSON per item, UTF-8, each with a line feed:
    `[picture, [caption, ...]]`, for regions `[picture, [x, y, w, h], [true, false, ...]]`, for
    classes `[picture, label]`.

    Returns:
        name, split, items, texts, left_out, sha256.
    """
    digest, texts = hashlib.sha256(), 0
    for item in found.items:
        line = _line(item)
        texts += len(line[-1]) if isinstance(line[-1], list) else 0
        digest.update(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return {
        "name": found.name,
        "split": found.split,
        "items": len(found.items),
        "texts": texts,
        "left_out": len(found.left_out),
        "sha256": digest.hexdigest(),
    }


def _line(item: CaptionedImage | PhotoRegion | LabelledImage) -> list[Any]:
    if isinstance(item, CaptionedImage):
        return [item.id, list(item.captions)]
    if isinstance(item, PhotoRegion):
        return [item.picture, list(item.box), list(item.captions)]
    return [item.id, item.label]
