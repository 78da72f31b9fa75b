"""Run the collection: `python -m bclip_core.reproduce --profile cpu [--only 04]`.

Notebooks run in number order. Every parameter is checked before the first one starts, the first
failure stops the run, and running again is cheap: trainings that finished are found and reused.
"""

from __future__ import annotations

import ast
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bclip_core.config import get_profile
from bclip_core.config.command_line import read_options
from bclip_core.plotting.files import figures_folder
from bclip_core.records import REPOSITORY
from bclip_core.records.files import from_home, make_folder, what_to_do
from bclip_core.records.results import require_runs_folder, runs_folder, save_result
from bclip_core.reproduce.adapted import data_of_run, takes_photographs
from bclip_core.reproduce.memory import PeakMemory
from bclip_core.reproduce.notebooks import (
    NOTEBOOKS,
    NotebookError,
    Parameter,
    check_parameters,
    declared_parameters,
    execute,
    execute_in_place,
    find_notebooks,
    runs_on_request,
)

_PATHS = ("root", "weights", "picture", "checkpoint", "checkpoints")
"""Parameters that may name a file or folder, the last one several of them."""
EXECUTED: Path | None = None  # executed copies; None: `notebooks` in the runs folder


def run_collection(
    profile: str,
    *,
    only: str = "",
    parameters: dict[str, Parameter] | None = None,
    in_place: bool = False,
    notebooks: Path,
    executed: Path,
) -> dict[Path, float]:
    """Execute notebooks with `profile` and further `parameters`, printing one line for each.

    Args:
        profile: name of a profile, passed to every notebook; one among `parameters` wins.
        only: a number or a part of a name; empty means all but those that run on request (which
            `in_place` runs, too).
        parameters: further parameters; every chosen notebook must declare them.
        in_place: replace each notebook by its clean executed copy; its defaults must be `profile`.
        notebooks: folder of the collection.
        executed: folder for executed copies, in a folder named after the profile.

    Returns:
        The executed copies in order, and how many seconds each took.

    Raises:
        NotebookError: nothing to run, a parameter refused, or a cell failed.
        ValueError: an unknown profile.
        OSError: the folder for executed copies cannot be written.
    """
    given: dict[str, Parameter] = {"profile": profile, **_from_here(parameters or {})}
    profile = str(given["profile"])
    get_profile(profile)
    paths = find_notebooks(only, notebooks)
    for path in paths:
        checked = check_parameters(path, given)
        if in_place and not checked.items() <= declared_parameters(path).items():
            raise NotebookError(f"{path.name}: in place, {given} must be the committed defaults")
    make_folder(executed / profile)
    copies = dict[Path, float]()
    width = max(len(path.stem) for path in paths)
    for path in paths:
        if not (only or in_place) and runs_on_request(path, profile):
            print(f"{path.stem:<{width}}  on request: --only {path.stem[:2]}", flush=True)
            continue
        data_set = data_of_run(given, declared_parameters(path))
        if data_set != "scenes" and not (only or takes_photographs(path.name[:2])):
            print(f"{path.stem:<{width}}  not about {data_set}", flush=True)
            continue
        copy = executed / profile / path.name
        print(f"{path.stem:<{width}}  ", end="", flush=True)
        start = time.perf_counter()
        try:
            execute_in_place(path, copy) if in_place else execute(path, copy, given)
        except BaseException:  # whatever it is, the list says which notebook it was
            print(f"FAILED after {_duration(time.perf_counter() - start)}", flush=True)
            raise
        copies[copy] = time.perf_counter() - start
        print(_duration(copies[copy]), flush=True)
    return copies


def _from_here(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """Paths as absolute ones: a notebook runs in its own folder, not in the shell's."""

    def absolute(value: Parameter) -> Parameter:
        named = isinstance(value, str) and value and from_home(value).exists()
        return str(from_home(value).absolute()) if named else value  # type: ignore[arg-type]

    def several(value: Parameter) -> Parameter:
        if isinstance(value, str):  # as typed in a shell; what is no list is refused later
            with contextlib.suppress(ValueError, SyntaxError):
                value = ast.literal_eval(value)
        return [absolute(one) for one in value] if isinstance(value, list) else value  # type: ignore[arg-type]

    return {
        name: value if name not in _PATHS else
        several(value) if name == _PATHS[-1] else absolute(value)
        for name, value in parameters.items()
    }  # fmt: skip


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:02.0f} s" if minutes else f"{rest:.1f} s"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Run the notebooks in number order."""

    profile: str = "cpu"  # smoke, cpu or gpu
    only: str = ""  # a number (04) or a part of a name
    parameters: Annotated[
        tuple[tuple[str, str], ...],
        tyro.conf.UseAppendAction,
        tyro.conf.arg(aliases=("-p",), metavar="NAME VALUE"),
    ] = ()  # further ones, each after its own -p; every notebook that runs must declare them
    in_place: bool = False  # replace the committed notebooks by their clean executed copies


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every notebook ran, 1 when one was refused or failed."""
    try:
        return _run(read_options(Options, arguments, "python -m bclip_core.reproduce"))
    except (NotebookError, OSError, ValueError) as error:
        print(f"reproduce: {error}{what_to_do(error)}", file=sys.stderr)
        return 1


def _run(options: Options) -> int:
    given = dict[str, str]()
    for name, value in options.parameters:
        if given.setdefault(name, value) != value:
            raise NotebookError(f"-p {name}: {given[name]!r} and {value!r}: expected one value")
    profile = given.get("profile", options.profile)
    executed = EXECUTED or require_runs_folder() / "notebooks"
    with PeakMemory() as memory:
        copies = run_collection(
            profile,
            only=options.only,
            parameters=dict[str, Parameter](given),
            in_place=options.in_place,
            notebooks=NOTEBOOKS,
            executed=executed,
        )
    values = {
        "seconds": round(sum(copies.values())),
        "peak_memory_gigabytes": round(memory.peak / 1e9, 2),
        "notebooks": {path.stem: round(seconds, 1) for path, seconds in copies.items()},
    }
    print(f"\n{len(copies)} notebooks in {_duration(sum(copies.values()))}, ", end="")
    print(f"at most {values['peak_memory_gigabytes']} GB of memory")
    if not options.only and not options.in_place:
        save_result("collection", profile, values)
    print(f"figures    {_shown(figures_folder())}/")
    print(f"numbers    {_shown(runs_folder())}/ (committed ones in results/reference/)")
    print(f"notebooks  {_shown(executed / profile)}/")
    return 0


def _shown(path: Path) -> Path:
    return path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
