"""A notebook as a run on photographs executes it: without what it says and shows of scenes.

Cells with the tag `scenes-only` are left out. So is what the first cell says of the collection's
own runs on scenes: the answer, what they read, write and take. Committed figures are not shown.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

from bclip_core.config import get_profile
from bclip_core.studies.asked import USUAL

SCENES_ONLY = "scenes-only"
_ANSWER = re.compile(r"\*\*Answer\.\*\*.*?(?=\n\n|\Z)", re.DOTALL)
_OWN_RUNS = re.compile(r"(?:\*\*(?:Reads|Time)\*\*|The committed outputs).*?(?=\n\n|\Z)", re.DOTALL)
_COMMITTED = re.compile(r"^!\[[^\]]*\]\(\.\./figures/[^)]*\)\s*$\n*", re.MULTILINE)


def data_of_run(parameters: Mapping[str, Any], declared: Mapping[str, Any]) -> str:
    """Name of the data set that a notebook with these parameters runs on.

    Args:
        parameters: as given.
        declared: the notebook's own values of those that are not.

    Raises:
        ConfigError: an unknown profile.
    """
    asked = {**declared, **parameters}
    base = get_profile(str(asked["profile"])).base if "profile" in asked else None
    return str(asked.get("data_set") or (base.data.name if base else "scenes"))


def takes_photographs(number: str) -> bool:
    """Whether a notebook runs on any data set; the others are about scenes, texts or speed."""
    return number in USUAL


def for_photographs(notebook: NotebookNode, data_set: str) -> NotebookNode:
    """A copy of a notebook for a run on a data set of photographs.

    Args:
        notebook: as committed.
        data_set: what the run is on.
    """
    adapted = copy.deepcopy(notebook)
    adapted.cells = [c for c in adapted.cells if SCENES_ONLY not in c.metadata.get("tags", [])]
    for cell in adapted.cells:
        if cell.cell_type == "markdown":
            text = _OWN_RUNS.sub("", _ANSWER.sub("", cell.source))
            cell.source = re.sub(r"\n{3,}", "\n\n", _COMMITTED.sub("", text)).strip()
    told = (
        f"**This run** is on `{data_set}`. What the committed notebook says and shows of scenes "
        "is left out."
    )
    note = nbformat.v4.new_markdown_cell(told, id="this-run")  # type: ignore[no-untyped-call]
    adapted.cells.insert(1, note)
    return adapted
