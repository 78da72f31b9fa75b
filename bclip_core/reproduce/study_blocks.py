"""The blocks of the pages that tables of studies fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bclip_core.records.markdown import aligned_markdown
from bclip_core.records.results import load_result
from bclip_core.studies.leak.study import ORDER
from bclip_core.studies.leak.tables import HONEST, honest_gain_rows, leak_rows
from bclip_core.studies.mulclip import ablation as mulclip_ablation
from bclip_core.studies.relatives.costs import catalogue_rows
from bclip_core.studies.tables import (
    comparison_rows,
    find_record,
    gain_rows,
    in_order,
    summaries,
    trial_rows,
)

Record = Mapping[str, Any]


def methods_table(record: Record) -> str:
    """Methods by what they reach, from a record `methods`."""
    return aligned_markdown(comparison_rows(summaries(in_order(record["values"]))))


def costs_table(record: Record, timed: Record | None = None) -> str:
    """Methods by what they read, learn and cost, from records `methods` and `step_times`."""
    seconds = timed["values"]["seconds"] if timed else None
    return aligned_markdown(catalogue_rows(in_order(record["values"]), seconds), left=3)


def gains_table(record: Record, against: str = "clip-ft") -> str:
    """Differences to one method, seed by seed, from a record `methods`."""
    return aligned_markdown(gain_rows(in_order(record["values"]), against))


def search_table(record: Record) -> str:
    """Trials and choices, from a record `search`."""
    return aligned_markdown(trial_rows(in_order(record["values"]["methods"])))


def leak_table(record: Record) -> str:
    """The leak by variant, from a record `leak`."""
    return aligned_markdown(leak_rows(summaries(in_order(record["values"], ORDER))))


def honest_table(record: Record) -> str:
    """What every variant reaches, from a record `leak`."""
    values = in_order(record["values"], ORDER)
    trained = {name: entry for name, entry in values.items() if entry["metrics"]}
    return aligned_markdown(comparison_rows(summaries(trained), HONEST))


def honest_gains_table(record: Record) -> str:
    """Differences to the paper's form, seed by seed, from a record `leak`."""
    return aligned_markdown(honest_gain_rows(in_order(record["values"], ORDER)))


def ablation_table(record: Record) -> str:
    """MulCLIP's variants against the full method, from a record `mulclip_ablation`."""
    return aligned_markdown(mulclip_ablation.gap_rows(record["values"]))


def _committed(name: str) -> Record:
    """A record of the reference; FileNotFoundError says how to make a missing one."""
    return load_result(name, "cpu", reference=True)


def methods_block() -> str:
    """`methods_table` of the reference."""
    return methods_table(_committed("methods"))


def costs_block() -> str:
    """`costs_table` of the reference; seconds timed in turns where that was done."""
    return costs_table(_committed("methods"), find_record("step_times", reference=True))


def gains_block() -> str:
    """`gains_table` of the reference."""
    return gains_table(_committed("methods"))


def search_block() -> str:
    """`search_table` of the reference."""
    return search_table(_committed("search"))


def leak_block() -> str:
    """`leak_table` of the reference."""
    return leak_table(_committed("leak"))


def honest_block() -> str:
    """`honest_table` of the reference."""
    return honest_table(_committed("leak"))


def honest_gains_block() -> str:
    """`honest_gains_table` of the reference."""
    return honest_gains_table(_committed("leak"))


def ablation_block() -> str:
    """`ablation_table` of the reference."""
    return ablation_table(_committed("mulclip_ablation"))


BLOCKS = {
    "mulclip_ablation": ablation_block,
    "methods": methods_block,
    "method_costs": costs_block,
    "method_gains": gains_block,
    "search": search_block,
    "leak": leak_block,
    "leak_honest": honest_block,
    "leak_gains": honest_gains_block,
}
"""Part of `readme.BLOCKS`; each needs its records in results/reference."""
