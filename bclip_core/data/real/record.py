"""One record per data set: what it is, how to get it, and how it has to lie on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bclip_core.data.real.rows import LayoutError
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


@dataclass(frozen=True)
class Benchmark:
    """A data set; `NOT_CHECKED` says what nobody here could look up.

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
        example: a right row.
        captions: at most so many captions of a picture are used; None uses all.
        known: faults of the official files, by picture.
        note: what a reader of its numbers has to know.
        hub: where `load_hub` finds it; None: nowhere that we know of.
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
    example: str = ""
    captions: int | None = None
    known: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""
    hub: Hub | None = None


def choose(known: dict[str, Any], name: str, what: str) -> Any:
    """An entry by name.

    Raises:
        ValueError: unknown; the message lists the known ones.
    """
    if name not in known:
        raise ValueError(f"{what} {name!r}: expected one of {', '.join(known)}")
    return known[name]


def layout_error(benchmark: Benchmark, what: str) -> LayoutError:
    """An error that shows how the data set has to lie on disk."""
    return LayoutError(f"{benchmark.name}: {what}; expected layout:\n{benchmark.layout}")


def description(benchmark: Benchmark) -> str:
    """How to get a data set and how it has to lie on disk."""
    lines = [f"{benchmark.name}: {benchmark.title} ({benchmark.task})"]
    lines += [f"  source:  {benchmark.source}", f"  licence: {benchmark.licence}"]
    lines += [f"  size:    {benchmark.size}", f"  splits:  {_counts(benchmark)}"]
    if benchmark.hub:
        lines.append(f"  hub:     {benchmark.hub.source}  {benchmark.hub.note}".rstrip())
    lines += [f"  known:   {name}: {fault}" for name, fault in benchmark.known.items()]
    if benchmark.note:
        lines.append(f"  note:    {benchmark.note}")
    lines.append(f"  layout, below $BCLIP_DATA/{benchmark.folder} or the folder that you give:")
    return "\n".join(lines + [f"    {line}" for line in benchmark.layout.splitlines()])


def as_table(benchmarks: dict[str, Benchmark]) -> str:
    """Markdown: a row per data set."""
    rows = [["name", "data set", "task", "items", "licence", "download", "through `datasets`"]]
    for benchmark in benchmarks.values():
        title = f"[{benchmark.title}]({benchmark.source})"
        if not benchmark.source.startswith("http"):
            title = benchmark.title
        hub = f"`{benchmark.hub.source}`" if benchmark.hub else "no"
        cells = [f"`{benchmark.name}`", title, benchmark.task, _counts(benchmark)]
        rows.append([*cells, benchmark.licence, benchmark.size, hub])
    return aligned_markdown(rows, left=len(rows[0]))


def _counts(benchmark: Benchmark) -> str:
    splits = benchmark.splits.items()
    return ", ".join(f"{split} {count:,}" if count else split for split, count in splits)
