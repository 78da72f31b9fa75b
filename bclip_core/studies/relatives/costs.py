"""What methods read, learn and cost, from the records of `search.compare` and `step_time`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from bclip_core.studies.tables import Entry


def seconds_per_step(
    values: Mapping[str, Entry], timed: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Seconds of an update by method.

    Args:
        values: by method.
        timed: of `step_time.step_times`; where given, only these, since the two don't mix. Else
            the median over the seeds of what the runs took, with whatever ran beside them.
    """
    if timed is not None:
        return {name: timed[name] for name in values if name in timed}
    return {
        name: statistics.median(cost["seconds_per_step"] for cost in entry["cost"])
        for name, entry in values.items()
        if entry.get("cost")
    }


def memory(values: Mapping[str, Entry]) -> dict[str, float]:
    """Most memory in MiB that a run of each method held, where the runs recorded it."""
    peaks = {
        name: max((cost["peak_memory"] for cost in entry.get("cost", ())), default=0.0)
        for name, entry in values.items()
    }
    return {name: peak for name, peak in peaks.items() if peak > 0}


def catalogue_rows(
    values: Mapping[str, Entry], timed: Mapping[str, float] | None = None
) -> list[list[str]]:
    """What each method reads, learns and costs; header first, methods that trained only."""
    seconds, peaks = seconds_per_step(values, timed), memory(values)
    rows = [["method", "terms", "reads", "texts", "learns beside CLIP", "s per step", "MiB"]]
    for name, entry in values.items():
        if "table" not in entry:
            continue
        table = entry["table"]
        rows.append([
            name,
            " + ".join(table["terms"]),
            ", ".join(table["texts"]),
            str(table["texts_per_image"]),
            f"{sum(table['added_parameters'].values()):,}",
            f"{seconds[name]:.2f}" if name in seconds else "–",
            f"{peaks[name]:,.0f}" if name in peaks else "–",
        ])  # fmt: skip
    return rows
