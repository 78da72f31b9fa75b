"""README's numbers, generated from results/reference: `python -m bclip_core.reproduce.pages`.

A block between `<!-- NAME -->` and `<!-- /NAME -->` is replaced by what NAME's function says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bclip_core.checkpoints.own import SHIPPED
from bclip_core.data import real
from bclip_core.evaluation import HEADLINES, OWN_CAPTION, percent
from bclip_core.model import METHODS
from bclip_core.records import REPOSITORY
from bclip_core.records.files import read_json, write_atomically
from bclip_core.records.markdown import aligned_markdown
from bclip_core.records.results import REFERENCE_FOLDER, load_result
from bclip_core.reproduce import study_blocks

README = REPOSITORY / "README.md"


def reference_methods() -> dict[str, Any]:
    """The overview's summaries by method, in the catalogue's order."""
    methods = load_result("benchmark", "cpu", reference=True)["values"]["methods"]
    return {name: methods[name] for name in METHODS if name in methods}


def benchmark_block() -> str:
    """Methods × headline metrics, with the chance level."""
    return _methods_by_metrics("% [95 % interval]", HEADLINES | OWN_CAPTION)


def attributes_block() -> str:
    """Single-attribute accuracy, from the patches of the region and from the pooled picture."""
    names = dict.fromkeys(
        n for m in reference_methods().values() for n in m if n.startswith("attributes/")
    )
    parts = {name: name.split("/") for name in names}
    titles = {f"{attribute}, {kind}": name for name, (_, kind, attribute) in parts.items()}
    return _methods_by_metrics("attribute", titles)


def _methods_by_metrics(corner: str, metrics: Mapping[str, str]) -> str:
    methods = reference_methods()
    rows = [[corner, "chance", *methods]]
    for title, name in metrics.items():
        chance = next(m[name]["chance"] for m in methods.values() if name in m)
        cells = [percent(m[name]) if name in m else "no pooler" for m in methods.values()]
        rows.append([title, f"{100 * chance:.1f}", *cells])
    return aligned_markdown(rows)


def difference_block() -> str:
    """How far β-CLIP-CE is ahead of fine-tuning on long captions."""
    gaps = load_result("benchmark", "cpu", reference=True)["values"]["differences"]
    rows = [["β-CLIP-CE minus clip-ft, three seeds", "points [95 % interval]"]]
    return aligned_markdown(rows + [[f"`{name}`", percent(gap)] for name, gap in gaps.items()])


def ablation_block() -> str:
    """Four metrics over β."""
    values = load_result("beta_ablation", "cpu", reference=True)["values"]
    names = ["regions, hard", "regions, medium", "pointing game, attention"]
    names.append("long caption → image, R@1")
    rows = [["β", *names]]
    for beta, metrics in zip(values["betas"], values["metrics"], strict=True):
        rows.append([f"{beta:g}", *(percent(metrics[HEADLINES[name]]) for name in names)])
    return aligned_markdown(rows)


def times_block() -> str:
    """How long the collection took, and how much memory it held."""
    record = load_result("collection", "cpu", reference=True)
    values, machine = record["values"], record["machine"]
    minutes, seconds = divmod(values["seconds"], 60)
    memory = ""
    if "peak_memory_gigabytes" in values:  # records before it was measured lack it
        memory = f" and at most {values['peak_memory_gigabytes']:.1f} GB of memory"
    notebooks = values["notebooks"]
    count = notebooks if isinstance(notebooks, int) else len(notebooks)
    return (
        f"`make reproduce` took {minutes} min {seconds:02d} s{memory} for {count} notebooks, on "
        f"{machine['cores']} cores ({machine['processor']}), after the environment was there "
        f"(commit {record['code']['commit'][:7]}, {record['date']})."
    )


def loss_cost_block() -> str:
    """β-CAL against the equations written down, over the size of the batch."""
    rows = read_json(REFERENCE_FOLDER / "benchmark_beta_cal.json")["rows"]
    cost = {(r["form"], r["images"], r["version"]): r for r in rows}
    table = [["form", "images × 36 texts", "seconds, equations", *_FASTER]]
    table[0] += ["matrix products alone", "MB, equations", "streamed", "times less"]
    for form, images in sorted({(r["form"], r["images"]) for r in rows}, key=_ce_first):
        found = {key[2]: row for key, row in cost.items() if key[:2] == (form, images)}
        floor = found.get("products")
        cells = [form.upper(), str(images), *_faster(found, "equations")]
        cells += [f"{floor['cpu_seconds']:.3f}" if floor else "", *_leaner(found, "equations")]
        table.append(cells)
    return aligned_markdown(table)


def loss_real_block() -> str:
    """β-CAL against the equations over padded texts, where real captions leave places empty."""
    real = read_json(REFERENCE_FOLDER / "benchmark_beta_cal.json")["real"]
    table = [["captions", "places filled", "form", "seconds, padded equations", *_FASTER]]
    table[0] += ["MB, padded equations", "streamed", "times less"]
    for name, rows in sorted(real.items()):
        for form in dict.fromkeys(row["form"] for row in rows):
            found = {row["version"]: row for row in rows if row["form"] == form}
            cells = [name, f"{found['streamed']['filled']:.0%}", form.upper()]
            table.append([*cells, *_faster(found, "padded"), *_leaner(found, "padded")])
    return aligned_markdown(table, left=1)


def loss_ranks_block() -> str:
    """β-CAL in two processes: each computes all of the joined batch, or its share of the rows."""
    ranks = read_json(REFERENCE_FOLDER / "benchmark_beta_cal.json")["ranks"]
    table = [["form", "seconds, all of it in both processes", "rows shared", "times faster"]]
    for form, seconds in sorted(ranks.items(), key=lambda found: found[0] != "ce"):
        whole, shared = seconds["whole"], seconds["shared"]
        table.append([form.upper(), f"{whole:.3f}", f"{shared:.3f}", f"{whole / shared:.1f}"])
    return aligned_markdown(table)


_FASTER = ("streamed", "times faster", "of bfloat16", "times faster")


def _faster(found: Mapping[str, Mapping[str, Any]], plain: str) -> list[str]:
    """Seconds of the plain version, and of the library's with how many times faster it is."""
    seconds = {version: row["cpu_seconds"] for version, row in found.items()}
    cells = [f"{seconds[plain]:.3f}" if plain in seconds else ""]
    for version in ("streamed", "bfloat16"):
        cells.append(f"{seconds[version]:.3f}" if version in seconds else "")
        both = plain in seconds and version in seconds
        cells.append(f"{seconds[plain] / seconds[version]:.1f}" if both else "")
    return cells


