"""`python -m bclip_core.train`: train one configuration from the shell, or continue it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bclip_core.config import get_profile
from bclip_core.config.command_line import run_command
from bclip_core.train.memory import begin_lean
from bclip_core.train.options import Options, parse


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train one configuration, or continue it."""
    work(parse(sys.argv[1:] if arguments is None else arguments))


def work(options: Options) -> None:
    """Do what the options ask for. What needs torch is imported here, after they are read."""
    if options.run.train.memory == "lean":
        begin_lean()
    import torch

    from bclip_core.data.sources import load_split
    from bclip_core.records.machine import require_device
    from bclip_core.train.distributed import world
    from bclip_core.train.dry_run import dry_run
    from bclip_core.train.loop import train
    from bclip_core.train.meters import in_short
    from bclip_core.train.resume import read_history
    from bclip_core.train.start import plan_run

    if options.threads:
        torch.set_num_threads(options.threads)
    folder, device = options.folder, options.device
    if device == "cuda":  # without a GPU it would silently be the CPU
        require_device(device)
    trackers = [name.strip() for name in options.trackers.split(",") if name.strip()]
    plan = plan_run(options.run, folder, trackers)  # before any scene is drawn
    if options.dry_run or folder is None:
        about = get_profile(options.profile).about
        if not dry_run(plan, device=device, processes=options.processes, about=about):
            raise SystemExit(1)
        return
    train(plan, load_split(plan.config.data, "train"), folder, device=device, trackers=trackers)
    if world()[0] == 0:
        history = read_history(folder / "history.jsonl")
        print(f"trained: {folder / 'model.safetensors'}: {in_short(history)}")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    run_command(main, ValueError, ArithmeticError)
