"""How long real captions are: `python -m bclip_core.studies.texts.lengths --root DIR`.

Tokens, sentences and phrases of every caption of the data sets found below DIR, into
results/reference/text_lengths.json. No picture is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bclip_core.backbone import Tokenizer
from bclip_core.captions import PhraseExtractor, RuleBasedExtractor, SpacyExtractor, decompose
from bclip_core.config import ConfigError
from bclip_core.config.command_line import read_options, run_command
from bclip_core.data import real
from bclip_core.records.files import read_record, write_json
from bclip_core.records.progress import progress_bar
from bclip_core.records.results import REFERENCE_FOLDER, provenance

RECORD = REFERENCE_FOLDER / "text_lengths.json"
# Title, data set, split, in the order of tables; each caption counts by itself.
SETS = (
    ("Urban-1K", "urban1k", "test"),
    ("DCI", "dci-1999", "test"),
    ("DOCCI", "docci-5100", "test"),
    ("COCO", "coco", "test"),
    ("Flickr30k", "flickr30k", "validation"),
)
CONTEXTS = (77, 248)  # CLIP's, and the stretched one
MOST_PHRASES = 30  # of a caption in a training step
PERCENTILES = (0, 1, 2, *range(5, 100, 5), 98, 99, 100)


class TextLengths(NamedTuple):
    """Lengths of N captions.

    Attributes:
        tokens: of each caption, start and end included, before any cut, [N].
        sentences: of each caption, [N].
        phrases: distinct phrases of each caption, [N].
        phrase_tokens: of every phrase of every caption, start and end included.
    """

    tokens: list[int]
    sentences: list[int]
    phrases: list[int]
    phrase_tokens: list[int]


def measure_texts(
    captions: Iterable[str], extractor: PhraseExtractor, tokenizer: Tokenizer | None = None
) -> TextLengths:
    """Lengths of captions and of their parts, see `TextLengths`."""
    tokenizer = tokenizer or Tokenizer()
    lengths = TextLengths([], [], [], [])
    for caption in captions:
        texts = decompose(caption, extractor)
        lengths.tokens.append(tokenizer.count(caption))
        lengths.sentences.append(len(texts.sentences))
        lengths.phrases.append(len(texts.phrases))
        lengths.phrase_tokens.extend(map(tokenizer.count, texts.phrases))
    return lengths


def describe(values: Sequence[int]) -> dict[str, Any]:
    """Count, mean, median, largest and `PERCENTILES` of lengths.

    Raises:
        ValueError: no value.
    """
    if not values:
        raise ValueError("values=[]: expected at least one length")
    array = np.asarray(values)
    return {
        "count": len(values),
        "mean": float(array.mean()),
        "median": float(np.median(array)),
        "largest": int(array.max()),
        "percentiles": np.percentile(array, PERCENTILES).round(2).tolist(),
    }


def share_above(values: Sequence[int], limit: int) -> float:
    """Share of values that are larger than a limit."""
    return float((np.asarray(values) > limit).mean())


def available_extractors() -> tuple[dict[str, PhraseExtractor], dict[str, str]]:
    """Both extractors that can be used here, and why one of them can't."""
    extractors: dict[str, PhraseExtractor] = {"rules": RuleBasedExtractor()}
    try:
        extractors["spacy"] = SpacyExtractor()
    except ValueError as error:
        return extractors, {"spacy": str(error)}
    return extractors, {}


def measure_set(name: str, split: str, root: Path, *, progress: bool = False) -> dict[str, Any]:
    """All lengths of one data set, described, with its manifest.

    Args:
        name: of a data set with captions.
        split: of the data set.
        root: the folder above the data set's.
        progress: show a bar over the captions for each extractor.
    """
    folder = root / real.get(name).folder
    found = real.load_captions(name, folder, split, missing="ignore")
    captions = [text for texts in found.texts() for text in texts]
    described: dict[str, Any] = {"data": real.manifest(found), "captions": len(captions)}
    for kind, extractor in available_extractors()[0].items():
        shown = progress_bar(captions, desc=f"{name}, {kind}", progress=progress)
        lengths = measure_texts(shown, extractor)
        described["tokens"], described["sentences"] = map(describe, lengths[:2])
        described["longer_than"] = {
            str(limit): share_above(lengths.tokens, limit) for limit in CONTEXTS
        }
        described[kind] = {
            "extractor": extractor.name,
            "phrases": describe(lengths.phrases),
            "phrase_tokens": describe(lengths.phrase_tokens),
            f"more_than_{MOST_PHRASES}": share_above(lengths.phrases, MOST_PHRASES),
        }
    return described


def _refuse_less(sets: Mapping[str, Any], root: Path) -> None:
    """Refuse to put a measurement of fewer data sets into the committed one's place."""
    had = read_record(RECORD, "values")["values"]["sets"] if RECORD.is_file() else {}
    missing = [title for title in had if title not in sets] if sets else ["some data set"]
    if missing:
        raise ConfigError(
            f"--root={root}: expected {', '.join(missing)} there; {RECORD.name} is left as it was"
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long real captions are: every data set that is there, and which are not."""

    root: Path | None = None  # the folder above the data sets; not given: $BCLIP_DATA


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every data set that is there; say which are not."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.texts.lengths")
    root = given.root or real.loading.folder_above()
    if not root:
        raise ConfigError("--root: expected the folder above the data sets; $BCLIP_DATA has none")
    sets, absent = {}, {}
    for title, name, split in SETS:
        try:
            sets[title] = measure_set(name, split, Path(root), progress=True)
        except FileNotFoundError as error:
            absent[title] = str(error).partition("\n")[0]
            print(f"{title}: {absent[title]}")
    _refuse_less(sets, Path(root))
    values = {"sets": sets, "absent": absent, "unavailable": available_extractors()[1]}
    write_json(RECORD, {"name": "text_lengths", **provenance(), "values": values})
    print(RECORD)


if __name__ == "__main__":
    run_command(main, ValueError)
