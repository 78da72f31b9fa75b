"""Decomposes the captions of a data set once; `datasets` keeps the result in its cache."""

from __future__ import annotations

import re
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bclip_core.captions.hierarchy import default_extractor, extract_all, sentences_of
from bclip_core.captions.phrases import PhraseExtractor

if TYPE_CHECKING:
    from datasets import Dataset

_MANY = 2_000  # captions from which on an estimate of the time is printed first
_TRIED = 24  # captions that the estimate is made from
_NOTE = "phrase extractor: {}"
_NOTE_PATTERN = re.compile(r"^phrase extractor: (\S+)$", re.MULTILINE)


def decompose_dataset(
    dataset: Dataset,
    caption_column: str = "caption",
    extractor: PhraseExtractor | None = None,
    num_proc: int | None = None,
) -> Dataset:
    """Add the columns `sentences` (list of texts) and `phrases` (one list of texts per sentence).

    The result's fingerprint depends on the data, the column and the extractor's name alone: for a
    data set on disk a second call reads the cache, and another extractor never gets the first
    one's phrases. Whoever changes what an extractor gives must change its name. The name is kept in
    the data set's description; `extractor_of` reads it.

    Args:
        dataset: with one long caption per row.
        caption_column: which column holds it.
        extractor: finds the phrases of a sentence; None takes `default_extractor()`.
        num_proc: processes that share the work; None works in this one.

    Raises:
        ValueError: the column is missing, `sentences` or `phrases` is there already, or a caption
            is missing, blank or no string; the message names column, row and value.
    """
    from datasets import Features, List, Value
    from datasets.fingerprint import Hasher

    if caption_column not in dataset.column_names:
        raise ValueError(f"column {caption_column!r}: expected one of {dataset.column_names}")
    taken = {"sentences", "phrases"} & set(dataset.column_names)
    if taken:
        raise ValueError(f"columns {sorted(taken)}: expected a data set without; remove them first")
    extractor = extractor or default_extractor()
    added = {"sentences": List(Value("string")), "phrases": List(List(Value("string")))}
    identity = (dataset._fingerprint, caption_column, extractor.name, "sentences and phrases")
    fingerprint = Hasher.hash(identity)
    if len(dataset) >= _MANY and not _is_cached(dataset, fingerprint):
        seconds = _estimate(dataset, caption_column, extractor) / (num_proc or 1)
        print(
            f"phrases of {len(dataset):,} captions by {extractor.name}: about "
            f"{seconds / 60:.0f} min in {num_proc or 1} processes, once for this data set"
        )
    decomposed = dataset.map(
        _decompose_rows,
        batched=True,
        batch_size=100,
        with_indices=True,
        input_columns=caption_column,
        fn_kwargs={"column": caption_column, "extractor": extractor},
        features=Features({**dataset.features, **added}),
        num_proc=num_proc,
        new_fingerprint=fingerprint,
        desc=f"phrases by {extractor.name}",
    )
    decomposed.info.description = _described(dataset.info.description, extractor.name)
    return decomposed


def extractor_of(dataset: Dataset) -> str | None:
    """The name of the extractor that `decompose_dataset` used; None when it made no phrases."""
    found = _NOTE_PATTERN.findall(dataset.info.description or "")
    return found[-1] if found else None


def _described(description: str | None, name: str) -> str:
    rest = _NOTE_PATTERN.sub("", description or "").strip()
    return f"{rest}\n{_NOTE.format(name)}".strip()


def _is_cached(dataset: Dataset, fingerprint: str) -> bool:
    """Whether a call before has left its result beside the data set's files."""
    folders = {Path(file["filename"]).parent for file in dataset.cache_files}
    return any(any(folder.glob(f"cache-{fingerprint}*.arrow")) for folder in folders)


def _estimate(dataset: Dataset, column: str, extractor: PhraseExtractor) -> float:
    """Seconds that one process takes for all captions, by some that lie evenly among them."""
    extract_all(["A dog sits on a chair."], extractor)  # loads a model
    rows = range(0, len(dataset), max(1, len(dataset) // _TRIED))
    began = time.perf_counter()
    for start in rows:
        found = dataset[start][column]
        if isinstance(found, str) and found.strip():  # what is wrong is said in its turn
            extract_all(sentences_of(found), extractor)
    return (time.perf_counter() - began) * len(dataset) / len(rows)


def _decompose_rows(
    captions: list[Any], rows: list[int], column: str, extractor: PhraseExtractor
) -> dict[str, list[Any]]:
    sentences = []
    for caption, row in zip(captions, rows, strict=True):
        try:
            sentences.append(list(sentences_of(caption)))
        except ValueError as error:
            raise ValueError(f"column {column!r}, row {row}: {error}") from error
    phrases = iter(extract_all([*chain.from_iterable(sentences)], extractor))
    return {
        "sentences": sentences,
        "phrases": [[list(next(phrases)) for _ in texts] for texts in sentences],
    }
