"""The pages' blocks of speed and memory, from results/reference/benchmark_*.json."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bclip_core.records.files import read_json
from bclip_core.records.markdown import aligned_markdown
from bclip_core.records.results import REFERENCE_FOLDER

Rows = Mapping[str, Mapping[str, Any]]
"""Measurements of one loss by version: "equations" or "padded", "streamed", "bfloat16", ..."""

_SECONDS = ("streamed", "× faster", "of bfloat16", "× faster")
_MEGABYTES = ("streamed", "× less")


def _beta_cal() -> Any:
    return read_json(REFERENCE_FOLDER / "benchmark_beta_cal.json")


def loss_cost_block() -> str:
    """β-CAL against the equations written down, over the size of the batch; time, then memory."""
    rows = _beta_cal()["rows"]
    cost = {(r["form"], r["images"], r["version"]): r for r in rows}
    seconds = [["form", "images", "equations, s", *_SECONDS, "products alone"]]
    memory = [["form", "images", "equations, MB", *_MEGABYTES]]
    for form, images in sorted({(r["form"], r["images"]) for r in rows}, key=_ce_first):
        found = {key[2]: row for key, row in cost.items() if key[:2] == (form, images)}
        name, floor = [form.upper(), str(images)], found.get("products")
        products = f"{floor['cpu_seconds']:.3f}" if floor else ""
        seconds.append([*name, *_faster(found, "equations"), products])
        memory.append([*name, *_leaner(found, "equations")])
    return _tables(seconds, memory)


def loss_real_block() -> str:
    """β-CAL against the equations over padded texts, where real captions leave places empty."""
    seconds = [["captions", "filled", "form", "padded equations, s", *_SECONDS]]
    memory = [["captions", "filled", "form", "padded equations, MB", *_MEGABYTES]]
    for captions, rows in sorted(_beta_cal()["real"].items()):
        for form in dict.fromkeys(row["form"] for row in rows):
            found = {row["version"]: row for row in rows if row["form"] == form}
            name = [captions, f"{found['streamed']['filled']:.0%}", form.upper()]
            seconds.append([*name, *_faster(found, "padded")])
            memory.append([*name, *_leaner(found, "padded")])
    return _tables(seconds, memory)


def loss_ranks_block() -> str:
    """β-CAL in two processes: each computes all of the joined batch, or its share of the rows."""
    table = [["form", "seconds, all of it in both processes", "rows shared", "times faster"]]
    for form, seconds in sorted(_beta_cal()["ranks"].items(), key=lambda found: found[0] != "ce"):
        whole, shared = seconds["whole"], seconds["shared"]
        table.append([form.upper(), f"{whole:.3f}", f"{shared:.3f}", f"{whole / shared:.1f}"])
    return aligned_markdown(table)


def _faster(found: Rows, plain: str) -> list[str]:
    """Seconds of the plain version, and of the library's with how many times faster it is."""
    seconds = {version: row["cpu_seconds"] for version, row in found.items()}
    cells = [f"{seconds[plain]:.3f}" if plain in seconds else ""]
    for version in ("streamed", "bfloat16"):
        cells.append(f"{seconds[version]:.3f}" if version in seconds else "")
        both = plain in seconds and version in seconds
        cells.append(f"{seconds[plain] / seconds[version]:.1f}" if both else "")
    return cells


def _leaner(found: Rows, plain: str) -> list[str]:
    """Megabytes of the plain version and of the library's, and how many times fewer those are."""
    ours, theirs = found["streamed"], found.get(plain)
    less = theirs["peak_megabytes"] / ours["peak_megabytes"] if theirs else None
    cells = [f"{theirs['peak_megabytes']:.0f}" if theirs else "", f"{ours['peak_megabytes']:.0f}"]
    return [*cells, f"{less:.1f}" if less else ""]


def _ce_first(key: tuple[str, int]) -> tuple[bool, int]:
    return key[0] != "ce", key[1]


def _tables(*tables: Sequence[Sequence[str]]) -> str:
    return "\n\n".join(map(aligned_markdown, tables))


