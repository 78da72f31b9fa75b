"""The pages and their numbers, made from results/reference: `python -m bclip_core.reproduce.pages`.

A page is a committed Markdown file: README, and what lies beside the things it describes. On it, a
block between `<!-- NAME -->` and `<!-- /NAME -->` is replaced by what NAME's function says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bclip_core.config.command_line import read_options, run_command
from bclip_core.data import real
from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_atomically
from bclip_core.reproduce import blocks, length_blocks, notebook_blocks, speed_blocks

BLOCKS: dict[str, Callable[[], str]] = {
    "datasets": real.table,
    **blocks.BLOCKS,
    **length_blocks.BLOCKS,
    **speed_blocks.BLOCKS,
    **notebook_blocks.BLOCKS,
}
PLACES = (
    "*.md", "notebooks/*.md", "results/*.md", "benchmarks/*.md", "bclip_core/**/*.md",
    "tests/golden/*/*.md",
)  # fmt: skip
"""Where pages lie; runs and downloads, below results/runs and data, are none."""


def find_pages(root: Path = REPOSITORY) -> list[Path]:
    """All pages, README first."""
    return [path for place in PLACES for path in sorted(root.glob(place))]


def block_names(text: str) -> list[str]:
    """The blocks of a page, in order."""
    return re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE)


def fill(text: str, page: str = "README.md") -> str:
    """A page's text with every block made anew.

    Args:
        text: of the page.
        page: its name, for errors.

    Raises:
        ValueError: a block that nobody makes, or marks that are not as they should be; a record
            that a block cannot be made of.
    """
    _refuse_odd_marks(text, page)
    for name in block_names(text):
        if name not in BLOCKS:
            raise ValueError(f"block {name!r} in {page}: expected one of {', '.join(BLOCKS)}")
        pattern = re.compile(
            rf"^(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL | re.MULTILINE
        )
        if not pattern.search(text):
            raise ValueError(f"block {name!r} in {page} has no end mark <!-- /{name} -->")
        try:
            body = BLOCKS[name]().replace("\\", r"\\")
        except (LookupError, TypeError, AttributeError) as error:  # what damaged records raise
            raise ValueError(
                f"block {name!r} in {page}: a record that it is made of is damaged: {error!r}; "
                "see git diff results/reference"
            ) from error
        text = pattern.sub(rf"\g<1>{body}\n\g<2>", text)
    return text


def _refuse_odd_marks(text: str, page: str) -> None:
    """A mark that is not seen leaves old numbers, and one too few takes what is between others.

    Raises:
        ValueError: the line is named.
    """
    begun, line = "", 0
    for found in re.finditer(r"<!--\s*(/?)\s*(\w+)\s*-->", text):
        ends, name = found.groups()
        if name not in BLOCKS:
            continue
        line = text.count("\n", 0, found.start()) + 1
        alone = text.splitlines()[line - 1] == f"<!-- {ends}{name} -->"
        if not alone or begun != (name if ends else ""):
            inside = f"; the block begun before it is {begun!r}" if begun else ""
            raise ValueError(
                f"{page}, line {line}: {found[0]}: expected <!-- NAME --> and <!-- /NAME --> in "
                f"turn, each alone on its line{inside}"
            )
        begun = "" if ends else name


def update(root: Path = REPOSITORY) -> list[Path]:
    """Write all pages anew from results/reference, or none: an error comes before any is written.

    Returns:
        The pages that changed.
    """
    texts = {path: _read(path) for path in find_pages(root)}
    filled = {path: fill(text, str(path.relative_to(root))) for path, text in texts.items()}
    changed = [path for path in texts if filled[path] != texts[path]]
    for path in changed:
        write_atomically(path, partial(Path.write_text, data=filled[path], encoding="utf-8"))
    return changed


def _read(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{page}: expected UTF-8: {error}") from error


@dataclass(frozen=True)
class Options:
    """Write the numbers on all pages anew from results/reference."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: write what has changed, and say which files."""
    read_options(Options, arguments, "python -m bclip_core.reproduce.pages")
    for path in update():
        print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    run_command(main, ValueError)
