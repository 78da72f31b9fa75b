"""Captioned pictures as rows that `bclip_core.train` reads."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from datasets import Dataset, Image, load_from_disk

from bclip_core.captions import PhraseExtractor, decompose_dataset, split_sentences
from bclip_core.data.benchmarks.records import CaptionSet, encoded
from bclip_core.data.scenes.build import CACHE_VARIABLE
from bclip_core.files import write_atomically


def training_rows(captions: CaptionSet, extractor: PhraseExtractor | None = None) -> Dataset:
    """The columns of `batches.REQUIRED_COLUMNS`; phrases are extracted once and cached.

    A picture with several captions gets their join, each made a sentence, as its long caption and
    has them as its short ones. The short one of a picture with a single caption is its summary,
    else its first sentence (as Long-CLIP does for ShareGPT4V).

    Args:
        captions: at least one picture.
        extractor: finds the phrases; None takes `captions.default_extractor()`.
    """
    columns: dict[str, list[Any]] = {"id": [], "caption": [], "short_captions": []}
    for item in captions.items:
        single = len(item.captions) == 1
        columns["id"].append(item.id)
        columns["caption"].append(" ".join(map(_as_sentence, item.captions)))
        short = [item.summary or split_sentences(item.captions[0])[0]]
        columns["short_captions"].append(short if single else list(item.captions))
    dataset = decompose_dataset(_stored(columns, captions.name), extractor=extractor)
    dataset = dataset.add_column("image", [encoded(item.image) for item in captions.items])
    return dataset.cast_column("image", Image())


def _as_sentence(caption: str) -> str:
    return caption if caption.endswith((".", "!", "?")) else f"{caption}."


def _stored(columns: dict[str, Any], name: str) -> Dataset:
    """The columns as a data set on disk, so that `decompose_dataset` finds its own result again."""
    root = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "bclip")
    digest = hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]
    folder = root / "photos" / f"{name}-{digest}"
    if not folder.is_dir():
        write_atomically(folder, Dataset.from_dict(columns).save_to_disk)
    stored = load_from_disk(folder)
    assert isinstance(stored, Dataset)
    return stored
