"""A view as files: PNG, the JSON of its settings and numbers, and a page that works offline."""

from __future__ import annotations

import warnings
from pathlib import Path

from bclip_core.explorer.figure import explorer_view
from bclip_core.explorer.offline import page_html
from bclip_core.explorer.view import Shown
from bclip_core.plotting import save
from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_atomically
from bclip_core.records.results import runs_folder


def export_view(shown: Shown, name: str, folder: Path | None = None) -> tuple[Path, Path, Path]:
    """Write what is shown; `View(**json["view"])` is its settings again.

    Nothing is overwritten: a name that is taken gets a number.

    Args:
        shown: of `Workbench.compute`.
        name: lower-case words joined by underscores.
        folder: where to; None takes `explorer` in the runs folder, which git ignores.

    Returns:
        The three files, PNG, JSON and HTML, relative to the repository where they are in it.

    Raises:
        ValueError: a name of another form.
    """
    folder = folder or runs_folder() / "explorer"
    free, number = name, 2
    while (folder / f"{free}.json").exists():
        free, number = f"{name}_{number}", number + 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands in its place
        picture, record = save(explorer_view(shown), free, shown.numbers(), folder)
    content = page_html(shown)
    page = write_atomically(
        picture.with_suffix(".html"), lambda path: path.write_text(content, encoding="utf-8")
    )
    return _relative(picture), _relative(record), _relative(page)


def _relative(path: Path) -> Path:
    return path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
