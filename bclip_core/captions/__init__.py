"""Long captions to sentences and phrases: caption › sentences › phrases."""

from bclip_core.captions.dataset import (
    decompose_dataset,
    extractor_of,
)
from bclip_core.captions.hierarchy import (
    SampledTexts,
    TextHierarchy,
    decompose,
    default_extractor,
    sample_texts,
)
from bclip_core.captions.phrases import (
    PhraseExtractor,
    TaggedSentence,
    phrases_of,
    text_key,
)
from bclip_core.captions.rule_extractor import (
    RuleBasedExtractor,
)
from bclip_core.captions.sentences import (
    split_sentences,
)
from bclip_core.captions.spacy_tagger import (
    SpacyExtractor,
    tag_doc,
)
from bclip_core.records.results import FACTS

FACTS["phrase_extractor"] = lambda: default_extractor().name

__all__ = [
    "PhraseExtractor",
    "RuleBasedExtractor",
    "SampledTexts",
    "SpacyExtractor",
    "TaggedSentence",
    "TextHierarchy",
    "decompose",
    "decompose_dataset",
    "default_extractor",
    "extractor_of",
    "phrases_of",
    "sample_texts",
    "split_sentences",
    "tag_doc",
    "text_key",
]
