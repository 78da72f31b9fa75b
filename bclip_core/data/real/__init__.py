"""The real data sets: one record each, loaders from official layouts, manifests."""

from bclip_core.data.real.data_sets import DATA_SETS, TRAINABLE
from bclip_core.data.real.hub import as_set, load_hub
from bclip_core.data.real.loading import get, load_captions, load_labelled, load_regions
from bclip_core.data.real.record import DataSet, Hub, as_table, description
from bclip_core.data.real.rows import DataError, LayoutError, LeftOut, UnusedFile
from bclip_core.data.real.sets import (
    CaptionedImage,
    CaptionSet,
    LabelledImage,
    LabelledSet,
    PhotoRegion,
    RegionSet,
    manifest,
)
from bclip_core.data.real.training import training_rows

__all__ = [
    "DATA_SETS",
    "TRAINABLE",
    "CaptionSet",
    "CaptionedImage",
    "DataError",
    "DataSet",
    "Hub",
    "LabelledImage",
    "LabelledSet",
    "LayoutError",
    "LeftOut",
    "UnusedFile",
    "PhotoRegion",
    "RegionSet",
    "as_set",
    "describe",
    "get",
    "load_captions",
    "load_hub",
    "load_labelled",
    "load_regions",
    "manifest",
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
    return as_table(DATA_SETS)