def text_cost_block() -> str:
    """Token positions and step times, padded and once."""
    record = read_json(REFERENCE_FOLDER / "benchmark_text_once.json")
    images = record["settings"]["images"]
    rows = [["captions", "positions padded", "encoded", "needed"]]
    rows[0] += ["ViT-B/16 step padded", "once", "times faster"]
    for name, found in record["positions_per_batch"].items():
        step = record["steps"][name]
        cells = [f"{found[way] / images:,.0f}" for way in ("padded", "encoded", "distinct")]
        cells += [f"{step[f'seconds_{way}']:.1f} s" for way in ("padded", "once")]
        rows.append([name, *cells, f"{step['times_faster']:.2f}"])
    return aligned_markdown(rows)


def whole_step_block() -> str:
    """The whole step in the authors' layout and in ours: seconds, ratio, memory, loss."""
    path = REFERENCE_FOLDER / "benchmark_whole_step.json"
    if not path.is_file():
        return "Not measured yet: `python -m benchmarks.whole_step`."
    record = read_json(path)
    table = [["step", "seconds", "times faster", "peak memory", "loss differs by"]]
    first = record["rows"][0]
    for row in record["rows"]:
        table.append(
            [
                row["version"],
                f"{row['seconds_per_update']:.1f}",
                f"{first['seconds_per_update'] / row['seconds_per_update']:.2f}",
                f"{row['peak_megabytes'] / 1024:.1f} GiB",
                f"{row['loss_difference']:.1e}" if row["loss_difference"] else "0",
            ]
        )
    loads = [load for row in record["rows"] for load in row["load"]]
    check = max(row["finite_check_seconds"] for row in record["rows"])
    return aligned_markdown(table) + (
        f"\n\n{record['settings']['turns']} turns, {record['settings']['source']}; load of the "
        f"machine meanwhile {min(loads):.1f} to {max(loads):.1f}. To look whether all weights are "
        f"finite, before a checkpoint, takes {check:.2f} s."
    )


def photos_smoke_block() -> str:
    """What three updates on the sample photographs and their measurement take, by method."""
    path = REFERENCE_FOLDER / "benchmark_photos_smoke.json"
    if not path.is_file():
        return "Not measured yet: `python -m benchmarks.photos_smoke`."
    record = read_json(path)
    table = [["method", "seconds", "of the processors", "peak memory", "metrics"]]
    for row in record["rows"]:
        times = [f"{row[name]:.0f}" for name in ("seconds", "cpu_seconds")]
        gigabytes = f"{row['peak_megabytes'] / 1000:.1f} GB"
        table.append([row["method"], *times, gigabytes, str(row["metrics"])])
    most = record["settings"]["limits"]
    loads = [row["load"] for row in record["rows"]]
    return aligned_markdown(table) + (
        f"\n\n{record['settings']['threads']} threads; load of the machine meanwhile "
        f"{min(loads):.1f} to {max(loads):.1f}. A method may take {most['seconds']:.0f} s and "
        f"{most['peak_megabytes'] / 1000:.0f} GB."
    )


def settings_block() -> str:
    """What each setting of the loop does to time and memory."""
    rows = read_json(REFERENCE_FOLDER / "benchmark_training_settings.json")["rows"]
    table = [["setting", "seconds per update", "relative", "peak memory"]]
    for row in rows:
        seconds = row["seconds_per_update"]
        relative = seconds / rows[0]["seconds_per_update"]
        memory = f"{row['peak_megabytes']:,.0f} MB"
        table.append([row["setting"], f"{seconds:.2f}", f"{relative:.2f}", memory])
    return aligned_markdown(table)


