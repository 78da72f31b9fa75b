"""From a figure to a notebook's output and to figures/."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from bclip_core.config import get_profile
from bclip_core.plotting.style import style
from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_atomically, write_json
from bclip_core.records.markdown import aligned_markdown, narrow_tables
from bclip_core.records.results import runs_folder

FIGURES = REPOSITORY / "figures"  # the committed ones
DOTS_PER_INCH = 150  # of a file
MEASURED = frozenset(
    "date seconds peak_memory loader_share teraflops_per_second model_flops_utilisation".split()
)
"""What histories say of when and how fast a run was; no figure's numbers hold it."""
TABLE_WIDTH = 110  # characters of a table in a notebook; wider ones wrap on a laptop
_NOTEBOOK_DOTS_PER_INCH = 100
_LARGEST_OUTPUT = 150_000  # bytes; larger ones lose colours, since committed notebooks stay small


def figures_folder() -> Path:
    """Where figures of a run go: figures/ of the repository, or `figures` in the runs folder.

    The latter when $BCLIP_RUNS sends runs elsewhere, or the repository cannot be written.
    """
    elsewhere = runs_folder() != REPOSITORY / "results" / "runs"
    place = FIGURES if FIGURES.is_dir() else REPOSITORY
    return runs_folder() / "figures" if elsewhere or not os.access(place, os.W_OK) else FIGURES


def png(figure: Figure, dots_per_inch: int = DOTS_PER_INCH, *, small: bool = False) -> bytes:
    """The figure as PNG; `small` reduces it to 256 colours, to a fifth of the size or so."""
    drawn, packed = io.BytesIO(), io.BytesIO()
    with style():  # ticks are made when they are drawn
        figure.savefig(drawn, format="png", dpi=dots_per_inch)
    picture = Image.open(drawn).convert("RGB")
    if small:
        # Maximum coverage keeps rare colours; the usual median cut turns a small red disc orange.
        picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE)
    picture.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def show(figure: Figure) -> None:
    """Display a figure once in a notebook, small enough to be committed in its output."""
    from IPython.display import Image as Output
    from IPython.display import display

    content = png(figure, _NOTEBOOK_DOTS_PER_INCH)
    if len(content) > _LARGEST_OUTPUT:
        content = png(figure, _NOTEBOOK_DOTS_PER_INCH, small=True)
    display(Output(content))  # type: ignore[no-untyped-call]


def show_table(
    rows: Sequence[Sequence[str]], left: int = 1, keys: int = 1, width: int = TABLE_WIDTH
) -> None:
    """Display rows of text once in a notebook, as Markdown tables of at most `width` characters.

    Args:
        rows: the header, then the rows; cells as text.
        left: so many columns are aligned to the left, see `records.markdown.aligned_markdown`.
        keys: a wider table is cut into several, each of which begins with so many columns.
        width: of a table.
    """
    from IPython.display import Markdown, display

    parts = []
    for columns in narrow_tables(rows, width, keys):
        part = [[row[n] for n in columns] for row in rows]
        parts.append(aligned_markdown(part, sum(n < left for n in columns)))
    display(Markdown("\n\n".join(parts)))  # type: ignore[no-untyped-call]


def save(
    figure: Figure, name: str, numbers: Mapping[str, Any], folder: Path | None = None
) -> tuple[Path, Path]:
    """Write `name`.png, and `name`.json with the numbers that it draws.

    The numbers go first: a picture without its numbers cannot be checked.

    Args:
        figure: what a function of this package returned.
        name: lower-case words joined by underscores.
        numbers: the plain data that the figure was drawn from.
        folder: where to; None takes `figures_folder()`.

    Returns:
        The two files.

    Raises:
        ValueError: a name of another form, or numbers that are not JSON (NaN for example).
    """
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name):
        raise ValueError(f"name={name!r}: expected lower-case words joined by underscores")
    folder = folder or figures_folder()
    record = write_json(folder / f"{name}.json", numbers)
    content = png(figure)
    picture = write_atomically(folder / f"{name}.png", lambda path: path.write_bytes(content))
    return picture, record


def without_times(numbers: Any) -> Any:
    """The same without what a run took (`MEASURED`), at any depth: it differs in every run."""
    if isinstance(numbers, Mapping):
        return {k: without_times(v) for k, v in numbers.items() if k not in MEASURED}
    return [without_times(each) for each in numbers] if isinstance(numbers, list) else numbers


_COMMITTED = ("smoke", "cpu", "gpu")
"""Profiles whose figures are the committed ones, where they save any."""


def publish(
    figure: Figure,
    name: str,
    numbers: Mapping[str, Any],
    profile: str,
    folder: Path | None = None,
) -> None:
    """Show a figure, and save it unless the profile is "smoke".

    Committed figures are those of "cpu" or "gpu"; a smoke run, which `make test` does too, never
    touches them, and the figures of every other profile go to the runs folder. The
    record says which profile it was, and nothing of when and how fast: made again by the same code,
    it is the same to the last byte.

    Raises:
        ConfigError: an unknown profile, before anything is shown or written.
    """
    get_profile(profile)
    show(figure)
    if profile not in _COMMITTED and folder is None:
        folder = runs_folder() / "figures" / profile
    if profile != "smoke":
        save(figure, name, {"profile": profile, **without_times(numbers)}, folder)
