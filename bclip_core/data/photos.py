"""Real photos in their official layouts: COCO captions, FG-OVD regions, a picture of one's own."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Image, load_from_disk
from PIL import Image as PILImage
from torch import Tensor

from bclip_core.captions import PhraseExtractor, decompose_dataset
from bclip_core.data.images import BrokenImageError, image_to_pixels, resize_whole
from bclip_core.data.scenes.build import CACHE_VARIABLE
from bclip_core.files import read_json, write_atomically

CAPTIONS_PER_PHOTO = 5  # a few photos of COCO have six or seven; retrieval is defined on five


def load_coco_captions(
    root: str | os.PathLike[str], extractor: PhraseExtractor | None = None
) -> Dataset:
    """COCO val2017 in the collection's schema; says how many of its photos are on disk.

    The long caption is the join of a photo's first five captions, each made a sentence; the short
    captions are these five. Sentences and phrases are extracted once and cached.

    Args:
        root: has `annotations/captions_val2017.json` and the folder `val2017`, as COCO unpacks.
        extractor: finds the phrases; None takes `captions.default_extractor()`.

    Raises:
        FileNotFoundError: no annotations, or no photo, under `root`.
        ValueError: the annotations are not COCO's captions.
    """
    root = Path(root)
    captions = _coco_captions(root / "annotations" / "captions_val2017.json")
    present = {name: texts for name, texts in captions.items() if (root / name).is_file()}
    print(f"{len(present)} of the {len(captions)} photos of COCO val2017 are in {root / 'val2017'}")
    if not present:
        raise FileNotFoundError(f"{root / 'val2017'}: expected photos of COCO val2017")
    columns = {
        "id": [Path(name).stem for name in present],
        "caption": [" ".join(map(_as_sentence, texts)) for texts in present.values()],
        "short_captions": list(present.values()),
    }
    dataset = decompose_dataset(_stored(columns), extractor=extractor)
    dataset = dataset.add_column("image", [str(root / name) for name in present])
    return dataset.cast_column("image", Image(mode="RGB"))


@dataclass(frozen=True)
class PhotoRegion:
    """One item of FG-OVD: an object and its captions.

    Attributes:
        photo: file of the picture.
        box: x, y, width, height in pixels of the original picture.
        captions: the true one, then the false ones.
        size: width and height of the original picture in pixels.
    """

    photo: Path
    box: tuple[float, float, float, float]
    captions: tuple[str, ...]
    size: tuple[int, int]


def load_fgovd(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> list[PhotoRegion]:
    """The items of one FG-OVD file whose photo is on disk; says how many of how many.

    Args:
        path: a JSON-lines file of FG-OVD (Bianchi et al., CVPR 2024) as FG-CLIP and β-CLIP use it.
        root: folder of COCO's photos, above `val2017`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is not an FG-OVD item; file and line are named.
    """
    path, root = Path(path), Path(root)
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            items.append(_region(json.loads(line), root))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            reason = f"no field {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path}, line {number}: {reason}") from error
    present = [item for item in items if item.photo.is_file()]
    print(f"{path.name}: {len(present)} of {len(items)} items have their photo in {root}")
    return present


def load_photo(path: str | os.PathLike[str], image_size: int, *, whole: bool = False) -> Tensor:
    """Any picture file as uint8 [3, S, S].

    Args:
        path: of the picture.
        image_size: S.
        whole: squash all of it to the square, as for FG-OVD; else crop the centre.

    Raises:
        FileNotFoundError: no such file.
        BrokenImageError: the file cannot be decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"picture {path}: no such file")
    try:
        with PILImage.open(path) as image:
            return (resize_whole if whole else image_to_pixels)(image, image_size)
    except Exception as error:  # damaged files raise many kinds
        raise BrokenImageError(f"picture {path} cannot be decoded: {error}") from error


def _coco_captions(path: Path) -> dict[str, list[str]]:
    """Captions by the photo's name below COCO's root, in the order of the annotations' numbers."""
    stored = read_json(path)
    try:
        names = {image["id"]: f"val2017/{image['file_name']}" for image in stored["images"]}
        captions: dict[str, list[str]] = {name: [] for name in names.values()}
        for annotation in sorted(stored["annotations"], key=lambda item: item["id"]):
            captions[names[annotation["image_id"]]].append(annotation["caption"].strip())
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected COCO captions, but {error!r}") from error
    return {name: texts[:CAPTIONS_PER_PHOTO] for name, texts in captions.items()}


def _as_sentence(caption: str) -> str:
    text = " ".join(caption.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _stored(columns: dict[str, Any]) -> Dataset:
    """The columns as a data set on disk, so that `decompose_dataset` finds its own result again."""
    root = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "bclip")
    digest = hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]
    folder = root / "photos" / f"coco-{digest}"
    if not folder.is_dir():
        write_atomically(folder, Dataset.from_dict(columns).save_to_disk)
    stored = load_from_disk(folder)
    assert isinstance(stored, Dataset)
    return stored


def _region(item: dict[str, Any], root: Path) -> PhotoRegion:
    x, y, width, height = map(float, item["bbox"])
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise ValueError(f"bbox={item['bbox']}: expected x, y, width > 0, height > 0")
    captions = (*item["pos_expression"][:1], *item["neg_expression"])
    if len(captions) < 2 or not all(isinstance(text, str) and text.strip() for text in captions):
        raise ValueError(f"captions {captions}: expected a true text and at least one false one")
    size = (int(item["width"]), int(item["height"]))
    return PhotoRegion(root / item["img_path"], (x, y, width, height), captions, size)
