"""`python -m bclip_core.data.real [NAME]`: how to get a data set, and is it all there."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bclip_core.data import real
from bclip_core.data.real.data_sets import DATA_SETS
from bclip_core.data.real.rows import DataError, LayoutError

DOWNLOADING = (
    "Nothing is downloaded here. huggingface_hub.snapshot_download(ID, repo_type='dataset', "
    "local_dir=DIR) resumes what was broken off; torch.hub.download_url_to_file(URL, FILE, "
    "hash_prefix=SHA256) checks what it fetched."
)
_LOADERS: dict[str, Any] = {
    "captions": real.load_captions,
    "regions": real.load_regions,
    "classes": real.load_labelled,
}


def main(arguments: list[str] | None = None) -> None:
    """List the data sets, describe one, or check one on disk and print its manifest."""
    parser = argparse.ArgumentParser(
        prog="python -m bclip_core.data.real", description=main.__doc__, epilog=DOWNLOADING
    )
    parser.add_argument("name", nargs="?", help="one of " + ", ".join(DATA_SETS))
    parser.add_argument("--folder", type=Path, help="check the data set that lies there")
    parser.add_argument("--split", help="of the data set (default: its first)")
    parser.add_argument("--on-error", default="raise", help="'skip' leaves malformed rows out")
    parser.add_argument("--links", default="inside", help="'follow' reads behind links")
    given = parser.parse_args(arguments)
    if given.name is None:
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
    try:
        main()
    except (ValueError, DataError, LayoutError) as problem:
        raise SystemExit(f"error: {problem}") from problem
