"""One record per data set: what it is, how to get it, and how it has to lie on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bclip_core.data.real.folder import require_file
from bclip_core.data.real.rows import LayoutError, Row
from bclip_core.records.markdown import aligned_markdown

NOT_CHECKED = "not checked"  # what nobody here could look up


@dataclass(frozen=True)
class Hub:
    """Where `datasets.load_dataset` finds a data set, and under which columns.

    Attributes:
        source: repository, or a folder with the same files.
        columns: ours (`image`, `captions`, `label`, `id`) to theirs.
        config: configuration of the repository, "" for its default.
        splits: ours to theirs.
        note: what it does not hold.
    """

    source: str
    columns: MappingProxyType[str, str]
    splits: MappingProxyType[str, str]
    config: str = ""
    note: str = ""


class Place(NamedTuple):
    """Where a reader reads.

    Attributes:
        record: of the data set.
        folder: that holds it, or the table of one's own pairs.
        split: one of the record's.
        links: "inside" or "follow", see `folder.refuse_link`.
        lines: of a caption that is a file of its own: "all" of them, or the "first" alone.
    """

    record: DataSet
    folder: Path
    split: str
    links: str = "inside"
    lines: str = "all"

    def file(self, name: str) -> Path:
        """A file of the layout.

        Raises:
            LayoutError: it is not there; the message shows the layout.
            DataError: it is a link out of the folder, and these are not followed.
        """
        return require_file(self.folder / name, self.record.layout, self.folder, self.links)


class Source(NamedTuple):
    """What a reader gives.

    Attributes:
        file: where the rows come from, for messages.
        rows: in the form of the task, see `layouts.caption_builder`, `layouts.class_builder` and
            `fgovd.region_builder`.
        pictures: the folder that pictures are named in.
        class_names: of the labels, where the data set names them.
    """

    file: Path
    rows: Iterable[Row]
    pictures: Path
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """A data set; `NOT_CHECKED` says what nobody here could look up.

    To add one: a file beside this one with its record and its reader, and a line in `data_sets`.

    Attributes:
        name: in this collection.
        task: "captions" (retrieval and training), "regions" or "classes".
        title: its own name.
        source: official address.
        licence: as its source states it.
        size: of the download.
        splits: how many items each split has; 0 where that is not known beforehand.
        layout: the files and folders below its folder.
        folder: its folder below $BCLIP_DATA.
        read: its reader, from a place to a source of rows.
        example: a right row.
        rows_share_pictures: whether several rows of one picture are its captions.
        captions: at most so many captions of a picture are used; None uses all.
        known: faults of the official files, by picture.
        note: what a reader of its numbers has to know.
        hub: where `load_hub` finds it; None: nowhere that we know of.
        supply: lays it out where no folder is given, and says where; None: it has to lie there.
    """

    name: str
    task: str
    title: str
    source: str
    licence: str
    size: str
    splits: MappingProxyType[str, int]
    layout: str
    folder: str
    read: Callable[[Place], Source]
    example: str = ""
    captions: int | None = None
    rows_share_pictures: bool = False
    known: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""
    hub: Hub | None = None
    supply: Callable[[], Path] | None = None


def choose(known: dict[str, Any], name: str, what: str) -> Any:
    """An entry by name.

    Raises:
        ValueError: unknown; the message lists the known ones.
    """
    if name not in known:
        raise ValueError(f"{what} {name!r}: expected one of {', '.join(known)}")
    return known[name]


def layout_error(record: DataSet, what: str) -> LayoutError:
    """An error that shows how the data set has to lie on disk."""
    return LayoutError(f"{record.name}: {what}; expected layout:\n{record.layout}")


def description(record: DataSet) -> str:
    """How to get a data set and how it has to lie on disk."""
    lines = [f"{record.name}: {record.title} ({record.task})"]
    lines += [f"  source:  {record.source}", f"  licence: {record.licence}"]
    lines += [f"  size:    {record.size}", f"  splits:  {_counts(record)}"]
    if record.hub:
        lines.append(f"  hub:     {record.hub.source}  {record.hub.note}".rstrip())
    lines += [f"  known:   {name}: {fault}" for name, fault in record.known.items()]
    if record.note:
        lines.append(f"  note:    {record.note}")
    lines.append(f"  layout, below $BCLIP_DATA/{record.folder} or the folder that you give:")
    return "\n".join(lines + [f"    {line}" for line in record.layout.splitlines()])


def as_table(records: dict[str, DataSet]) -> str:
    """Markdown: a row per data set."""
    rows = [["name", "data set", "task", "items", "licence", "download", "through `datasets`"]]
    for record in records.values():
        title = f"[{record.title}]({record.source})"
        if not record.source.startswith("http"):
            title = record.title
        hub = f"`{record.hub.source}`" if record.hub else "no"
        cells = [f"`{record.name}`", title, record.task, _counts(record)]
        rows.append([*cells, record.licence, record.size, hub])
    return aligned_markdown(rows, left=len(rows[0]))


def _counts(record: DataSet) -> str:
    splits = record.splits.items()
    return ", ".join(f"{split} {count:,}" if count else split for split, count in splits)
