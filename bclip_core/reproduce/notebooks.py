"""Notebooks as files: find them, read their parameters, execute one, clean one for git."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import nbstripout
import papermill
import papermill.log
from ipykernel.kernelspec import get_kernel_dict, write_kernel_spec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from bclip_core.records import REPOSITORY
from bclip_core.records.files import naming, what_to_do, write_atomically
from bclip_core.records.processes import how_it_ended
from bclip_core.reproduce.adapted import data_of_run, for_photographs, takes_photographs

NOTEBOOKS = REPOSITORY / "notebooks"
_PATIENCE = (
    300  # seconds that a kernel may take to start on a busy machine; one that died is noticed
)

Parameter = int | float | str | bool | list[object]

# What differs between two executions, or between two machines, and tells a reader nothing.
_VOLATILE_METADATA = [
    "metadata.papermill",
    "metadata.widgets",
    "metadata.signature",
    "metadata.language_info.version",
    "cell.metadata.papermill",
    "cell.metadata.execution",
    "cell.metadata.ExecuteTime",
    "cell.metadata.collapsed",
    "cell.metadata.scrolled",
]
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookError(RuntimeError):
    """A notebook cannot be run as asked, or failed; the message names it and the cause."""


def find_notebooks(only: str = "", folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks in number order; `only` keeps one number ("04") or a part of a name.

    Raises:
        NotebookError: nothing matches; the message lists what there is.
    """
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if only.isdigit():
        chosen = [path for path in paths if int(path.name.split("_")[0]) == int(only)]
    else:
        chosen = [path for path in paths if only in path.stem]
    if not chosen:
        known = ", ".join(path.stem for path in paths) or "none"
        raise NotebookError(f"only={only!r}: expected a number or name part of: {known}")
    return chosen


def read_notebook(path: Path) -> NotebookNode:
    """Parsed notebook, format 4.

    Raises:
        ValueError: it is damaged; the file is named.
    """
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except OSError:
        raise
    except Exception as error:  # nbformat raises many kinds
        first = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{path}: no notebook: {type(error).__name__}: {first}") from error
    return notebook


def runs_on_request(path: Path, profile: str) -> bool:
    """Whether a notebook takes part in a run of the whole collection only when it is named.

    The notebook's metadata says for which profiles: `{"bclip": {"on_request": ["cpu", "gpu"]}}`.
    """
    return profile in read_notebook(path).metadata.get("bclip", {}).get("on_request", [])


def declared_parameters(path: Path) -> dict[str, Parameter]:
    """Names and defaults in the cell tagged `parameters`: lines `name: type = literal`.

    Parsed as Python, since papermill's own inspection silently leaves out what it cannot match.

    Raises:
        NotebookError: no such cell, more than one, or a line of another form.
    """
    cells = read_notebook(path).cells
    sources = [c.source for c in cells if "parameters" in c.metadata.get("tags", [])]
    if len(sources) != 1:
        raise NotebookError(f"{path.name}: {len(sources)} cells tagged 'parameters', expected 1")
    declared: dict[str, Parameter] = {}
    for node in ast.parse(sources[0]).body:
        line = ast.unparse(node)
        try:
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                raise ValueError("not an annotated assignment")
            default = ast.literal_eval(node.value) if node.value else None
            if ast.unparse(node.annotation).split("[")[0] != type(default).__name__:
                raise ValueError("type and default disagree")
            if not isinstance(default, (int, float, str, list)):
                raise ValueError("not a parameter type")
        except ValueError as error:
            raise NotebookError(
                f"{path.name}: parameter {line!r} ({error}): expected `name: type = literal` "
                "with a type of int, float, str, bool, list"
            ) from error
        declared[node.target.id] = default
    return declared


