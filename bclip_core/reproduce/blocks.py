"""The pages' blocks that results of trained models fill: comparisons of methods and studies.

A `..._table` makes Markdown of any record of its kind, a `..._block` of the committed one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bclip_core.checkpoints.own import SHIPPED
from bclip_core.evaluation import (
    HEADLINES,
    OWN_CAPTION,
    attribute_metric,
    metric_title,
    percent,
    retrieval_metric,
)
from bclip_core.evaluation.protocols.named import protocol_rows
from bclip_core.model import METHODS
from bclip_core.records.files import read_json
from bclip_core.records.markdown import aligned_markdown
from bclip_core.records.results import load_result
from bclip_core.studies.leak.study import ORDER, OWN
from bclip_core.studies.leak.tables import HONEST, leak_rows
from bclip_core.studies.mulclip import ablation as mulclip
from bclip_core.studies.papers import MULCLIP_ABLATION
from bclip_core.studies.pointing import overall_hits
from bclip_core.studies.relatives.costs import catalogue_rows
from bclip_core.studies.tables import (
    COMPARED,
    comparison_rows,
    find_record,
    gain_rows,
    in_order,
    summaries,
)

TUNED = "scenes-beta-clip"
_TUNED_TITLES = (
    "pointing, attention", "pointing, patch cosine", "regions, hard", "regions, medium",
    "long caption → image", "image → long caption", "short caption → image",
)  # fmt: skip
NO_PLACES = "without places alone"
_HITS = {
    NO_PLACES: "pointing", "scenes seen": "pointing_seen", "keys as trained": "pointing_as_trained"
}  # fmt: skip
Record = Mapping[str, Any]
Columns = Mapping[str, str]

# Titles as short as a page of tables needs them; the pages say what they stand for.
RETRIEVAL = {
    "long → image": COMPARED["long caption → image"],
    "image → long": COMPARED["image → long caption"],
    "short → image": COMPARED["short caption → image"],
    "image → short": COMPARED["image → short caption"],
    "own way → image": COMPARED["its own way → image"],
    "own way → text": COMPARED["its own way → text"],
}
DETAILS = {
    "hard": COMPARED["regions, hard"],
    "medium": COMPARED["regions, medium"],
    "easy": COMPARED["regions, easy"],
    "trivial": COMPARED["regions, trivial"],
    "pointing, patches": COMPARED["pointing, patch cosine"],
    "pointing, attention": COMPARED["pointing, attention"],
}
LEAK_RETRIEVAL = {
    "pooled → image": HONEST["conditioned → image"],
    "→ text": HONEST["→ text"],
    "centred → image": HONEST["centred → image"],
    "→ text ": HONEST["centred → text"],
    "global → image": HONEST["global → image"],
    "→ text  ": HONEST["global → text"],
}
LEAK_DETAILS = {
    "hard": HONEST["regions, hard"],
    "medium": HONEST["regions, medium"],
    "easy": HONEST["regions, easy"],
    "attention": HONEST["pointing, attention"],
    "patches": HONEST["pointing, cosine"],
    "precision": HONEST["precision, attention"],
}


def committed(name: str) -> Record:
    """A record of the reference; FileNotFoundError says how to make a missing one."""
    return load_result(name, "cpu", reference=True)


# The comparison of β-CLIP with fine-tuning: notebooks 05 and 07.


def reference_methods() -> dict[str, Any]:
    """The summaries of notebook 07 by method, in the catalogue's order."""
    methods = committed("method_comparison")["values"]["methods"]
    return {name: methods[name] for name in METHODS if name in methods}


def _methods_by_metrics(corner: str, metrics: Columns) -> str:
    methods = reference_methods()
    rows = [[corner, "chance", *methods]]
    for title, name in metrics.items():
        chance = next(m[name]["chance"] for m in methods.values() if name in m)
        cells = [percent(m[name]) if name in m else "no pooler" for m in methods.values()]
        rows.append([title, f"{100 * chance:.1f}", *cells])
    return aligned_markdown(rows)


def method_comparison_block() -> str:
    """Methods × headline metrics, with the chance level."""
    short = {
        title.replace(" on every candidate", "").removesuffix(", R@1"): metric
        for title, metric in (HEADLINES | OWN_CAPTION).items()
    }
    return _methods_by_metrics("% [95 % interval]", short)


def attributes_block() -> str:
    """Single-attribute accuracy, from the patches of the region and from the pooled picture."""
    names = dict.fromkeys(
        n for m in reference_methods().values() for n in m if n.startswith("attributes/")
    )
    parts = {name: name.split("/") for name in names}
    titles = {f"{attribute}, {kind}": name for name, (_, kind, attribute) in parts.items()}
    return _methods_by_metrics("attribute", titles)


def differences_block() -> str:
    """How far β-CLIP-CE is ahead of fine-tuning on long captions."""
    gaps = committed("method_comparison")["values"]["differences"]
    rows = [["β-CLIP-CE minus clip-ft, three seeds", "points [95 % interval]"]]
    return aligned_markdown(
        rows + [[metric_title(name), percent(gap)] for name, gap in gaps.items()]
    )


