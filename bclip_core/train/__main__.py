"""`python -m bclip_core.train`: train one configuration from the shell, or continue it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from bclip_core.backbone import CheckpointError
from bclip_core.config import RunConfig, configure
from bclip_core.data.sources import load_split
from bclip_core.model import resolve
from bclip_core.records.files import read_json
from bclip_core.train.distributed import world
from bclip_core.train.loop import train
from bclip_core.train.step import NonFiniteLossError


def main(arguments: list[str] | None = None) -> None:
    """Command line: train one configuration on the scenes, or continue it."""
    parser = argparse.ArgumentParser(prog="python -m bclip_core.train", description=main.__doc__)
    parser.add_argument("--profile", default="smoke", help="smoke, cpu or gpu (default: smoke)")
    parser.add_argument("--method", default="beta-clip-ce", help="a name of methods.METHODS")
    parser.add_argument("--set", action="append", default=[], metavar="PART.FIELD=VALUE")
    parser.add_argument("--config", type=Path, help="a config.json, instead of profile and method")
    parser.add_argument("--folder", type=Path, required=True, help="where the run is kept")
    parser.add_argument("--device", default="", help="'cpu' leaves an available GPU out")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's)")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.config is not None:
        config = RunConfig.from_dict(read_json(given.config))
    else:
        config = configure(given.profile, given.method, given.set)
        resolve(config, check=True)  # what is wrong is said before any scene is drawn
    train(config, load_split(config.data, "train"), given.folder, device=given.device)
    if world()[0] == 0:
        print(f"trained: {given.folder / 'model.safetensors'}")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    try:
        main()
    except (NonFiniteLossError, CheckpointError, ValueError, OSError) as problem:
        raise SystemExit(f"error: {problem}") from problem
