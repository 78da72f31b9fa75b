"""Tags with spaCy's small English model, as the authors do, when it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bclip_core.captions.phrases import TaggedSentence, phrases_of

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

MODEL = "en_core_web_sm"
_TOGETHER = 128  # sentences that the pipeline's networks read at once


@lru_cache(maxsize=2)
def _load(model: str) -> Language:
    import spacy

    return spacy.load(model, exclude=["ner", "lemmatizer"])


def is_installed(model: str = MODEL) -> bool:
    """Whether both spaCy and its model can be imported."""
    return find_spec("spacy") is not None and find_spec(model) is not None


def tag_doc(doc: Doc) -> TaggedSentence:
    """The part of a parsed spaCy document that the phrase rules read."""
    words = [token for token in doc if not token.is_space]
    place = {token.i: number for number, token in enumerate(words)}
    chunks = ([place[t.i] for t in chunk if t.i in place] for chunk in doc.noun_chunks)
    return TaggedSentence(
        text=doc.text,
        offsets=tuple((token.idx, token.idx + len(token)) for token in words),
        tags=tuple(token.pos_ for token in words),
        chunks=tuple((chunk[0], chunk[-1] + 1) for chunk in chunks if chunk),
    )


class SpacyExtractor:
    """Phrases by a spaCy pipeline with tagger and parser.

    Args:
        model: name of an installed spaCy package, or the folder of one.

    Raises:
        ValueError: spaCy or the model is not installed; the message says what works without.
    """

    def __init__(self, model: str = MODEL) -> None:
        try:
            _load(model)
        except (ImportError, OSError) as error:
            raise ValueError(
                f"model={model!r}: expected an installed spaCy model "
                "(RuleBasedExtractor() needs none)"
            ) from error
        self.model = model

    @cached_property
    def name(self) -> str:
        """Model and version by the model's own metadata, as in spacy:en_core_web_sm-3.8.0."""
        meta = _load(self.model).meta
        return f"spacy:{meta['lang']}_{meta['name']}-{meta['version']}"

    def __call__(self, sentence: str) -> list[str]:
        """Distinct phrases of one sentence, in order of appearance."""
        return phrases_of(tag_doc(_load(self.model)(sentence)))

    def many(self, sentences: Sequence[str]) -> list[list[str]]:
        """The phrases of each sentence; several times as fast as one at a time."""
        documents = _load(self.model).pipe(sentences, batch_size=_TOGETHER)
        return [phrases_of(tag_doc(document)) for document in documents]
