"""A JupyterLab of its own, and where to find a browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from ipykernel.kernelspec import write_kernel_spec

from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_json

PATIENCE = 120  # seconds
SLOW = 60_000  # milliseconds that a step may take; it waits no longer than it has to
TOKEN = "only-for-this-test"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCREENSHOTS = REPOSITORY / "results" / "screenshots"  # git ignores them


def find_chromium() -> str | None:
    """$BCLIP_CHROMIUM, or a browser of a usual name."""
    asked = os.environ.get("BCLIP_CHROMIUM")
    return asked or next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_it_answers(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers.

    Raises:
        RuntimeError: it ended, or is silent for `PATIENCE` seconds; with the end of its log.
    """
    start = time.monotonic()
    while server.poll() is None and time.monotonic() - start < PATIENCE:
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def jupyter_lab(root: Path, home: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """Address of a server on `root` that knows none of the user's settings."""
    write_kernel_spec(home / "jupyter" / "kernels" / "python3")  # this Python
    # All cells stay in the page, nothing asks to fetch news, and no debugger asks the kernel what
    # it would complain of in the console when the page is loaded again meanwhile.
    write_json(
        home / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings",
        {"windowingMode": "none"},
    )
    write_json(
        home / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings",
        {"theme": theme, "adaptive-theme": False},
    )
    write_json(
        home / "config" / "labconfig" / "page_config.json",
        {
            "exposeAppInBrowser": True,  # a page can ask whether the kernel is connected
            "disabledExtensions": {
                "@jupyterlab/apputils-extension:announcements": True,
                "@jupyterlab/debugger-extension": True,
            },
        },
    )
    own = {
        "HOME": str(home),
        "JUPYTER_PATH": str(home / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # its list of fonts takes long to make
        "PYTHONPATH": str(REPOSITORY),
        "TQDM_DISABLE": "1",  # bars write to stderr, where nothing should be
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    port = free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={root}",
    ]  # fmt: skip
    environment = os.environ | own
    environment.pop("MPLBACKEND", None)  # a set backend keeps figures out of the outputs
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_it_answers(address, server, home / "server.log")
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)
