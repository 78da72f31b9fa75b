"""nbval: what a comparison of outputs leaves out, and where kernels come from."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from ipykernel.kernelspec import get_kernel_dict, write_kernel_spec

from tests import warm


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Leave out stderr: warnings differ between machines. Tables (text/html) stay compared."""
    if collector.path.suffix == ".ipynb":
        collector.skip_compare += ("stderr",)  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """`--nbval-kernel-name warm`: kernels with the collection's imports done, see tests/warm.py.

    They have the environment that pytest was started with, whatever tests beside them change:
    their runs and caches are those of whoever starts them. MPLBACKEND would let them show no
    figure.
    """
    if config.getoption("nbval_kernel_name", None) != "warm":
        return
    folder = Path(tempfile.mkdtemp(prefix="bclip-kernels-"))
    config.add_cleanup(lambda: shutil.rmtree(folder))
    given = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    (folder / "environment.json").write_text(json.dumps(given))
    kernel = get_kernel_dict()
    kernel["argv"] = warm.kernel_command(kernel["argv"], folder / "environment.json")
    write_kernel_spec(folder / "kernels" / "warm", kernel)
    os.environ["JUPYTER_PATH"] = str(folder)
