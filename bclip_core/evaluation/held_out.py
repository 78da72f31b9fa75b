"""What a trained model is measured by: whatever its data set has, and the rest by its name.

Captions give retrieval, boxes with expressions the accuracy on regions; a data set without them
gets no such number, and the record says so. Nothing here is found out after a training:
`HeldOut.load` reads everything that `measure` needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bclip_core.config import ConfigError, DataConfig
from bclip_core.data import real
from bclip_core.data.real.fgovd import FILES
from bclip_core.data.real.identity import identity
from bclip_core.data.real.loading import data_folder
from bclip_core.data.real.shard_files import HUB
from bclip_core.data.real.shard_files import NAME as SHARDS
from bclip_core.data.sources import captions_of
from bclip_core.evaluation.measure import is_complete
from bclip_core.evaluation.protocols.regions import measure_regions
from bclip_core.evaluation.protocols.retrieval import Measured, measure_retrieval, tokenizer_of
from bclip_core.evaluation.summaries import Metrics
from bclip_core.evaluation.usable import usable_items
from bclip_core.model import BClip

MOST_PAIRS = 4_000_000
"""Texts times pictures up to which every text pools every picture; beyond, short lists alone."""
_NO_MASKS, _NO_LABELS = "no masks of what a phrase names", "no classes of pictures"


@dataclass(frozen=True)
class HeldOut:
    """The part of a data set of photographs that a model is measured on.

    Attributes:
        config: names the data set.
        split: which of its splits.
        captions: the pictures and their captions, the first so many as the configuration counts.
        regions: boxes with expressions by level, where there are any.
        absent: what cannot be measured, by the kind of metric, with the reason.
    """

    config: DataConfig
    split: str
    captions: real.CaptionSet
    regions: Mapping[str, real.RegionSet] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, config: DataConfig, split: str = "test") -> Self:
        """Read the texts of everything that can be measured; pictures are looked for, not decoded.

        Boxes with expressions are FG-OVD's files: for COCO in the folder `fgovd` beside it, for any
        other data set in its own folder, whose pictures they then name, or in `fgovd` and `coco`
        below it.

        Raises:
            ConfigError: the data set, the split or a row is not as it should be.
        """
        try:
            captions = captions_of(config, split, config.test)
        except (real.DataError, real.LayoutError, ValueError) as error:
            raise ConfigError(f"what to measure on: {error}") from error
        regions, reason = _regions(config)
        absent = {"regions": reason} if reason else {}
        return cls(config, split, captions, regions, absent | {
            "grounding": _NO_MASKS, "classes": _NO_LABELS,
        })  # fmt: skip

    @property
    def told(self) -> str:
        """One line: what is measured on what, and what is not."""
        there = ["retrieval", *(["regions"] if self.regions else [])]
        missing = "; ".join(f"no {kind}: {reason}" for kind, reason in self.absent.items())
        rows = f"{self.config.name} {self.split}, {len(self.captions):,} pictures"
        return f"{rows}: {' and '.join(there)}; {missing}"

    def identity(self) -> list[dict[str, Any]]:
        """What the captions and the regions of each level are, see `data.real.identity`."""
        return [identity(self.captions), *map(identity, self.regions.values())]

    def measure(self, model: BClip, *, progress: bool = False) -> tuple[Metrics, dict[str, Any]]:
        """All metrics that the data allow, and the record of what they were measured on.

        Args:
            model: any model of the collection; in eval mode afterwards.
            progress: show bars.

        Returns:
            Metrics as `measure_retrieval` and `measure_regions` name them; and `data_set`,
            `split`, `levels`, `folder`, `data` (identities), `complete`, `protocol` and `absent`.

        Raises:
            DataError: a caption is blank and `bad_rows` is "raise".
            BrokenImageError: a picture cannot be decoded, and likewise.
        """
        size, tokenizer = model.backbone.image_size[0], tokenizer_of(model)
        captions = usable_items(self.captions, tokenizer, size, self.config.bad_rows)
        pairs = len(captions) * sum(len(item.captions) for item in captions.items)
        way = "all" if pairs <= MOST_PAIRS else "two-stage"
        found = {
            "retrieval": measure_retrieval(model, captions, conditioned=way, progress=progress)
        }
        levels = {
            level: usable_items(regions, tokenizer, size, "skip")
            for level, regions in self.regions.items()
        }
        if levels:
            found["regions"] = measure_regions(model, levels, progress=progress)
        whole = [is_complete(captions), *map(is_complete, levels.values())]
        record = {
            "data_set": self.config.name,
            "split": self.split,
            "levels": list(levels),
            "folder": _place(self.config),
            "data": self.identity(),
            "complete": all(whole),
            "protocol": {name: one.protocol for name, one in found.items()},
            "absent": {**self.absent, **_absent_retrieval(model, found["retrieval"])},
        }
        return {k: v for one in found.values() for k, v in one.metrics.items()}, record


def _place(config: DataConfig) -> str:
    """Where the data lie: a folder, or a name on a hub."""
    if config.name == SHARDS:
        source = config.folder
        return source if source.startswith(HUB) else str(Path(source).absolute())
    return str(data_folder(config.name, config.folder or None).absolute())


def _regions(config: DataConfig) -> tuple[dict[str, real.RegionSet], str]:
    """The levels that are there, or why there is none."""
    if config.name == SHARDS:
        return {}, "no boxes with expressions in shards"
    own = data_folder(config.name, config.folder or None)
    own = own.parent if own.is_file() else own  # a table of one's own
    folder, images = own, config.images or str(own)
    if config.name == "coco":
        folder = own.parent / "fgovd"
    elif (own / "fgovd").is_dir():  # the sample photographs, laid out in every way
        folder, images = own / "fgovd", str(own / "coco")
    there = [
        level for level, names in FILES.items() if any((folder / name).is_file() for name in names)
    ]
    if not there:
        return {}, f"no boxes with expressions, {FILES['hard'][0]} and so on, in {folder.name}/"
    try:
        # A companion of the captions: what it has beyond their pictures is left out and counted.
        return {
            level: real.load_regions(
                "fgovd", folder, level, images=images, missing="skip",
                on_error=config.bad_rows, links=config.links,
            )
            for level in there
        }, ""  # fmt: skip
    except real.LayoutError as error:
        return {}, str(error).splitlines()[0]
    except real.DataError as error:
        raise ConfigError(f"what to measure on: {error}") from error


def _absent_retrieval(model: BClip, found: Measured) -> dict[str, str]:
    """Which kinds of retrieval there are not, with the reason."""
    measured = {name.split("/")[1] for name in found.metrics}
    if model.pooler is None:
        return dict.fromkeys(("conditioned retrieval", "own-caption retrieval"), "no pooler")
    absent = {}
    if "conditioned" not in measured:
        absent["conditioned retrieval"] = "too many pairs: among short lists alone"
    if "own_caption" not in measured:
        absent["own-caption retrieval"] = "pictures with several captions have no own one"
    return absent
