"""Data sets by name, from a local folder."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bclip_core.data.real import captions, labelled, regions
from bclip_core.data.real.catalogue import BENCHMARKS
from bclip_core.data.real.folder import PictureRoot, require_inside
from bclip_core.data.real.locate import caption_source, region_source
from bclip_core.data.real.record import Benchmark, choose, layout_error
from bclip_core.data.real.rows import DataError, LayoutError, Options, RowError, gather
from bclip_core.data.real.sets import AnySet, CaptionSet, LabelledSet, RegionSet

DATA_VARIABLE = "BCLIP_DATA"
_SHOWN = 3  # reasons that are printed; `left_out` has all
Folder = str | os.PathLike[str]
Loaded = TypeVar("Loaded", bound=AnySet)


def get(name: str) -> Benchmark:
    """The record of a data set.

    Raises:
        ValueError: unknown; the message lists the known ones.
    """
    found: Benchmark = choose(BENCHMARKS, name, "data set")
    return found


def load_captions(
    name: str,
    root: Folder | None = None,
    split: str = "test",
    *,
    images: Folder | None = None,
    missing: str = "raise",
    on_error: str = "raise",
    limit: int | None = None,
    links: str = "inside",
) -> CaptionSet:
    """The captioned pictures of a data set; says how many of how many.

    Args:
        name: of a data set with the task "captions".
        root: its folder; None takes the record's below $BCLIP_DATA.
        split: one of the record's.
        images: folder of the pictures, when they are not where the layout has them.
        missing: a picture that is not on disk: "raise", "skip" or "ignore", see `Options`.
        on_error: a malformed row: "raise" or "skip".
        limit: read the first so many rows only.
        links: "inside" refuses links that lead out of the folder, "follow" allows them.

    Raises:
        ValueError: unknown data set or split, or one of another task.
        LayoutError: a file, folder or picture is not where it is expected, or no row can be used.
        DataError: a malformed row.
    """
    benchmark, folder = _opened(name, "captions", root, split)
    source, rows, place = caption_source(benchmark, folder, split, links)
    _require_inside(source, folder, links)
    options = Options(missing, on_error, benchmark.known, benchmark.example)
    pictures = _pictures(benchmark, images or place, options, links)
    build = captions.builder(pictures, benchmark.captions, skip=on_error == "skip")
    found = gather(source, itertools.islice(rows, limit), build, options)
    whole = limit is None or sum(map(len, found)) < limit
    return _reported(CaptionSet(name, split, *found, whole), benchmark, limit)


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
    benchmark, folder = _opened(name, "regions", root, split)
    source, rows, place = region_source(benchmark, folder, split)
    _require_inside(source, folder, links)
    options = Options(missing, on_error, benchmark.known, benchmark.example)
    pictures = _pictures(benchmark, images or place, options, links)
    found = gather(source, rows, regions.builder(pictures), options)
    return _reported(RegionSet(name, split, *found), benchmark)


def load_labelled(
    name: str,
    root: Folder | None = None,
    split: str = "test",
    *,
    on_error: str = "raise",
    links: str = "inside",
) -> LabelledSet:
    """The pictures of named classes; arguments and errors as `load_captions`."""
    benchmark, folder = _opened(name, "classes", root, split)
    options = Options("raise", on_error, benchmark.known)
    build: Callable[[Any], Any] = labelled.builder(PictureRoot(folder, links=links))
    names: tuple[str, ...] = ()
    if name == "imagenet-v2":
        rows = labelled.folders(folder, labelled.imagenet_v2_label)
    elif name == "imagenet-o":
        classes = labelled.imagenet_o_classes(folder, benchmark.layout)
        names, order = tuple(classes.values()), {wnid: i for i, wnid in enumerate(classes)}
        rows = labelled.folders(folder, lambda wnid: order.get(wnid, -1))
    else:
        rows, names = labelled.cifar(folder, name, benchmark.layout)
        build = labelled.as_read
    items, left_out = gather(folder, rows, build, options)
    return _reported(LabelledSet(name, split, items, names, left_out), benchmark)


def _opened(name: str, task: str, root: Folder | None, split: str) -> tuple[Benchmark, Path]:
    benchmark = get(name)
    if benchmark.task != task:
        raise ValueError(f"data set {name!r} has the task {benchmark.task!r}: expected {task!r}")
    choose(dict(benchmark.splits), split, f"{name}: split")
    if root is None and DATA_VARIABLE not in os.environ:
        raise layout_error(benchmark, f"expected its folder, or ${DATA_VARIABLE} above it")
    folder = Path(root or Path(os.environ[DATA_VARIABLE]) / benchmark.folder)
    if not folder.is_dir() and not (name == "pairs" and folder.is_file()):
        raise layout_error(benchmark, f"no folder {folder}")
    return benchmark, folder


def _require_inside(source: Path, folder: Path, links: str) -> None:
    """The rule of links for the file that holds the rows."""
    try:
        require_inside(source, source.parent if folder.is_file() else folder, links)
    except RowError as error:
        raise DataError(f"{source}: {error}") from error


def _pictures(benchmark: Benchmark, folder: Folder, options: Options, links: str) -> PictureRoot:
    try:
        return PictureRoot(folder, look=options.missing != "ignore", links=links)
    except LayoutError as error:
        raise layout_error(benchmark, str(error)) from error


def _reported(found: Loaded, benchmark: Benchmark, limit: int | None = None) -> Loaded:
    expected = benchmark.splits[found.split]
    of = f" of {expected:,}" if expected else ""
    text = f"{found.name} {found.split}: {len(found):,}{of} items"
    if limit is not None and len(found) + found.rows_left_out == limit:
        text += f", from the first {limit:,} rows alone"
    if found.left_out:
        reasons = "; ".join(f"{one.place}: {one.reason}" for one in found.left_out[:_SHOWN])
        more = "; ..." if len(found.left_out) > _SHOWN else ""
        text += f"; left out {len(found.left_out):,}: {reasons}{more}"
    if not found.items:
        raise layout_error(benchmark, f"no row can be used: {text}")
    print(text)
    return found