def _leaner(found: Mapping[str, Mapping[str, Any]], plain: str) -> list[str]:
    """Megabytes of the plain version and of the library's, and how many times fewer those are."""
    ours, theirs = found["streamed"], found.get(plain)
    less = theirs["peak_megabytes"] / ours["peak_megabytes"] if theirs else None
    cells = [f"{theirs['peak_megabytes']:.0f}" if theirs else "", f"{ours['peak_megabytes']:.0f}"]
    return [*cells, f"{less:.1f}" if less else ""]


def _ce_first(key: tuple[str, int]) -> tuple[bool, int]:
    return key[0] != "ce", key[1]


def text_cost_block() -> str:
    """Token positions and step times, padded and once."""
    record = read_json(REFERENCE_FOLDER / "benchmark_text_once.json")
    images = record["settings"]["images"]
    rows = [["captions", "positions per image, padded", "encoded", "distinct texts need"]]
    rows[0] += ["ViT-B/16 step, padded", "once", "times faster"]
    for name, found in record["positions_per_batch"].items():
        step = record["steps"][name]
        cells = [f"{found[way] / images:,.0f}" for way in ("padded", "encoded", "distinct")]
        cells += [f"{step[f'seconds_{way}']:.1f} s" for way in ("padded", "once")]
        rows.append([name, *cells, f"{step['times_faster']:.2f}"])
    return aligned_markdown(rows)


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


def shipped_block() -> str:
    """What the shipped model is, from its record."""
    record = read_json(SHIPPED["scenes"].with_suffix(".json"))
    config, curve = record["config"], record["training_curve"]
    megabytes = SHIPPED["scenes"].stat().st_size / 1e6
    return (
        f"`{config['backbone']['name']}`, {curve[-1]['update']:,} updates of "
        f"{config['train']['batch_size']} of {config['data']['train']:,} "
        f"`{config['data']['difficulty']}` scenes, seed {config['train']['seed']}, "
        f"{megabytes:.1f} MB, made on: {record['machine']['processor']}."
    )


BLOCKS: dict[str, Callable[[], str]] = {
    "benchmark": benchmark_block,
    "differences": difference_block,
    "ablation": ablation_block,
    "attributes": attributes_block,
    "shipped": shipped_block,
    "times": times_block,
    "loss_cost": loss_cost_block,
    "loss_real": loss_real_block,
    "loss_ranks": loss_ranks_block,
    "text_cost": text_cost_block,
    "settings": settings_block,
    "datasets": real.table,
} | study_blocks.BLOCKS


def fill(text: str) -> str:
    """README's text with every block made anew.

    Raises:
        ValueError: a block that nobody makes, or a missing end mark.
    """
    for name in re.findall(r"<!-- (\w+) -->", text):
        if name not in BLOCKS:
            raise ValueError(f"block {name!r} in README: expected one of {', '.join(BLOCKS)}")
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"block {name!r} in README has no end mark <!-- /{name} -->")
        body = BLOCKS[name]().replace("\\", r"\\")
        text = pattern.sub(rf"\g<1>{body}\n\g<2>", text)
    return text


def update(path: Path = README) -> None:
    """Write README anew from results/reference."""
    filled = fill(path.read_text(encoding="utf-8"))
    write_atomically(path, lambda temporary: temporary.write_text(filled, encoding="utf-8"))


if __name__ == "__main__":
    update()