def beta_block() -> str:
    """Five metrics over β, the one that goes the other way among them."""
    values = committed("beta_ablation")["values"]
    titles = {
        "regions, hard": "regions, hard",
        "medium": "regions, medium",
        "pointing, attention": "pointing game, attention",
        "pointing, patches": "pointing game, patch cosine",
        "long → image": "long caption → image, R@1",
    }
    rows = [["β", *titles]]
    for beta, metrics in zip(values["betas"], values["metrics"], strict=True):
        cells = (percent(metrics[HEADLINES[name]]) for name in titles.values())
        rows.append([f"{beta:g}", *cells])
    return aligned_markdown(rows)


# The catalogue's methods: notebook 14.


def methods_table(record: Record, columns: Columns = COMPARED) -> str:
    """Methods by what they reach, from a record `methods`."""
    return aligned_markdown(comparison_rows(summaries(in_order(record["values"])), columns))


def gains_table(record: Record, columns: Columns = COMPARED, against: str = "clip-ft") -> str:
    """Differences to one method, seed by seed, from a record `methods`."""
    return aligned_markdown(gain_rows(in_order(record["values"]), against, columns))


def costs_table(record: Record, timed: Record | None = None) -> str:
    """Methods by what they read, learn and cost, from records `methods` and `step_times`."""
    seconds = timed["values"]["seconds"] if timed else None
    return aligned_markdown(catalogue_rows(in_order(record["values"]), seconds), left=3)


def patches_block() -> str:
    """FLAIR on either kind of patches: the same seeds, learning rates and number of updates.

    The value-only runs are those of the record, or of the comparison of methods, whose machine was
    another one. Without a record it says how to make one.
    """
    record = find_record("flair_patches", reference=True)
    if record is None:
        command = "python -m bclip_core.studies.search --profile cpu --compare"
        return f"Not measured yet: `{command} --methods flair flair-value --name flair_patches`."
    found, other = record["values"], record
    if "flair-value" not in found:
        other = committed("methods")
    entries = {"flair": found["flair"], "flair-value": other["values"]["flair-value"]}
    seeds = min(len(entry["metrics"]) for entry in entries.values())
    shown = {
        name: {**entry, "metrics": entry["metrics"][:seeds], "leak": entry["leak"][:seeds]}
        for name, entry in entries.items()
    }
    made = {
        name: f"`{name}` on {one['machine']['processor']}, code {one['code']['commit'][:7]}"
        for name, one in zip(entries, (record, other), strict=True)
    }
    tables = (methods_table({"values": shown}, columns) for columns in (RETRIEVAL, DETAILS))
    return "\n\n".join((*tables, f"Seeds: {seeds}. Made: {'; '.join(made.values())}."))


def search_table(record: Record) -> str:
    """Scores by trial and the choice, from a record `search`; a column for each pair of factors."""
    found = in_order(record["values"]["methods"])
    scores = {
        name: {_factors(trial): f"{100 * trial['score']:.1f}" for trial in entry["trials"]}
        for name, entry in found.items()
    }
    columns = list(dict.fromkeys(factors for by_trial in scores.values() for factors in by_trial))
    rows = [["method", "chosen", *columns]]
    for name, entry in found.items():
        cells = (scores[name].get(factors, "") for factors in columns)
        rows.append([name, _factors(entry["chosen"]), *cells])
    return aligned_markdown(rows)


def _factors(trial: Mapping[str, float]) -> str:
    """`×2` of both learning rates; `×2, ×3` where the weights of the terms are multiplied, too."""
    rate = f"×{trial['rate']:g}"
    return rate if trial["weight"] == 1 else f"{rate}, ×{trial['weight']:g}"


def costs_block() -> str:
    """`costs_table` of the reference; seconds timed in turns where that was done."""
    return costs_table(committed("methods"), find_record("step_times", reference=True))


# The studies of notebooks 13 and 15.


def mulclip_table(record: Record, titles: tuple[str, ...] = tuple(mulclip.METRICS)) -> str:
    """MulCLIP's variants against the full method, from a record `mulclip_ablation`."""
    rows = mulclip.gap_rows(record["values"])
    kept = [0, *(rows[0].index(title) for title in titles)]
    rows = [[row[column] for column in kept] for row in rows]
    return aligned_markdown(rows)


def mulclip_block() -> str:
    """`mulclip_table` of the reference, two measures a table."""
    record, titles = committed("mulclip_ablation"), tuple(mulclip.METRICS)
    return "\n\n".join(mulclip_table(record, part) for part in (titles[:2], titles[2:]))


def mulclip_published_block() -> str:
    """The paper's own ablation: another measure on other pictures, so in a table of its own."""
    rows = [["MulCLIP's paper, tuned on DOCCI", "average long-caption R@1, %"]]
    rows += [[name, f"{value:.2f}"] for name, value in MULCLIP_ABLATION.items()]
    return aligned_markdown(rows)