def gpu_step_block() -> str:
    """What an update of the papers' recipe takes on a GPU, by its attention kernels."""
    path = REFERENCE_FOLDER / "benchmark_gpu_step.json"
    if not path.is_file():
        return "Not measured yet: `python -m benchmarks.gpu_step`."
    record = read_json(path)
    table = [["attention", "updates", "first, s", "median, s", "of the peak", "loader", "memory"]]
    notes = []
    for row in record["rows"]:
        first, *later = row["updates"]

        def middle(name: str, later: list[dict[str, float]] = later) -> float:
            return statistics.median(one[name] for one in later)

        table.append(
            [
                row["version"],
                str(len(row["updates"])),
                f"{first['seconds']:.1f}",
                f"{middle('seconds'):.2f}",
                f"{middle('model_flops_utilisation'):.1%}",
                f"{middle('loader_share'):.2%}",
                f"{max(one['peak_memory'] for one in later) / 1024:.1f} GiB",
            ]
        )
        notes += [f"{row['version']}: {row['note']}"] if row.get("note") else []
    where, torch = record["machine"]["gpu"], record["packages"]["torch"]
    told = f"\n\n{where}, torch {torch}, {record['date']}; medians without the first update."
    told += f" {'. '.join(notes)}." if notes else ""
    if "profile" in record:
        of = record["profile"]
        told += (
            f"\n\nA batch, profiled ({of['note']}): the card works {of['milliseconds']:.0f} ms, "
            f"{of['milliseconds_of_matrix_products']:.0f} of them in the layers' matrix products; "
            f"the processor launches {of['launches']:,} kernels, "
            f"{of['microseconds_a_launch']:.1f} µs each. An eighth of the last row's median is "
            f"{middle('seconds') / 8 * 1000:.0f} ms."
        )
    return aligned_markdown(table) + told


def dry_run_block() -> str:
    """What a dry run foretold, and what its updates then took."""
    record = read_json(REFERENCE_FOLDER / "benchmark_dry_run.json")
    found, settings = record["values"], record["settings"]
    return (
        f"Foretold: {found['estimate']:.0f} s. {settings['updates']} updates of "
        f"{settings['images']} pictures then took {found['seconds_of_updates']:.0f} s of the "
        f"{settings['clock']}, the whole command {found['seconds_of_command']:.0f} s "
        f"({record['machine']['processor']}, threads: {settings['threads']})."
    )


_CHANGES = {
    "text": "another text",
    "phrases": "a phrase clicked",
    "scene": "another scene, never seen before",
    "second": "a second model, or none",
    "kind": "another head, or their mean",
    "row": "another patch",
    "opacity": "opacity",
    "threshold": "threshold",
}
"""The explorer's changes in words, by the name of the control in `benchmarks/explorer.py`."""


def explorer_block() -> str:
    """How long the explorer takes to follow each of its controls."""
    record = read_json(REFERENCE_FOLDER / "benchmark_explorer.json")
    table = [["change", "models", "median, s", "longest, s", "median of the processor, s"]]
    names = sorted(record["values"], key=_as_in_words)
    for name in names:
        many, _, control = name.rpartition(": ")
        count = many.partition(" ")[0] or "2"
        times = record["values"][name]
        parts = (times[part] for part in ("median", "longest", "median_processor"))
        table.append([_CHANGES.get(control, control), count, *(f"{part:.3f}" for part in parts)])
    missing = (
        ""
        if any(": " in name for name in names)
        else ("\n\nNot measured in this record: the released formats side by side on a photograph.")
    )
    machine = f"{record['machine']['processor']}, {record['date']}"
    return f"{aligned_markdown(table)}{missing}\n\n{machine}; one thread."


def _as_in_words(name: str) -> tuple[bool, int]:
    many, _, control = name.rpartition(": ")
    return bool(many), [*_CHANGES, control].index(control)


BLOCKS: dict[str, Callable[[], str]] = {
    "loss_cost": loss_cost_block,
    "loss_real": loss_real_block,
    "loss_ranks": loss_ranks_block,
    "text_cost": text_cost_block,
    "whole_step": whole_step_block,
    "photos_smoke": photos_smoke_block,
    "gpu_step": gpu_step_block,
    "dry_run": dry_run_block,
    "settings": settings_block,
    "explorer": explorer_block,
}
"""Part of `pages.BLOCKS`."""
