"""The walk of a configuration: from the command line to the first training step, room by room.

`python -m benchmarks.walk` trains one step of the smoke profile. A call from a function of one room
into another room is a crossing, counted once for the two functions that it joins, so that neither
rows nor a model's layers matter.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType
from typing import Any, NamedTuple

import bclip_core
from bclip_core import train as train_room
from bclip_core.config import configure
from bclip_core.data.sources import load_split

ROOT = Path(bclip_core.__file__).parent
STEP = "micro_step"  # where the walk ends


class Crossing(NamedTuple):
    """A call from one room into another."""

    caller: str
    callee: str

    @property
    def room(self) -> str:
        """The room that is entered."""
        return self.callee.partition("/")[0]


class _End(Exception):
    pass


def walk(arguments: list[str]) -> Counter[Crossing]:
    """Crossings on the way from `main` to the first step, in order of their first time.

    Returns:
        How often each was made; rows and layers matter here.
    """
    for module in iter_modules(train_room.__path__, f"{train_room.__name__}."):
        importlib.import_module(module.name)  # so that no class body is a call
    found = Counter[Crossing]()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not (mine := _name(frame)):
            return
        above = frame.f_back
        while above is not None and not _name(above):
            above = above.f_back  # a library's frame between two of ours
        caller = _name(above) if above else ""
        if caller and caller.partition("/")[0] != mine.partition("/")[0]:
            found[Crossing(caller, mine)] += 1
        if frame.f_code.co_name == STEP:
            raise _End

    sys.setprofile(watch)
    try:
        importlib.import_module(f"{train_room.__name__}.__main__").main(arguments)
    except _End:
        return found
    finally:
        sys.setprofile(None)
    raise RuntimeError("expected a step")


def _name(frame: FrameType) -> str:
    """room/module:function; "" for another package's, and for a module that is being imported."""
    path, code = Path(frame.f_code.co_filename), frame.f_code
    if not path.is_relative_to(ROOT) or code.co_name == "<module>":
        return ""
    function = code.co_qualname.partition(".<locals>")[0]
    return f"{path.relative_to(ROOT).with_suffix('')}:{function}"


def of_smoke(folder: str) -> Counter[Crossing]:
    """The walk of the smoke profile on few scenes, which are drawn before."""
    settings = ["data.train=64", "train.steps=1"]
    load_split(configure("smoke", "beta-clip-ce", settings).data, "train")
    flags = [f"--{setting}" for setting in settings]
    return walk([*flags, "--profile", "smoke", "--folder", folder, "--device", "cpu"])


def from_train(crossings: Iterable[Crossing]) -> list[Crossing]:
    """Those that the room `train` itself makes, its reading of the command line left out."""
    found = [c for c in crossings if c.caller.startswith("train/")]
    return [c for c in found if not c.caller.startswith("train/options:")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every crossing by name")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        crossings = of_smoke(folder)
    for number, (crossing, count) in enumerate(crossings.items() if given.all else (), start=1):
        print(f"{number:3} {crossing.caller} -> {crossing.callee} x{count}")
    for title, chosen in (("all", crossings), ("from train", from_train(crossings))):
        rooms = Counter(crossing.room for crossing in chosen)
        named = ", ".join(f"{room} {count}" for room, count in rooms.most_common())
        print(f"{title}: {len(chosen)} crossings into {len(rooms)} rooms: {named}")


if __name__ == "__main__":
    main()