def leak_table(record: Record) -> str:
    """The leak by variant, from a record `leak`: retrieval that should not work, then variance."""
    rows = leak_rows(summaries(in_order(record["values"], ORDER)))
    parts = ((0, 1, 2, 3, 7, 8), (0, 4, 5, 6))
    return "\n\n".join(
        aligned_markdown([[row[number] for number in part] for row in rows]) for part in parts
    )


def honest_table(record: Record, columns: Columns = HONEST) -> str:
    """What every variant reaches, from a record `leak`."""
    values = in_order(record["values"], ORDER)
    trained = {name: entry for name, entry in values.items() if entry["metrics"]}
    return aligned_markdown(comparison_rows(summaries(trained), columns))


def honest_gains_table(record: Record, columns: Columns = HONEST) -> str:
    """Differences to the paper's form, seed by seed, from a record `leak`."""
    return aligned_markdown(gain_rows(in_order(record["values"], ORDER), OWN, columns))


def _stages(record: Record) -> list[Record]:
    """A shipped model's record and what it keeps of earlier stages, the newest first."""
    stages = [record]
    while "before" in stages[-1]:
        stages.append(stages[-1]["before"])
    return stages


def shipped_block(name: str = "scenes") -> str:
    """What a shipped model is, from its record."""
    stages = _stages(read_json(SHIPPED[name].with_suffix(".json")))
    config = stages[0]["config"]
    made = ", then ".join(
        f"`{one['config']['backbone']['name']}`, {one['config']['train']['steps']:,} updates on "
        f"{one['machine']['gpu'] or one['machine']['processor']}"
        for one in reversed(stages)
    )
    megabytes, blur = SHIPPED[name].stat().st_size / 1e6, stages[0].get("key_blur", 0.0)
    blurred = f"; keys averaged over {blur:g} patches afterwards" if blur else ""
    return (
        f"{made}{blurred}; {config['train']['batch_size']} of {config['data']['train']:,} "
        f"`{config['data']['difficulty']}` scenes at a time, seed {config['train']['seed']}, "
        f"{megabytes:.1f} MB."
    )


_STAGES = ("shipped β-CLIP", "after its first stage", "after its second stage")
SHARE = "text's share of what is pooled"


def tuned_block() -> str:
    """What the shipped β-CLIP reaches, from its record."""
    record = read_json(SHIPPED[TUNED].with_suffix(".json"))
    asked = {
        **{title: COMPARED[title] for title in _TUNED_TITLES},
        "pooled → image": retrieval_metric("conditioned"),
        "pooled → text": retrieval_metric("conditioned", way="i2t"),
        "which shape, pooled": attribute_metric("shape", "pooled"),
    }
    stages = _stages(record)
    rows = [["%", _STAGES[0], *_STAGES[1 : len(stages)][::-1], "chance"]]
    for title, metric in asked.items():
        values = [one["metrics"][metric] for one in stages]
        rows.append([title, *map(percent, values), f"{100 * values[0]['chance']:.1f}"])
    for title, part in _HITS.items():
        if not any(part in one for one in stages):
            continue
        hits, chance = _hits(stages, part, places=title != NO_PLACES)
        rows.append([f"pointing, attention, {title}", *hits, chance])
    shares = [f"{100 * one['leak']['share/text']:.1f}" if "leak" in one else "" for one in stages]
    rows.append([SHARE, *shares, ""])
    return f"{shipped_block(TUNED)}\n\n{aligned_markdown(rows)}"


def _hits(stages: list[Record], part: str, *, places: bool) -> tuple[list[str], str]:
    """Cells of the stages, empty where a stage has not been measured so, and chance."""
    found = [overall_hits(one[part], places=places) if part in one else None for one in stages]
    cells = [f"{one[0]:.1f}" if one else "" for one in found]
    return cells, next(f"{one[1]:.1f}" for one in found if one)


BLOCKS: dict[str, Callable[[], str]] = {
    "flair_patches": patches_block,
    "protocols": lambda: aligned_markdown(protocol_rows(), left=6),
    "tuned": tuned_block,
    "shipped": shipped_block,
    "method_comparison": method_comparison_block,
    "differences": differences_block,
    "attributes": attributes_block,
    "beta": beta_block,
    "methods_retrieval": lambda: methods_table(committed("methods"), RETRIEVAL),
    "methods_details": lambda: methods_table(committed("methods"), DETAILS),
    "gains_retrieval": lambda: gains_table(committed("methods"), RETRIEVAL),
    "gains_details": lambda: gains_table(committed("methods"), DETAILS),
    "method_costs": costs_block,
    "search": lambda: search_table(committed("search")),
    "mulclip_ablation": mulclip_block,
    "mulclip_published": mulclip_published_block,
    "leak": lambda: leak_table(committed("leak")),
    "leak_retrieval": lambda: honest_table(committed("leak"), LEAK_RETRIEVAL),
    "leak_details": lambda: honest_table(committed("leak"), LEAK_DETAILS),
    "leak_gains_retrieval": lambda: honest_gains_table(committed("leak"), LEAK_RETRIEVAL),
    "leak_gains_details": lambda: honest_gains_table(committed("leak"), LEAK_DETAILS),
}
"""Part of `pages.BLOCKS`; each needs its records in results/reference."""
