"""Shared by all tests: folders of their own, one thread, a tiny run and its scenes.

What takes seconds to import is imported where it is used: pytest's own process, which only hands
the tests to its workers, would do it too, and the workers start after that.
"""

import dataclasses
import os
import shutil

import pytest

from bclip_core.config import (
    BackboneConfig,
    DataConfig,
    Profile,
    RunConfig,
    TextConfig,
    TrainConfig,
    get_profile,
)
from tests import warm
from tests.schedule import rank

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs):
    """Workers begin with everything imported."""
    warm.fork_workers(specs)


def pytest_collection_modifyitems(config, items):
    """Long files first where there are several workers."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """No test reads or writes the caches and runs of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folders = {name: tmp_path_factory.mktemp(name) for name in ("cache", "runs")}
        for name, folder in folders.items():
            patch.setenv(f"BCLIP_{name.upper()}", str(folder))
        yield
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)  # a test may have left a file open


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The subprocesses of these tests get one thread too, so that sums keep their order."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def no_progress_bars():
    import datasets

    datasets.disable_progress_bars()


@pytest.fixture
def warm_kernels(monkeypatch):
    """The runner's kernels are forked with the collection's imports done, see tests/warm.py."""
    from ipykernel.kernelspec import get_kernel_dict, write_kernel_spec

    from bclip_core.reproduce import notebooks

    def write(path, extra_arguments):
        given = get_kernel_dict(extra_arguments)
        return write_kernel_spec(path, given | {"argv": warm.kernel_command(given["argv"])})

    monkeypatch.setattr(notebooks, "write_kernel_spec", write)


@pytest.fixture(scope="session")
def tiny_config() -> RunConfig:
    """Six updates on 20 scenes; a batch of 6 does not divide an epoch.

    A checkpoint at the end alone: each takes as long as two updates.
    """
    return RunConfig(
        "beta-clip-ce",
        BackboneConfig("scene-tiny"),
        texts=TextConfig(sentences=2, phrases=4),
        data=DataConfig(train=20, validation=4, test=24),
        train=TrainConfig(steps=6, batch_size=6, warmup_steps=2, checkpoint_every=0),
    )


@pytest.fixture(scope="session")
def tiny_smoke() -> Profile:
    """The smoke profile with as little data as `tiny_config` has, for what trains whole runs."""
    smoke = get_profile("smoke")
    data = smoke.base.data.replace(train=20, validation=8, test=24)
    settings = smoke.base.train.replace(batch_size=6)
    return dataclasses.replace(smoke, base=smoke.base.replace(data=data, train=settings))


@pytest.fixture(scope="session")
def tiny_scenes(tiny_config, own_folders):
    from bclip_core.data.sources import load_split

    return load_split(tiny_config.data, "train")


@pytest.fixture(scope="session")
def held_out_scenes(tiny_config, own_folders):
    from bclip_core.data.sources import load_split

    return load_split(tiny_config.data, "test")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """The sample photographs in every official format, a folder each."""
    from bclip_core.data.real import photographs

    try:
        return photographs.write_photographs(tmp_path_factory.mktemp("photographs"))
    except photographs.MissingPhotographsError as missing:
        pytest.skip(str(missing))
