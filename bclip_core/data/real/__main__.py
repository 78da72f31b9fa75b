"""`python -m bclip_core.data.real [NAME]`: how to get a data set, and is it all there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from bclip_core.config import ConfigError
from bclip_core.config.command_line import read_options, run_command
from bclip_core.data import real

_LOADERS: dict[str, Any] = {
    "captions": real.load_captions,
    "regions": real.load_regions,
    "classes": real.load_labelled,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """List the data sets, describe one, or check one on disk and print its manifest.

    Nothing is downloaded here. huggingface_hub.snapshot_download(ID, repo_type='dataset',
    local_dir=DIR) resumes what was broken off; torch.hub.download_url_to_file(URL, FILE,
    hash_prefix=SHA256) checks what it fetched.
    """

    name: tyro.conf.Positional[str] = ""  # of the data set; none: the list of all
    folder: Path | None = None  # check the data set that lies there
    split: str = ""  # of the data set; none: its first
    on_error: Literal["raise", "skip"] = "raise"  # skip leaves malformed rows out
    links: Literal["inside", "follow"] = "inside"  # follow reads behind links


def _refuse_unread(given: Options) -> None:
    """Options that nothing would be done with are a mistake."""
    if given.folder is not None and not given.name:
        raise ConfigError(f"--folder={given.folder}: expected the name of a data set before it")
    if given.folder is None and given != Options(name=given.name):
        raise ConfigError("--split, --on-error, --links: expected --folder beside them")


def main(arguments: Sequence[str] | None = None) -> None:
    """List the data sets, describe one, or check one on disk and print its manifest."""
    given = read_options(Options, arguments, "python -m bclip_core.data.real")
    _refuse_unread(given)
    if not given.name:
        print(real.table())
    elif given.folder is None:
        print(real.describe(given.name))
    else:
        record = real.get(given.name)
        split = given.split or next(iter(record.splits))
        load = _LOADERS[record.task]
        found = load(given.name, given.folder, split, on_error=given.on_error, links=given.links)
        print(json.dumps(real.manifest(found), indent=1))


if __name__ == "__main__":
    run_command(main, ValueError)
