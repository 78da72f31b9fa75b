"""Where files of a data set may be: inside its folder, and nowhere else unless that is asked for.

One rule for pictures, captions and tables alike: a link that leads out of the folder is refused,
`links="follow"` allows it (a snapshot of Hugging Face's cache is nothing but such links). A name
that climbs out ("../x.jpg") is refused always.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bclip_core.data.real.rows import (
    LayoutError,
    MissingPicture,
    RowError,
    decoded,
    require_unicode,
)

LINKS = ("inside", "follow")


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path leads out of a folder by a link.

    Raises:
        RowError: a loop of links.
    """
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError before Python 3.13
        raise RowError(f"{path}: a loop of links") from error


def require_inside(path: Path, folder: Path, links: str) -> Path:
    """`path`, unless it leads out of the folder by a link and links are not followed.

    Raises:
        RowError: it does, or is a loop of links.
    """
    if leads_out(path, folder) and links != "follow":
        raise RowError(
            f"{path.name!r}: a link leads out of {folder}, which is refused; "
            "links='follow' allows it"
        )
    return path


def read_text(path: Path, folder: Path, links: str) -> str:
    """A caption file below a folder.

    Raises:
        RowError: it leads out of the folder (see `require_inside`), or is neither UTF-8 nor UTF-16.
    """
    return decoded(require_inside(path, folder, links).read_bytes(), f"file {path.name!r}")


class PictureRoot:
    """The folder that holds a data set's pictures; nothing outside it is ever opened.

    Args:
        folder: of the pictures; it may be a link itself.
        look: whether a picture has to be on disk.
        links: "inside", or "follow" those that lead out of the folder.

    Raises:
        LayoutError: `look`, and there is no such folder.
    """

    def __init__(
        self, folder: str | os.PathLike[str], look: bool = True, links: str = "inside"
    ) -> None:
        if links not in LINKS:
            raise ValueError(f"links={links!r}: expected 'inside' or 'follow'")
        self.folder = Path(folder)
        self.look, self.links = look, links
        if look and not self.folder.is_dir():
            raise LayoutError(f"{self.folder}: expected the folder of the pictures")
        self._folders = dict[str, Path | None]()  # resolving every file's path would be slow

    def path(self, name: str) -> Path:
        """The picture of that name.

        Raises:
            RowError: the name is empty, or leads out of the folder, also by a link.
            MissingPicture: it is not on disk (only when pictures are looked for).
        """
        require_unicode(name, "picture")
        inner = name.removeprefix(f"{self.folder}/")  # named in full
        place, _, file = inner.rpartition("/")
        climbs = inner.startswith("/") or ".." in inner.split("/") or "\0" in inner
        if climbs or file in ("", "."):
            raise RowError(f"picture {name!r}: expected a path inside {self.folder}")
        if place not in self._folders:
            self._folders[place] = self._inside(self.folder / place)
        folder = self._folders[place]
        path = folder / file if folder else None
        try:
            mode = path.lstat().st_mode if path else 0
        except OSError:
            mode = 0
        if path is not None and stat.S_ISLNK(mode):
            path = self._inside(path)
        if path is None:
            raise RowError(
                f"picture {name!r}: a link leads out of {self.folder}, which is refused; "
                "give the folder that really holds the pictures, or links='follow'"
            )
        if self.look and not (stat.S_ISREG(mode) or os.path.isfile(path)):
            raise MissingPicture(path, name)
        return path

    def _inside(self, path: Path) -> Path | None:
        """`path`, unless it leads out of the folder."""
        return path if self.links == "follow" or not leads_out(path, self.folder) else None


def require_file(path: Path, layout: str) -> Path:
    """`path`, if it is a file; else an error that shows the expected layout.

    Raises:
        LayoutError: it is not there.
    """
    if not path.is_file():
        raise LayoutError(f"{path}: no such file; expected layout:\n{layout}")
    return path
