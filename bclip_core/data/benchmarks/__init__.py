"""The real data sets: one record each, loaders from official layouts, manifests, protocols."""

from bclip_core.data.benchmarks.catalogue import BENCHMARKS, TRAINABLE
from bclip_core.data.benchmarks.hub import as_set, load_hub
from bclip_core.data.benchmarks.loading import get, load_captions, load_labelled, load_regions
from bclip_core.data.benchmarks.manifests import manifest
from bclip_core.data.benchmarks.protocol import (
    RetrievalTask,
    TokenCut,
    count_cut,
    relevant_matrix,
    retrieval_task,
)
from bclip_core.data.benchmarks.reading import DataError, LayoutError, LeftOut
from bclip_core.data.benchmarks.records import (
    CaptionedImage,
    CaptionSet,
    LabelledImage,
    LabelledSet,
    PhotoRegion,
    RegionSet,
)
from bclip_core.data.benchmarks.registry import Benchmark, Hub, as_table, description
from bclip_core.data.benchmarks.training import training_rows

__all__ = [
    "BENCHMARKS",
    "TRAINABLE",
    "Benchmark",
    "CaptionSet",
    "CaptionedImage",
    "DataError",
    "Hub",
    "LabelledImage",
    "LabelledSet",
    "LayoutError",
    "LeftOut",
    "PhotoRegion",
    "RegionSet",
    "RetrievalTask",
    "TokenCut",
    "as_set",
    "count_cut",
    "describe",
    "get",
    "load_captions",
    "load_hub",
    "load_labelled",
    "load_regions",
    "manifest",
    "relevant_matrix",
    "retrieval_task",
    "table",
    "training_rows",
]


def describe(name: str) -> str:
    """How to get a data set and how it has to lie on disk.

    Raises:
        ValueError: unknown; the message lists the known ones.
    """
    return description(get(name))


def table() -> str:
    """Markdown: a row per data set."""
    return as_table(BENCHMARKS)
