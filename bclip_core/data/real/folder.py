"""Where files of a data set may be: inside its folder, and behind a link only when asked for."""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from bclip_core.data.real.json_files import decoded
from bclip_core.data.real.rows import (
    DataError,
    LayoutError,
    MissingPicture,
    RowError,
    require_unicode,
)
from bclip_core.records.files import is_hidden

LINKS = ("inside", "follow")


def refuse_link(path: Path, root: Path, links: str, what: str) -> None:
    """The one rule for pictures and texts: a link may not leave the folder unless it is asked for.

    Raises:
        RowError: it does, or links lead in a circle.
    """
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise RowError(f"{what}: links lead in a circle: {error}") from error
    if links == "inside" and not real.is_relative_to(root.resolve()):
        raise RowError(
            f"{what}: a link leads out of {root}, which is refused; "
            'links="follow" follows it, or give the folder that really holds the files'
        )


class PictureRoot:
    """The folder that holds a data set's pictures; nothing outside it is opened unasked.

    Args:
        folder: of the pictures; it may be a link itself.
        look: whether a picture has to be on disk.
        links: "inside" refuses links that lead out of the folder; "follow" follows them.

    Raises:
        LayoutError: `look`, and there is no such folder.
        ValueError: `links` is neither.
    """

    def __init__(
        self, folder: str | os.PathLike[str], look: bool = True, links: str = "inside"
    ) -> None:
        if links not in LINKS:
            raise ValueError(f"links={links!r}: expected one of {', '.join(map(repr, LINKS))}")
        self.folder = Path(folder)
        self.look = look
        self.links = links
        if look and not self.folder.is_dir():
            raise LayoutError(f"{self.folder}: expected the folder of the pictures")
        self._folders = set[str]()  # resolving every file's path would be slow

    def path(self, name: str) -> Path:
        """The picture of that name, or of one that writes the same otherwise (see `_spellings`).

        Raises:
            RowError: the name is empty, or leads out of the folder, also by a link.
            MissingPicture: it is not on disk (only when pictures are looked for).
        """
        try:
            return self._path(name)
        except MissingPicture:
            for other in _spellings(name):
                with contextlib.suppress(MissingPicture):
                    return self._path(other)
            raise

    def _path(self, name: str) -> Path:
        require_unicode(name, "picture")
        inner = name.removeprefix(f"{self.folder}/")  # named in full
        place, _, file = inner.rpartition("/")
        climbs = inner.startswith("/") or ".." in inner.split("/") or "\0" in inner
        if climbs or file in ("", "."):
            raise RowError(f"picture {name!r}: expected a path inside {self.folder}")
        if place not in self._folders:
            refuse_link(self.folder / place, self.folder, self.links, f"picture {name!r}")
            self._folders.add(place)
        path = self.folder / place / file
        try:
            mode = path.lstat().st_mode
        except OSError:
            mode = 0
        if stat.S_ISLNK(mode):
            refuse_link(path, self.folder, self.links, f"picture {name!r}")
        if self.look and not (stat.S_ISREG(mode) or os.path.isfile(path)):
            raise MissingPicture(path, name)
        return path


def _spellings(name: str) -> list[str]:
    """A picture's name as other systems write it.

    macOS keeps accents apart from their letters, Windows has backslashes, and tables written by
    hand have spaces around a name.
    """
    plain = name.strip().replace("\\", "/")
    forms = [plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))]
    return [form for form in dict.fromkeys(forms) if form != name]


def require_file(path: Path, layout: str, root: Path, links: str = "inside") -> Path:
    """`path`, if it is a file; else an error that shows the expected layout.

    Raises:
        LayoutError: it is not there.
        DataError: it is a link out of its folder, and these are not followed.
    """
    try:
        refuse_link(path, root, links, str(path))
    except RowError as error:
        raise DataError(str(error)) from error
    if not path.is_file():
        raise LayoutError(f"{path}: no such file; expected layout:\n{layout}")
    return path


LARGEST_TEXT, LARGEST_CAPTION = 1 << 26, 1 << 20  # bytes


def read_text(path: Path, root: Path, links: str, largest: int = LARGEST_TEXT) -> str:
    """A small text file whole, by the rule of links.

    Raises:
        RowError: it leads out of `root`, cannot be read, has more than `largest` bytes, or is no
            UTF-8; the file is named.
    """
    refuse_link(path, root, links, f"text {path.name}")
    if path.exists() and not path.is_file():  # a pipe says nothing, and a device never ends
        raise RowError(f"text {path}: expected a file")
    try:
        with path.open("rb") as handle:
            content = handle.read(largest + 1)
        if len(content) > largest:
            raise RowError(f"more than {largest:,} bytes: expected a small text")
        return decoded(content)
    except RowError as error:
        raise RowError(f"text {path}: {error}") from error
    except OSError as error:
        raise RowError(f"text {path} cannot be read: {error}") from error


def visible(folder: Path) -> list[Path]:
    """What lies in a folder by name, without what Jupyter, macOS and Windows leave there."""
    return sorted(path for path in folder.iterdir() if not is_hidden(path.name))


def walk(root: Path, links: str) -> Iterator[tuple[Path, str]]:
    """Every visible file below a folder by name, each with "" or why its folder is not entered.

    Folders that are links are entered when links are followed, unless they lead in a circle.
    """
    yield from _walk(root, links, (root.resolve(),))


def _walk(folder: Path, links: str, above: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    for path in visible(folder):
        if not path.is_dir():
            yield path, ""
        elif path.is_symlink() and links != "follow":
            yield path, 'a folder that is a link is not entered; links="follow" follows it'
        elif (real := path.resolve()) in above:
            yield path, f"a folder that is a link in a circle, to {real}"
        else:
            yield from _walk(path, links, (*above, real))
