"""What an update of each method costs, measured so that other load on the machine matters little.

`python -m bclip_core.studies.step_time --profile cpu` times methods in turns on the same batches.
On the CPU it counts processor seconds, which waiting for a busy core does not add to.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from bclip_core.config import ConfigError, Profile, get_profile
from bclip_core.config.command_line import AtLeast, read_options, run_command
from bclip_core.data.sources import load_split
from bclip_core.model import METHODS, get_method
from bclip_core.records.processes import nothing_stays
from bclip_core.records.results import require_runs_folder, save_result
from bclip_core.studies.command import some_of
from bclip_core.studies.search import SEARCHED
from bclip_core.train import train

UPDATES = 4  # of a round; the first one warms up and is not counted
ROUNDS = 3


def clock() -> float:
    """Seconds: of this process's processors, or of the wall once a GPU has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _check(method: str, updates: int) -> None:
    if not get_method(method).terms:
        raise ConfigError(f"method={method!r}: expected one that trains")
    if updates < 2:
        raise ConfigError(f"updates={updates}: expected at least 2, the first is not counted")


def time_updates(profile: Profile, method: str, updates: int = UPDATES) -> float:
    """Mean seconds of an update of a short training from the profile's start.

    Args:
        profile: sizes; the batches are those of its first seed, the same for every method.
        method: a name; it must train.
        updates: at least 2; the first is left out.

    Raises:
        ConfigError: a method that does not train, or fewer than 2 updates.
    """
    _check(method, updates)
    config = profile.run(method)
    settings = config.train.replace(steps=updates, checkpoint_every=0)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder, nothing_stays():
        train(
            config.replace(train=settings), load_split(config.data, "train"), Path(folder),
            progress=False, callback=lambda update, model: ends.append(clock()),
        )  # fmt: skip
    return (ends[-1] - ends[0]) / (updates - 1)


def step_times(
    profile: Profile, methods: Sequence[str], updates: int = UPDATES, rounds: int = ROUNDS
) -> dict[str, float]:
    """Seconds of an update by method: rounds in turns, the quickest round of each counts.

    Args:
        profile: sizes.
        methods: names.
        updates: of a round.
        rounds: how often every method has its turn.

    Raises:
        ConfigError: as `time_updates`.
    """
    for method in methods:
        _check(method, updates)  # all of them before the first is timed
    found: dict[str, list[float]] = {method: [] for method in methods}
    for _ in range(rounds):
        for method, seconds in found.items():
            seconds.append(time_updates(profile, method, updates))
    return {method: min(seconds) for method, seconds in found.items()}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time an update of each method."""

    profile: str = "smoke"  # smoke, cpu or gpu
    methods: Annotated[tuple[str, ...], some_of(METHODS)] = SEARCHED
    updates: Annotated[int, AtLeast(2)] = UPDATES  # of a round; the first is not counted
    rounds: Annotated[int, AtLeast(1)] = ROUNDS  # how often every method has its turn


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: time an update of each method."""
    given = read_options(Options, arguments, "python -m bclip_core.studies.step_time")
    require_runs_folder()
    torch.set_num_threads(1)
    seconds = step_times(get_profile(given.profile), given.methods, given.updates, given.rounds)
    values = {"seconds": seconds, "updates": given.updates, "rounds": given.rounds}
    values["clock"] = "wall, GPU" if torch.cuda.is_available() else "processor, one thread"
    print(save_result("step_times", given.profile, values))


if __name__ == "__main__":
    run_command(main, ValueError)
