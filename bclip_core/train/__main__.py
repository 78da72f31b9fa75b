"""`python -m bclip_core.train`: train one configuration from the shell, or continue it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bclip_core.config import get_profile
from bclip_core.config.command_line import run_command
from bclip_core.train.options import Options, parse


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train one configuration, or continue it."""
    work(parse(sys.argv[1:] if arguments is None else arguments))


def work(options: Options) -> None:
    """Do what the options ask for. What needs torch is imported here, after they are read."""
    import torch

    from bclip_core.data.sources import load_split
    from bclip_core.model import get_method, resolve
    from bclip_core.train.distributed import world
    from bclip_core.train.dry_run import dry_run
    from bclip_core.train.loop import train
    from bclip_core.train.meters import in_short
    from bclip_core.train.resume import read_history, require_same_run
    from bclip_core.train.tracking import require_trackers

    if options.threads:
        torch.set_num_threads(options.threads)
    config = options.run
    get_method(config.method)  # refuses an unknown one
    trackers = [name.strip() for name in options.trackers.split(",") if name.strip()]
    require_trackers(trackers)
    if options.config is None or options.dry_run:
        resolve(config, check=True)  # what is wrong is said before any scene is drawn
    if options.folder is not None:
        require_same_run(options.folder, config)
    if options.dry_run:
        about = get_profile(options.profile).about
        if not dry_run(config, device=options.device, processes=options.processes, about=about):
            raise SystemExit(1)
        return
    assert options.folder is not None
    train(
        config, load_split(config.data, "train"), options.folder, device=options.device,
        trackers=trackers,
    )  # fmt: skip
    if world()[0] == 0:
        history = read_history(options.folder / "history.jsonl")
        print(f"trained: {options.folder / 'model.safetensors'}: {in_short(history)}")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    run_command(main, ValueError, ArithmeticError)
