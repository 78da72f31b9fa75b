"""Captioned pictures as rows that `bclip_core.train` reads."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from datasets import Dataset, Image, load_from_disk
from filelock import FileLock

from bclip_core.captions import PhraseExtractor, decompose_dataset, split_sentences
from bclip_core.data.real.sets import CaptionedImage, CaptionSet, encoded
from bclip_core.data.scenes.build import CACHE_VARIABLE
from bclip_core.records.files import write_atomically
from bclip_core.records.texts import clean_text

_MANY = 20_000  # captions from which on several processes look for phrases


def training_rows(captions: CaptionSet, extractor: PhraseExtractor | None = None) -> Dataset:
    """The columns of `batches.REQUIRED_COLUMNS`; phrases are extracted once and cached.

    A picture with several captions gets their join, each made a sentence, as its long caption and
    has them as its short ones. The short one of a picture with a single caption is its summary,
    else its first sentence (as Long-CLIP does for ShareGPT4V).

    Args:
        captions: at least one picture.
        extractor: finds the phrases; None takes `captions.default_extractor()`.
    """
    rows = [_row(item) for item in captions.items]
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode())
    root = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "bclip") / "captions"
    folder = root / f"{captions.name}-{captions.split}-{digest.hexdigest()[:16]}"
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # of several ranks one works, the others read
        if not folder.is_dir():
            write_atomically(folder, Dataset.from_list(rows).save_to_disk)
        stored = load_from_disk(folder)
        assert isinstance(stored, Dataset)
        processes = os.cpu_count() if len(rows) >= _MANY else None
        dataset = decompose_dataset(stored, extractor=extractor, num_proc=processes)
    dataset = dataset.add_column("image", [encoded(item.image) for item in captions.items])
    return dataset.cast_column("image", Image())


def _row(item: CaptionedImage) -> dict[str, Any]:
    # Repaired before anything lower-cases, so that training reads the tokens that evaluation does.
    captions = list(map(clean_text, item.captions))
    short = captions if len(captions) > 1 else [clean_text(item.summary)]
    if not short[0]:
        short = [split_sentences(captions[0])[0]]
    caption = " ".join(map(_as_sentence, captions))
    return {"id": item.id, "caption": caption, "short_captions": short}


def _as_sentence(caption: str) -> str:
    return caption if caption.endswith((".", "!", "?")) else f"{caption}."
