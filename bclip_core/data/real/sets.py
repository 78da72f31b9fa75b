"""What the loaders give: small typed records, and sets of them with what was left out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import datasets
import torch
from torch import Tensor

from bclip_core.captions import split_sentences
from bclip_core.data.real.rows import LeftOut

Picture = Path | bytes  # a file, or a whole file's content where a table embeds it


@dataclass(frozen=True, slots=True)  # there may be a million
class CaptionedImage:
    """A picture and its captions.

    Attributes:
        id: the picture's name in the annotations, which no other item has.
        image: its file, or the encoded picture.
        captions: at least one, white space collapsed, in the order of the annotations.
        summary: a short caption where the data set has one of its own, else "".
    """

    id: str
    image: Picture
    captions: tuple[str, ...]
    summary: str = ""


@dataclass(frozen=True)
class PhotoRegion:
    """One item of FG-OVD: an object and its captions.

    Attributes:
        photo: file of the picture.
        box: x, y, width, height in pixels of the original picture.
        captions: the true one, then the false ones.
        size: width and height of the original picture in pixels.
        id: number of the annotation.
        picture: the photo's name in the annotations.
    """

    photo: Path
    box: tuple[float, float, float, float]
    captions: tuple[str, ...]
    size: tuple[int, int]
    id: str = ""
    picture: str = ""


@dataclass(frozen=True)
class LabelledImage:
    """A picture of one class; `id` is its name below the data set's folder."""

    id: str
    image: Picture
    label: int


class _Rows:
    """What the sets of a split share."""

    items: tuple[Any, ...]
    whole: bool

    def __len__(self) -> int:
        return len(self.items)

    def first(self, count: int) -> Self:
        """The first `count` rows as a set of their own, which is not `whole` unless it has all."""
        replace: Any = dataclasses.replace  # typed for dataclasses, which every subclass is
        whole = self.whole and count >= len(self.items)
        first: Self = replace(self, items=self.items[:count], whole=whole)
        return first


@dataclass(frozen=True)
class CaptionSet(_Rows):
    """Captioned pictures of one split.

    Attributes:
        name: of the data set.
        split: of the data set.
        items: in the order of the annotations.
        left_out: rows that are not used, with the reason.
        whole: whether the split was read to its end.
        folder: name of the folder or table of one's own data; "" for an official set.
    """

    name: str
    split: str
    items: tuple[CaptionedImage, ...]
    left_out: tuple[LeftOut, ...] = ()
    whole: bool = True
    folder: str = field(default="", compare=False, kw_only=True)

    def texts(self, *, limit: int | None = None, summary: bool = False) -> list[list[str]]:
        """The texts of each picture.

        Args:
            limit: at most so many captions of a picture; None takes all.
            summary: the short caption instead: the data set's own, else the first sentence.
        """
        if summary:
            return [[item.summary or split_sentences(item.captions[0])[0]] for item in self.items]
        return [list(item.captions[:limit]) for item in self.items]

    def to_dataset(self) -> datasets.Dataset:
        """Columns `id`, `image`, `captions`, as `data.images.decode_images` reads them."""
        return _dataset(self.items, captions=[list(item.captions) for item in self.items])


@dataclass(frozen=True)
class RegionSet(_Rows):
    """Regions of one level of difficulty, which is the split; else as `CaptionSet`."""

    name: str
    split: str
    items: tuple[PhotoRegion, ...]
    left_out: tuple[LeftOut, ...] = ()
    whole: bool = True
    folder: str = field(default="", compare=False, kw_only=True)

    def photos(self) -> list[Path]:
        """The distinct pictures, in order of first use."""
        return list(dict.fromkeys(item.photo for item in self.items))


@dataclass(frozen=True)
class LabelledSet(_Rows):
    """Pictures of named classes; else as `CaptionSet`.

    Attributes:
        class_names: what label 0, 1, 2, ... is called in the data set; empty where the data set
            numbers ImageNet's classes (open_clip's IMAGENET_CLASSNAMES names those).
    """

    name: str
    split: str
    items: tuple[LabelledImage, ...]
    class_names: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    whole: bool = True
    folder: str = field(default="", compare=False, kw_only=True)

    def labels(self) -> Tensor:
        """The class of each picture, int64 [M]."""
        return torch.tensor([item.label for item in self.items], dtype=torch.int64)

    def to_dataset(self) -> datasets.Dataset:
        """Columns `id`, `image`, `label`, as `data.images.decode_images` reads them."""
        return _dataset(self.items, label=[item.label for item in self.items])


AnySet = CaptionSet | RegionSet | LabelledSet


def _dataset(items: Sequence[CaptionedImage | LabelledImage], **columns: Any) -> datasets.Dataset:
    ids, pictures = [item.id for item in items], [encoded(item.image) for item in items]
    dataset = datasets.Dataset.from_dict({"id": ids, "image": pictures, **columns})
    return dataset.cast_column("image", datasets.Image())


def encoded(picture: Picture) -> dict[str, Any]:
    """A picture as `datasets.Image` stores it."""
    if isinstance(picture, bytes):
        return {"bytes": picture, "path": None}
    return {"bytes": None, "path": str(picture)}


def manifest(found: AnySet) -> dict[str, Any]:
    """Counts and checksum of a split; the same wherever its pictures lie.

    The checksum is the SHA-256 of one line of JSON per item, UTF-8, each with a line feed:
    `[picture, [caption, ...]]`, for regions `[picture, [x, y, w, h], [true, false, ...]]`, for
    classes `[picture, label]`.

    Returns:
        name, split, items, texts, left_out, sha256; for one's own data also folder.
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
    } | ({"folder": found.folder} if found.folder else {})


def _line(item: CaptionedImage | PhotoRegion | LabelledImage) -> list[Any]:
    if isinstance(item, CaptionedImage):
        return [item.id, list(item.captions)]
    if isinstance(item, PhotoRegion):
        return [item.picture, list(item.box), list(item.captions)]
    return [item.id, item.label]
