"""`python -m bclip_core.reproduce.redraw [--names leak]`: figures drawn again from their numbers.

What a figure draws is kept: in `results/reference/`, in `figures/NAME.json`, or in the record of
the shipped weights. So a change of its looks needs no training. Pictures of maps (`MAPS`) need the
models that drew them and are left out; their notebooks draw them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bclip_core import plotting
from bclip_core.config import get_profile
from bclip_core.config.command_line import read_options, run_command
from bclip_core.evaluation import HEADLINES, retrieval_metric
from bclip_core.plotting.curves import BETA_PANELS
from bclip_core.plotting.files import FIGURES
from bclip_core.records.files import make_folder, read_json, write_atomically
from bclip_core.records.results import load_result
from bclip_core.reproduce.shipping import SHIPPED_RECORD
from bclip_core.studies import curves, figures, papers, sigmoid, tables
from bclip_core.studies.leak import study as leak_study
from bclip_core.studies.leak import tables as leak_tables
from bclip_core.studies.mulclip.ablation import in_order
from bclip_core.studies.mulclip.figure import mulclip_ablation
from bclip_core.studies.relatives import costs
from bclip_core.studies.texts import lengths
from bclip_core.studies.texts.figure import text_lengths

MAPS = frozenset(
    "attention_compared attention_grid attention_shipped explorer_beta explorer_drawing "
    "explorer_heads explorer_patch explorer_view mulclip_levels pooler_attention scenes".split()
)
"""Figures of pictures: drawn by a model, or from the scenes."""


def _drawn(name: str) -> Any:
    return read_json(FIGURES / f"{name}.json")


def _kept(name: str) -> Any:
    return load_result(name, "cpu", reference=True)["values"]


def _beta_ablation() -> Figure:
    kept = _kept("beta_ablation")
    curve = dict(zip(kept["betas"], kept["metrics"], strict=True))
    return plotting.beta_ablation(curve, kept["baseline"], {t: HEADLINES[t] for t in BETA_PANELS})


def _beta_cal_targets() -> Figure:
    drawn = _drawn("beta_cal_targets")
    targets, weights = (
        dict(zip(drawn["betas"], drawn[part], strict=True))
        for part in ("ce_targets", "bce_weights")
    )
    names = [f"{picture}{number}" for picture in "AB" for number in (1, 2, 3)]
    return plotting.beta_cal_targets(targets, weights, drawn["bce_labels"], names)


def _leak() -> Figure:
    kept = tables.in_order(_kept("leak"), leak_study.ORDER)
    named = leak_tables.with_steps(tables.summaries(kept), kept)
    return plotting.leak_scatter(named, {name: leak_tables.kind(name) for name in named})


def _leak_pairs() -> Figure:
    drawn = _drawn("leak_pairs")
    return figures.conditioning_pairs(drawn["grids"], drawn["texts"])


def _learning_curves() -> Figure:
    drawn = _drawn("learning_curves")
    points, own = (_runs(tables.in_order(drawn[part], curves.MAIN)) for part in ("curves", "own"))
    titles = {
        f"regions, {t}" if t in ("hard", "medium") else t: m for t, m in curves.COLUMNS.items()
    }
    return plotting.learning_curves(points, titles, own)


def _runs(numbers: dict[str, Any]) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """The inverse of `curves.numbers_of`."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for name, by_length in numbers.items():
        found[name] = {}
        for length in sorted(by_length, key=int):
            by_title = by_length[length]
            seeds = range(len(next(iter(by_title.values()))))
            found[name][int(length)] = [
                {curves.COLUMNS[t]: {"mean": values[seed]} for t, values in by_title.items()}
                for seed in seeds
            ]
    return found


def _method_comparison() -> Figure:
    methods = tables.in_order(_kept("method_comparison")["methods"])
    return plotting.methods_overview(methods, HEADLINES)


def _methods() -> Figure:
    shown, drawn = tables.in_order(_kept("methods")), _drawn("methods")["methods"]
    methods = {"clip": drawn["clip"], **tables.summaries(shown)}
    whole = {
        "seconds per step": costs.seconds_per_step(shown, _kept("step_times")["seconds"]),
        "memory, MiB": costs.memory(shown),
    }
    return plotting.method_comparison(methods, {n: tables.family(n) for n in methods}, whole)


