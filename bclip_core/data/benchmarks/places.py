"""Where files of a data set may be: inside its folder, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from bclip_core.data.benchmarks.reading import LayoutError, MissingPicture, RowError


class PictureRoot:
    """The folder that holds a data set's pictures; nothing outside it is ever opened.

    Args:
        folder: of the pictures; it may be a link itself.
        look: whether a picture has to be on disk.

    Raises:
        LayoutError: `look`, and there is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str], look: bool = True) -> None:
        self.folder = Path(folder)
        self.look = look
        if look and not self.folder.is_dir():
            raise LayoutError(f"{self.folder}: expected the folder of the pictures")
        self._real = self.folder.resolve()
        self._inside = dict[Path, bool]()  # by folder: resolving every file's path would be slow

    def path(self, name: str) -> Path:
        """The picture of that name.

        Raises:
            RowError: the name is empty, or leads out of the folder, also by a link.
            MissingPicture: it is not on disk (only when pictures are looked for).
        """
        pure = PurePosixPath(name)
        if pure.is_relative_to(self.folder):  # named in full
            pure = pure.relative_to(self.folder)
        if not pure.name or pure.is_absolute() or ".." in pure.parts or "\0" in name:
            raise RowError(f"picture {name!r}: expected a path inside {self.folder}")
        path = self.folder / pure
        if path.parent not in self._inside:
            self._inside[path.parent] = path.parent.resolve().is_relative_to(self._real)
        linked = path.is_symlink() and not path.resolve().is_relative_to(self._real)
        if linked or not self._inside[path.parent]:
            raise RowError(
                f"picture {name!r}: a link leads out of {self.folder}, which is refused; "
                "give the folder that really holds the pictures"
            )
        if self.look and not path.is_file():
            raise MissingPicture(path, name)
        return path


def require_file(path: Path, layout: str) -> Path:
    """`path`, if it is a file; else an error that shows the expected layout.

    Raises:
        LayoutError: it is not there.
    """
    if not path.is_file():
        raise LayoutError(f"{path}: no such file; expected layout:\n{layout}")
    return path
