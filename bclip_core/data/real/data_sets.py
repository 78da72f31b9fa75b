"""The data sets of the papers, and one's own: one line each.

Addresses, licences and sizes are as their sources state them (read in stored copies of
those pages; nothing was downloaded here). `tests/data/manifests.json` has the splits that were
counted in the real files.
"""

from __future__ import annotations

from bclip_core.data.real import (
    cifar,
    coco,
    dci,
    docci,
    fgovd,
    flickr30k,
    imagenet_o,
    imagenet_v2,
    pairs,
    photographs,
    sharegpt4v,
    urban1k,
)
from bclip_core.data.real.record import DataSet

_ALL = (
    urban1k.URBAN1K,
    sharegpt4v.SV1K,
    dci.DCI,
    dci.DCI_1999,
    docci.DOCCI,
    docci.DOCCI_5100,
    flickr30k.FLICKR30K,
    coco.COCO,
    fgovd.FGOVD,
    imagenet_v2.IMAGENET_V2,
    imagenet_o.IMAGENET_O,
    cifar.CIFAR10,
    cifar.CIFAR100,
    sharegpt4v.SHAREGPT4V,
    pairs.PAIRS,
    photographs.PHOTOGRAPHS,
)
DATA_SETS: dict[str, DataSet] = {record.name: record for record in _ALL}
TRAINABLE = tuple(name for name, record in DATA_SETS.items() if "train" in record.splits)