def check_parameters(path: Path, given: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """`given` with each value in the type of its default; text, as typed in a shell, is converted.

    Raises:
        NotebookError: an unknown name (papermill would only warn) or a value of another type.
    """
    declared = declared_parameters(path)
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise NotebookError(
            f"{path.name}: unknown parameters {unknown}: expected some of {', '.join(declared)}"
        )
    return {name: _convert(path, name, value, declared[name]) for name, value in given.items()}


def _convert(path: Path, name: str, value: Parameter, default: Parameter) -> Parameter:
    kind, converted = type(default), value
    if isinstance(value, str) and kind is not str:
        try:
            converted = ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
        except (ValueError, SyntaxError):
            pass  # stays text, which the type check below refuses
    if kind is float and type(converted) is int:
        converted = float(converted)
    if type(converted) is not kind:
        raise NotebookError(
            f"{path.name}: {name}={value!r}: expected {kind.__name__}, like the default {default!r}"
        )
    return converted


def execute(path: Path, output: Path, parameters: Mapping[str, Parameter] | None = None) -> None:
    """Run a notebook in its own folder with this Python; `output` is the executed copy.

    A run on photographs leaves out what is about scenes, see `adapted.for_photographs`.

    Raises:
        NotebookError: unknown or mistyped parameters, a cell failed, or the kernel died; `output`
            then holds what ran up to there. Or the system failed (a full disk, a kernel that does
            not start); an `output` that is half-written is removed.
    """
    checked = check_parameters(path, parameters or {})
    with naming(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
    ends, stop = list[int](), threading.Event()
    with _kernel_of_this_python(), tempfile.TemporaryDirectory() as folder:
        source = _adapted(path, checked, Path(folder))
        try:
            _beside(
                stop,
                _unformatted(source),
                _unformatted(output),
                parameters=checked,
                kernel_name="python3",
                language="python",
                cwd=str(path.resolve().parent),
                progress_bar=False,
                start_timeout=_PATIENCE,
                kernel_manager_class=_noting_end(ends, stop),
            )
        except PapermillExecutionError as error:
            cell, cause = error.exec_count, f"{error.ename}: {error.evalue}"
            raise NotebookError(f"{path.name}, cell [{cell}]: {cause}\n(see {output})") from error
        except DeadKernelError as error:
            cause = f"the kernel died: {how_it_ended(ends[-1])}" if ends else "the kernel died"
            raise NotebookError(f"{path.name}, {_last_started(output)}: {cause}") from error
        except (OSError, RuntimeError, ValueError) as error:
            _remove_half_written(output)
            said = str(error).strip() or type(error).__name__
            message = f"{path.name}, writing {output}: {said}{what_to_do(error)}"
            raise NotebookError(message) from error


def _beside(stop: threading.Event, source: str, output: str, **asked: Any) -> None:
    """Papermill's work in a thread of its own, whose kernel is ended when this one is interrupted.

    In the main thread nbclient would replace the process's handlers of signals, and one that comes
    would break its loop of events at any place. Here the main thread alone hears it, and the other
    comes to an orderly end: its kernel is gone.
    """
    log, before = papermill.log.logger, papermill.log.logger.disabled
    log.disabled = True  # what it says of a dead kernel is said by the error, in one line
    try:
        with ThreadPoolExecutor(1, "notebook") as thread:
            running = thread.submit(papermill.execute_notebook, source, output, **asked)
            try:
                running.result()
            except BaseException:
                stop.set()
                raise
    finally:
        log.disabled = before


def _adapted(path: Path, parameters: Mapping[str, Parameter], folder: Path) -> Path:
    """The notebook to run: itself, or in `folder` what of it is not about scenes."""
    data_set = data_of_run(parameters, declared_parameters(path))
    if data_set == "scenes" or not takes_photographs(path.name[:2]):
        return path
    adapted = folder / path.name
    nbformat.write(for_photographs(read_notebook(path), data_set), adapted)  # type: ignore[no-untyped-call]
    return adapted


def _unformatted(path: Path) -> str:
    """A path that papermill leaves alone: it takes what stands in braces for a parameter."""
    return str(path.resolve()).replace("{", "{{").replace("}", "}}")


@contextmanager
def _kernel_of_this_python() -> Iterator[None]:
    """Make `python3` mean `sys.executable` and `bclip_core` this package, whatever is installed."""
    saved = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        quiet = ["--log-level=ERROR"]  # its start-up warnings would break the progress lines
        write_kernel_spec(Path(folder, "kernels", "python3"), extra_arguments=quiet)
        try:
            os.environ["JUPYTER_PATH"] = folder  # searched before the user's own kernels
            inherited = [saved["PYTHONPATH"]] if saved.get("PYTHONPATH") else []
            os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *inherited])
            os.environ.pop("MPLBACKEND", None)  # a set backend keeps figures out of the outputs
            yield
        finally:
            os.environ.clear()
            os.environ.update(saved)


def _noting_end(ends: list[int], stop: threading.Event) -> type[AsyncKernelManager]:
    """A manager of kernels that notes the return code of one that is gone, and ends one on `stop`.

    Whoever waits for a kernel asks every second whether it lives.
    """
    asks = iter((signal.SIGTERM,))  # what the kernel has started gets it, too

    class Noting(AsyncKernelManager):
        async def _async_is_alive(self) -> bool:
            if stop.is_set() and self.has_kernel:
                with contextlib.suppress(OSError):  # it has just gone
                    await self._async_signal_kernel(next(asks, signal.SIGKILL))
            alive = await super()._async_is_alive()
            code = getattr(getattr(self.provisioner, "process", None), "returncode", None)
            if not alive and code is not None:
                ends.append(code)
            return alive

        is_alive = _async_is_alive

    return Noting


def _last_started(output: Path) -> str:
    """The cell that was running when `output` was last written."""
    try:
        cells = read_notebook(output).cells
    except (OSError, ValueError):  # it could not even be written
        return "at an unknown cell"
    started = [i for i, c in enumerate(cells) if c.metadata.get("papermill", {}).get("start_time")]
    return f"cell {started[-1]} of {len(cells)}" if started else "before the first cell"


def _remove_half_written(output: Path) -> None:
    """A copy that cannot be read tells nothing and keeps a full disk full."""
    try:
        read_notebook(output)
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            output.unlink()


def execute_in_place(path: Path, copy: Path) -> None:
    """Run a notebook at its defaults, keep the clean result; a failed run leaves `path` as it was.

    `copy` is where the raw executed notebook goes.

    Raises:
        NotebookError: a cell failed.
    """
    execute(path, copy)
    notebook = read_notebook(copy)
    clean(notebook)
    text = nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def clean(notebook: NotebookNode) -> None:
    """Remove in place what changes from run to run; outputs, counters and cell ids stay.

    A view of a widget goes too: without its state, which GitHub cannot show, it is an error box.
    """
    nbstripout.strip_output(
        notebook,
        keep_output=True,
        keep_count=True,
        keep_id=True,
        extra_keys=_VOLATILE_METADATA,
    )
    kernel = get_kernel_dict()
    notebook.metadata["kernelspec"] = {
        "display_name": kernel["display_name"],
        "language": kernel["language"],
        "name": "python3",
    }
    for cell in notebook.cells:
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]  # papermill adds empty lists
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_WIDGET_VIEW, None)
