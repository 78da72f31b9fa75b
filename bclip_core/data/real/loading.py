"""Data sets by name, from a local folder."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TypeVar

from bclip_core.data.real import layouts
from bclip_core.data.real.data_sets import DATA_SETS
from bclip_core.data.real.fgovd import region_builder
from bclip_core.data.real.folder import PictureRoot
from bclip_core.data.real.record import DataSet, Place, Source, choose, layout_error
from bclip_core.data.real.rows import LayoutError, Options, gather
from bclip_core.data.real.sets import AnySet, CaptionSet, LabelledSet, RegionSet
from bclip_core.records.files import folder_of

DATA_VARIABLE = "BCLIP_DATA"
_SHOWN = 3  # reasons that are printed; `left_out` has all
Folder = str | os.PathLike[str]
Loaded = TypeVar("Loaded", bound=AnySet)


def get(name: str) -> DataSet:
    """The record of a data set.

    Raises:
        ValueError: unknown; the message lists the known ones.
    """
    found: DataSet = choose(DATA_SETS, name, "data set")
    return found


def load_captions(
    name: str,
    root: Folder | None = None,
    split: str = "test",
    *,
    images: Folder | None = None,
    missing: str = "raise",
    on_error: str = "raise",
    links: str = "inside",
    limit: int | None = None,
    lines: str = "all",
) -> CaptionSet:
    """The captioned pictures of a data set; says how many of how many.

    Args:
        name: of a data set with the task "captions".
        root: its folder; None takes the record's below $BCLIP_DATA.
        split: one of the record's.
        images: folder of the pictures, when they are not where the layout has them.
        missing: a picture that is not on disk: "raise", "skip" or "ignore", see `Options`.
        on_error: a malformed row: "raise" or "skip".
        links: "inside" refuses files behind links that leave the folder; "follow" reads them, as a
            snapshot of a hub needs, which is links alone.
        limit: read the first so many rows only.
        lines: of a caption that is a file of its own: "all" of them, or the "first" alone, as
            Long-CLIP's and β-CLIP's readers take it.

    Raises:
        ValueError: unknown data set, split or `lines`, or a data set of another task.
        LayoutError: a file, folder or picture is not where it is expected, or no row can be used.
        DataError: a malformed row.
    """
    if lines not in ("all", "first"):
        raise ValueError(f"lines={lines!r}: expected all or first")
    place = _opened(name, "captions", root, split, links)._replace(lines=lines)
    record, source = place.record, place.record.read(place)
    options = _options(record, missing, on_error)
    build = layouts.caption_builder(_pictures(place, source, images, options), record.captions)
    found = gather(source.file, itertools.islice(source.rows, limit), build, options)
    whole = limit is None or sum(map(len, found)) < limit
    items = CaptionSet(name, split, *found, whole, folder=_folder(place))
    return _reported(items, record, limit)


def load_regions(
    name: str = "fgovd",
    root: Folder | None = None,
    split: str = "hard",
    *,
    images: Folder | None = None,
    missing: str = "raise",
    on_error: str = "raise",
    links: str = "inside",
) -> RegionSet:
    """The regions of one level; arguments and errors as `load_captions`.

    `images` is the folder above `train2017` and `val2017`; None takes `coco` beside `root`.
    """
    place = _opened(name, "regions", root, split, links)
    source, options = place.record.read(place), _options(place.record, missing, on_error)
    build = region_builder(_pictures(place, source, images, options))
    found = gather(source.file, source.rows, build, options)
    return _reported(RegionSet(name, split, *found, folder=_folder(place)), place.record)


def load_labelled(
    name: str,
    root: Folder | None = None,
    split: str = "test",
    *,
    on_error: str = "raise",
    links: str = "inside",
) -> LabelledSet:
    """The pictures of named classes; arguments and errors as `load_captions`."""
    place = _opened(name, "classes", root, split, links)
    source, options = place.record.read(place), _options(place.record, "raise", on_error)
    build = layouts.class_builder(_pictures(place, source, None, options))
    items, left_out = gather(source.file, source.rows, build, options)
    found = LabelledSet(name, split, items, source.class_names, left_out, folder=_folder(place))
    return _reported(found, place.record)


def _options(record: DataSet, missing: str, on_error: str) -> Options:
    return Options(missing, on_error, record.known, record.example, record.rows_share_pictures)


def _opened(name: str, task: str, root: Folder | None, split: str, links: str) -> Place:
    record = get(name)
    if record.task != task:
        raise ValueError(f"data set {name!r} has the task {record.task!r}: expected {task!r}")
    choose(dict(record.splits), split, f"{name}: split")
    folder = data_folder(name, root)
    if not folder.is_dir() and not (name == "pairs" and folder.is_file()):
        raise layout_error(record, f"no folder {folder}")
    return Place(record, folder, split, links)


def folder_above() -> Path | None:
    """The folder above the data sets that $BCLIP_DATA names; None where it is not set.

    Raises:
        LayoutError: what it names is no folder.
    """
    above = folder_of(DATA_VARIABLE)
    if above is not None and not above.is_dir():
        raise LayoutError(f"${DATA_VARIABLE}={above}: expected the folder above the data sets")
    return above


def data_folder(name: str, root: Folder | None = None) -> Path:
    """Where a data set is looked for: `root`, else the record's folder below $BCLIP_DATA.

    Raises:
        ValueError: unknown data set.
        LayoutError: neither is given, nor does the data set bring one.
    """
    record = get(name)
    if root is None and record.supply is not None:
        root = record.supply()
    above = folder_above() if root is None else None
    if root is None and above is None:
        raise layout_error(record, f"expected its folder, or ${DATA_VARIABLE} above it")
    if root is not None and not str(root).strip():
        raise layout_error(record, f"root={str(root)!r}: expected its folder")
    return above / record.folder if above else Path(root or "")


def _pictures(place: Place, source: Source, images: Folder | None, options: Options) -> PictureRoot:
    try:
        return PictureRoot(images or source.pictures, options.missing != "ignore", place.links)
    except LayoutError as error:
        raise layout_error(place.record, str(error)) from error


def _folder(place: Place) -> str:
    """What one's own data are told apart by; the files of an official set are always the same."""
    return place.folder.resolve().name if not any(place.record.splits.values()) else ""


def _reported(found: Loaded, record: DataSet, limit: int | None = None) -> Loaded:
    expected = record.splits[found.split]
    of = f" of {expected:,}" if expected else ""
    text = f"{found.name} {found.split}: {len(found):,}{of} items"
    if limit is not None and len(found) + len(found.left_out) == limit:
        text += f", from the first {limit:,} rows alone"
    if found.left_out:
        reasons = "; ".join(f"{place}: {reason}" for place, reason in found.left_out[:_SHOWN])
        more = "; ..." if len(found.left_out) > _SHOWN else ""
        text += f"; left out {len(found.left_out):,}: {reasons}{more}"
    if not found.items:
        raise layout_error(record, f"no row can be used: {text}")
    print(text)
    return found