def _mulclip_ablation() -> Figure:
    gaps = in_order(_kept("mulclip_ablation"))["gaps"]
    title = "published: ViT-B/16, DOCCI, mean R@1, long captions"
    return mulclip_ablation(gaps, papers.MULCLIP_ABLATION, title)


def _pretraining() -> Figure:
    curve = read_json(SHIPPED_RECORD)["training_curve"]
    pretraining = get_profile("cpu").pretraining
    batch = pretraining.train.batch_size if pretraining else None
    return plotting.training_curves({"shipped, clip-pretrain": curve}, batch)


def _search() -> Figure:
    return figures.search_trials(tables.in_order(_kept("search")["methods"]))


def _sigmoid() -> Figure:
    kept, title = _kept("sigmoid"), "pooled with every candidate → image"
    committed = sigmoid.at_length(kept, 100)
    plateau = kept["plateau"]["plateau"]
    return plotting.sigmoid_balance(committed, retrieval_metric("conditioned"), title, plateau)


def _text_lengths() -> Figure:
    drawn = _drawn("text_lengths")
    sets = {title: drawn["sets"][title] for title, *_ in lengths.SETS if title in drawn["sets"]}
    points: dict[str, dict[float, float]] = {
        title: {int(share): value for share, value in by_share.items()}
        for title, by_share in drawn["published"].items()
    }
    limits = {
        "tokens of a caption": lengths.CONTEXTS,
        "phrases of a caption": (lengths.MOST_PHRASES,),
    }
    return text_lengths(sets, drawn["percentiles"], "rules", points, limits)


def _text_positions() -> Figure:
    drawn = _drawn("text_positions")
    return plotting.text_positions(drawn["positions_per_batch"], drawn["settings"]["images"])


def _training_curves() -> Figure:
    drawn = tables.in_order({n: v for n, v in _drawn("training_curves").items() if n != "profile"})
    return plotting.training_curves(drawn, get_profile("cpu").base.train.batch_size)


DRAWN: dict[str, Callable[[], Figure]] = {
    "beta_ablation": _beta_ablation,
    "beta_cal_targets": _beta_cal_targets,
    "leak": _leak,
    "leak_pairs": _leak_pairs,
    "learning_curves": _learning_curves,
    "loss_costs": lambda: plotting.loss_costs(_drawn("loss_costs")["rows"]),
    "method_comparison": _method_comparison,
    "methods": _methods,
    "mulclip_ablation": _mulclip_ablation,
    "pretraining": _pretraining,
    "search": _search,
    "sigmoid": _sigmoid,
    "text_lengths": _text_lengths,
    "text_positions": _text_positions,
    "training_curves": _training_curves,
    "training_settings": lambda: plotting.training_settings(_drawn("training_settings")["rows"]),
}
"""How each figure is drawn from its numbers."""


def redraw(name: str, folder: Path = FIGURES) -> Path:
    """Draw a figure again; its numbers stay as they are.

    Raises:
        ValueError: a name that is not in `DRAWN`.
        FileNotFoundError: its numbers are not there.
    """
    _require_drawn(name)
    content = plotting.png(DRAWN[name]())
    return write_atomically(folder / f"{name}.png", lambda path: path.write_bytes(content))


def _require_drawn(name: str) -> None:
    if name not in DRAWN:
        why = "needs its model: run its notebook" if name in MAPS else "no such figure"
        raise ValueError(f"figure {name!r}: {why}; expected one of {', '.join(DRAWN)}")


@dataclass(frozen=True)
class Options:
    """Draw figures again from their numbers, without training."""

    names: tuple[str, ...] = ()
    """Which; all of those that have numbers where none is named."""
    folder: Path = FIGURES
    """Where to."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: draw, and say which files."""
    options = read_options(Options, arguments, "python -m bclip_core.reproduce.redraw")
    for name in options.names:
        _require_drawn(name)  # all of them before the first is drawn
    make_folder(options.folder)
    for name in options.names or tuple(DRAWN):
        print(redraw(name, options.folder))


if __name__ == "__main__":
    run_command(main, ValueError, OSError)
