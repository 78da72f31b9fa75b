"""The papers' headline rows beside ours, from committed results only; subsets in their own table.

A result of `measure` fills a published row when its label is the row's model, its data set the
row's (one of its lists counts: dci-1999 for dci), and the data were complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bclip_core.files import read_json
from bclip_core.published import PUBLISHED, Published
from bclip_core.results import REFERENCE_FOLDER

Record = Mapping[str, Any]


def measured(size: str, folder: Path = REFERENCE_FOLDER) -> list[dict[str, Any]]:
    """The values of every result of `measure` in a folder, by name.

    Args:
        size: "full" or "mini".
        folder: where results lie.

    Raises:
        ValueError: a file says that its data were of the other size.
    """
    found = []
    for path in sorted(folder.glob(f"*__{size}.json")):
        values = read_json(path)["values"]
        if values["complete"] != (size == "full"):
            raise ValueError(f"{path}: complete={values['complete']}: expected {size == 'full'}")
        found.append(values)
    return found


def paper_rows(
    results: Sequence[Record], published: Sequence[Published] = PUBLISHED
) -> list[list[str]]:
    """Header and rows: model, quantity, published, ours (empty until measured), items, source."""
    rows = [["model", "quantity", "published", "ours [95 % interval]", "items", "source"]]
    for row in published:
        fitting = [result for result in results if _fits(row, result)]
        ours = "; ".join(_estimate(result["metrics"][row.metric]) for result in fitting)
        items = "; ".join(f"{result['metrics'][row.metric]['count']:,}" for result in fitting)
        source = f"{row.source} ({row.note})" if row.note else row.source
        rows.append([row.model, row.title, f"{row.value:g}", ours, items, source])
    return rows


def subset_rows(results: Sequence[Record]) -> list[list[str]]:
    """Header and rows: data set, label, metric, items, levels of guessing, ours; for subsets."""
    rows = [["data set", "model", "metric", "items", "chance", "not looking", "% [95 % interval]"]]
    for result in results:
        for name, value in result["metrics"].items():
            chance, count = f"{100 * value['chance']:.1f}", f"{value['count']:,}"
            blind = f"{100 * value['blind']:.1f}" if "blind" in value else chance
            about = [result["data_set"], result["label"], name, count, chance, blind]
            rows.append([*about, _estimate(value)])
    return rows


def at_chance(value: Mapping[str, Any]) -> bool:
    """Whether the interval of a metric holds the level of not looking, to rounding.

    That is `blind` where it was measured (regions), else the chance level. A bootstrap of nothing
    but misses (or hits) has no width; the exact binomial 95 % bound stands for its inner end then.
    """
    level, rounding = value.get("blind", value["chance"]), 1e-9
    low, high, bound = value["low"], value["high"], 0.025 ** (1 / value["count"])
    if value["mean"] == 0:
        high = 1 - bound
    elif value["mean"] == 1:
        low = bound
    return bool(low - rounding <= level <= high + rounding)


def outside_chance(results: Sequence[Record]) -> list[str]:
    """Metrics that are not `at_chance`: none are expected of random weights."""
    return [
        f"{result['data_set']} {name}"
        for result in results
        for name, value in result["metrics"].items()
        if not at_chance(value)
    ]


def _fits(row: Published, result: Record) -> bool:
    name = result["data_set"]
    return (
        result["label"] == row.model
        and (name == row.data_set or name.startswith(f"{row.data_set}-"))
        and row.metric in result["metrics"]
    )


def _estimate(value: Mapping[str, Any]) -> str:
    mean, low, high = (100 * value[part] for part in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
