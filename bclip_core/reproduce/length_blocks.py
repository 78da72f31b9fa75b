"""The pages' blocks about the length of training: curves, claims, the sigmoid form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bclip_core.records.markdown import aligned_markdown
from bclip_core.records.results import load_result
from bclip_core.reproduce.blocks import committed, search_table
from bclip_core.studies import sigmoid
from bclip_core.studies.claims import GROUPS, claim_rows, judge
from bclip_core.studies.curves import (
    AT_LENGTH,
    IN_FRONT,
    SERIES,
    beta_rows,
    length_rows,
    table_rows,
    twice_rows,
)
from bclip_core.studies.tables import in_order
from bclip_core.studies.texts.wording import wording_rows


def front_block() -> str:
    """README's table: the methods at the length at which they are compared."""
    return aligned_markdown(length_rows(committed("curves")["values"], IN_FRONT))


def curves_twice_block() -> str:
    """How far runs of the learning curves move with the machine and with the seed."""
    kept = (committed(name)["values"] for name in ("curves", "curves_elsewhere"))
    return aligned_markdown(twice_rows(*kept))


def curves_block() -> str:
    """Methods by length of training, of the reference."""
    return aligned_markdown(table_rows(in_order(committed("curves")["values"], SERIES)))


def wordings_block() -> str:
    """How methods point by a bare phrase and by sentences, of the reference."""
    return aligned_markdown(wording_rows(committed("wordings")["values"]))


def betas_block() -> str:
    """Both forms over β at the length at which methods are compared, of the reference."""
    return aligned_markdown(beta_rows(committed("curves")["values"], AT_LENGTH))


def claims_block(group: str) -> str:
    """The papers' claims and ours against the learning curves' runs.

    Args:
        group: of `claims.GROUPS`.
    """
    return aligned_markdown(claim_rows(judge(committed("curves")["values"], GROUPS[group])))


def sigmoid_block() -> str:
    """Ways to divide and to bias the sigmoid form, of the reference, and both published forms."""
    values = sigmoid.with_curves(committed("sigmoid")["values"], committed("curves")["values"])
    return aligned_markdown(sigmoid.table_rows(values))


def sigmoid_gains_block() -> str:
    """What each way changes against the published form at the same length."""
    values = sigmoid.with_curves(committed("sigmoid")["values"], committed("curves")["values"])
    return "\n".join(sigmoid.gains(values)) or "No way but the published one has been run yet."


def sigmoid_plateau_block() -> str:
    """Where the published form comes to rest, as derived and as measured."""
    return sigmoid.plateau_sentence(committed("sigmoid")["values"])


def rates_block() -> str:
    """The search of learning rates at 300 updates, of the reference of the profile `long`."""
    return search_table(load_result("search", "long", reference=True))


BLOCKS: dict[str, Callable[[], str]] = {
    "front": front_block,
    "curves": curves_block,
    "curves_twice": curves_twice_block,
    "betas": betas_block,
    "wordings": wordings_block,
    "rates": rates_block,
    **{group: partial(claims_block, group) for group in GROUPS},
    "sigmoid": sigmoid_block,
    "sigmoid_gains": sigmoid_gains_block,
    "sigmoid_plateau": sigmoid_plateau_block,
}
"""Part of `pages.BLOCKS`; each needs its records in results/reference."""
