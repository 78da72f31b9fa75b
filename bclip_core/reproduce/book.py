"""`python -m bclip_core.reproduce.book`: the notebooks and results as a book, in build/book.

Nothing is executed: the book shows the committed outputs. A link of a page that leads nowhere in
the book is named, and ends the build with an error.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bclip_core.config.command_line import read_options, run_command
from bclip_core.records import REPOSITORY
from bclip_core.reproduce.story import CONTENTS

CONFIG = CONTENTS.with_name("_config.yml")
OUTPUT = REPOSITORY / "build" / "book"


class BookError(RuntimeError):
    """The book was not built, or one of its links leads nowhere."""


def build(output: Path = OUTPUT, contents: Path = CONTENTS) -> Path:
    """Build the book.

    Args:
        output: folder that receives it.
        contents: table of contents, in jupyter-book's format.

    Returns:
        The folder of its pages.

    Raises:
        BookError: jupyter-book is not installed, failed or warned; with the end of what it said.
    """
    program = Path(sys.executable).with_name("jupyter-book")
    if not program.is_file():
        raise BookError(f"{program}: no such file; pip install -e .[book]")
    command = [str(program), "build", "--quiet", "-W", "--keep-going", "--path-output", str(output)]
    command += ["--config", str(CONFIG), "--toc", str(contents), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    if done.returncode:
        raise BookError(f"jupyter-book failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return output / "_build" / "html"


class _Page(HTMLParser):
    """The names that a page can be entered by, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note ids, and sources of pictures and links."""
        found = dict(attrs)
        self.names.update(value for key in ("id", "name") if (value := found.get(key)))
        wanted = {"a": "href", "img": "src"}.get(tag)
        if wanted and (link := found.get(wanted)):
            self.links.append(link)


def broken_links(html: Path) -> list[str]:
    """`page: link` of every link and picture of a built book that leads nowhere in it.

    Args:
        html: the folder of its pages.
    """
    pages = {}
    for path in sorted(html.rglob("*.html")):
        pages[path.resolve()] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    broken = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].names if target in pages else None
            if not target.exists() or (
                known is not None and parts.fragment and unquote(parts.fragment) not in known
            ):
                broken.append(f"{path.relative_to(html.resolve())}: {link}")
    return broken


@dataclass(frozen=True)
class Options:
    """Build the book from the committed notebooks, in build/book."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the book, and say where it is."""
    read_options(Options, arguments, "python -m bclip_core.reproduce.book")
    html = build()
    if broken := broken_links(html):
        raise BookError("links that lead nowhere:\n" + "\n".join(broken))
    print(html / "index.html")


if __name__ == "__main__":
    run_command(main, BookError)
