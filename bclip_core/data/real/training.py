"""Captioned pictures as rows that `bclip_core.train` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset, Image, load_from_disk

from bclip_core.captions import PhraseExtractor, decompose_dataset, split_sentences
from bclip_core.data.real.sets import CaptionedImage, CaptionSet, encoded
from bclip_core.data.scenes.build import CACHE_VARIABLE, cache_folder
from bclip_core.records.files import remove_partial, write_atomically
from bclip_core.records.locks import lock
from bclip_core.records.machine import usable_cores
from bclip_core.records.texts import clean_text

MANY = 20_000  # captions from which on several processes look for phrases


def training_rows(captions: CaptionSet, extractor: PhraseExtractor | None = None) -> Dataset:
    """The columns of `batches.REQUIRED_COLUMNS`; phrases are extracted once and cached.

    A picture with several captions gets their join, each made a sentence, as its long caption and
    has them as its short ones. The short one of a picture with a single caption is its summary,
    else its first sentence (as Long-CLIP does for ShareGPT4V).

    Args:
        captions: at least one picture.
        extractor: finds the phrases; None takes `captions.default_extractor()`.

    Raises:
        OSError: the cache cannot be written; the message names the variable that moves it.
    """
    rows = [text_row(item) for item in captions.items]
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode())
    name = f"{captions.name}-{captions.split}-{digest.hexdigest()[:16]}"
    with kept():
        dataset = _decomposed(cache_folder() / "captions" / name, rows, extractor)
    dataset = dataset.add_column("image", [encoded(item.image) for item in captions.items])
    return dataset.cast_column("image", Image())


@contextmanager
def kept() -> Iterator[None]:
    """Around work that writes to the cache.

    Raises:
        OSError: it cannot be written; the message names the variable that moves it.
    """
    try:
        yield
    except OSError as error:
        reason = f"{error}; set ${CACHE_VARIABLE} to a folder that can be written"
        raise OSError(error.errno, f"captions cannot be kept: {reason}") from error


def _decomposed(
    folder: Path, rows: list[dict[str, Any]], extractor: PhraseExtractor | None
) -> Dataset:
    """The rows with their sentences and phrases, kept in a folder of the cache."""
    with lock(folder):  # of several ranks one works, the others wait and read
        if not folder.is_dir():
            remove_partial(folder)
            write_atomically(folder, Dataset.from_list(rows).save_to_disk)
        stored = load_from_disk(folder)
        assert isinstance(stored, Dataset)
        processes = usable_cores() if len(rows) >= MANY else None
        return decompose_dataset(stored, extractor=extractor, num_proc=processes)


def text_row(item: CaptionedImage) -> dict[str, Any]:
    """The texts of a picture as a training reads them, see `training_rows`."""
    # Repaired before anything lower-cases, so that training reads the tokens that evaluation does.
    captions = list(map(clean_text, item.captions))
    short = captions if len(captions) > 1 else [clean_text(item.summary)]
    if not short[0]:
        short = [split_sentences(captions[0])[0]]
    caption = " ".join(map(_as_sentence, captions))
    return {"id": item.id, "caption": caption, "short_captions": short}


def _as_sentence(caption: str) -> str:
    return caption if caption.endswith((".", "!", "?")) else f"{caption}."
