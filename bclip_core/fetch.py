"""Large files from the internet, resumed and checked: `python -m bclip_core.fetch URL FILE`.

A download grows in FILE.part and becomes FILE in one step, when it is whole and its SHA-256 is the
expected one. After an interruption the next call asks the server for the rest only.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bclip_core.files import sha256
from bclip_core.progress import progress_bar

_CHUNK = 1 << 20  # bytes


class FetchError(RuntimeError):
    """A download failed; the message names the address, the cause and what is kept."""


def fetch(
    url: str,
    path: str | Path,
    expected_sha256: str | None = None,
    *,
    progress: bool = True,
    timeout: float = 60.0,
) -> Path:
    """Download a file, or find it already there.

    Args:
        url: http or https.
        path: where the file shall be. One with the expected digest is kept without asking the
            server; one with another is replaced when the download is whole.
        expected_sha256: hex digest. Without it nothing can be checked, so a file that exists is
            taken as it is, and an interrupted download starts again.
        progress: show a bar.
        timeout: seconds without an answer after which the connection is given up.

    Returns:
        `path`.

    Raises:
        ValueError: an address of another kind, or a digest that is none.
        FetchError: refused by the server (the status is named), cut off (what has come is kept in
            FILE.part for the next call), no space left, or a wrong digest (nothing is kept).
    """
    path = Path(path)
    _check_arguments(url, expected_sha256)
    if path.is_file() and expected_sha256 in (None, sha256(path)):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    if expected_sha256 is None:
        part.unlink(missing_ok=True)
    _download(url, part, progress, timeout)
    found = sha256(part)
    if expected_sha256 not in (None, found):
        part.unlink()
        raise FetchError(
            f"{url}: SHA-256 is {found}: expected {expected_sha256}; the download was removed"
        )
    os.replace(part, path)
    return path


def _check_arguments(url: str, expected_sha256: str | None) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"url={url!r}: expected http://... or https://...")
    if expected_sha256 is not None and not re.fullmatch("[0-9a-f]{64}", expected_sha256):
        raise ValueError(f"expected_sha256={expected_sha256!r}: expected 64 hexadecimal digits")


def _download(url: str, part: Path, progress: bool, timeout: float) -> None:
    """Bring `part` to its full length, from where it ends."""
    have = part.stat().st_size if part.exists() else 0
    with _open(url, have, timeout) as response:
        if response is None:  # the server has nothing after what is there
            return
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        _check_space(url, part, 0 if total is None else total - start)
        bar = progress_bar(
            desc=part.stem, initial=start, total=total, unit="B", unit_scale=True, progress=progress
        )
        with bar:
            try:
                with part.open("ab" if resumed else "wb") as file:
                    for chunk in _chunks(url, part, response):
                        file.write(chunk)
                        bar.update(len(chunk))
            except OSError as error:
                raise FetchError(
                    f"{url}: {part} cannot be written: {error.strerror}; what has come is kept "
                    "there: make room and run this again"
                ) from error
    size = part.stat().st_size
    if total is not None and size < total:
        raise FetchError(_cut_off(url, part, f"of {total:,} bytes"))


@contextmanager
def _open(url: str, have: int, timeout: float) -> Iterator[http.client.HTTPResponse | None]:
    """The server's answer with what follows the first `have` bytes, or with everything."""
    request = urllib.request.Request(url, headers={"User-Agent": "bclip"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            yield None
            return
        raise FetchError(f"{url}: the server answers {error.code} {error.reason}") from error
    except OSError as error:  # URLError, refused connections, time-outs
        raise FetchError(f"{url}: {getattr(error, 'reason', error)}") from error
    with response:
        yield response


def _chunks(url: str, part: Path, response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(_cut_off(url, part, f"({error!r})")) from error
        if not chunk:
            return
        yield chunk


def _cut_off(url: str, part: Path, detail: str) -> str:
    size = part.stat().st_size
    return f"{url}: cut off after {size:,} bytes {detail}; {part} keeps them, run this again"


def _check_space(url: str, part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise FetchError(f"{url}: {needed:,} bytes to come, but {part.parent} has {free:,} left")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the file is there."""
    parser = argparse.ArgumentParser(
        prog="python -m bclip_core.fetch", description="Download a file, resumed and checked."
    )
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--sha256", help="hex digest that the file must have")
    options = parser.parse_args(arguments)
    try:
        path = fetch(options.url, options.file, options.sha256)
    except (FetchError, ValueError) as error:
        print(f"fetch: {error}", file=sys.stderr)
        return 1
    print(f"{path}  sha256 {sha256(path)}" + ("" if options.sha256 else "  (not checked)"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
