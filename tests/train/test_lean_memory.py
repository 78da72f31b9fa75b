"""Lean memory changes no bit, frees what is freed, and says what it cannot do."""

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bclip_core.backbone.token_table import look_up
from bclip_core.config import ConfigError, TrainConfig
from bclip_core.model import resolve
from bclip_core.train import train
from bclip_core.train.distributed import has_bf16_products
from bclip_core.train.dry_run import dry_run
from bclip_core.train.memory import KERNEL_CACHES, begin_lean
from bclip_core.train.resume import read_history
from tests.warm import WarmProcess


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What it sets for the process is gone after the test."""
    for name, size in KERNEL_CACHES.items():
        monkeypatch.setenv(name, size)


def run(config, scenes, folder, memory, **arguments):
    settings = config.train.replace(memory=memory)
    return train(
        config.replace(train=settings), scenes, folder, device="cpu", progress=False, **arguments
    )


def same(one, other):
    theirs = other.state_dict()
    return all(torch.equal(weight, theirs[name]) for name, weight in one.state_dict().items())


@pytest.mark.parametrize(
    ("method", "settings", "moves"),
    [
        ("beta-clip-ce", {"clip_norm": 0}, True),
        ("beta-clip-ce", {"clip_norm": 0, "packed_texts": True}, True),
        ("beta-clip-ce", {}, False),
        ("beta-clip-bce", {"accumulation": 2, "gradient_cache": 3, "precision": "bf16"}, False),
        ("mulclip", {"clip_norm": 0}, True),
        ("flair", {"clip_norm": 0}, True),
    ],
)
def test_lean_memory_trains_the_same_bits(
    tiny_config, tiny_scenes, tmp_path, method, settings, moves
):
    short = tiny_config.train.replace(steps=3, **settings)
    config = tiny_config.replace(method=method, train=short)
    models = [
        run(config, tiny_scenes, tmp_path / memory, memory) for memory in ("ordinary", "lean")
    ]
    assert same(*models)
    ordinary, lean = (
        [record["loss"] for record in read_history(tmp_path / name / "history.jsonl")]
        for name in ("ordinary", "lean")
    )
    assert ordinary == lean
    assert (not config.train.replace(memory="lean").holds_gradients) == moves


def test_a_run_goes_on_with_other_memory_and_ends_with_the_same_bits(
    tiny_config, tiny_scenes, tmp_path
):
    config = tiny_config.replace(train=tiny_config.train.replace(clip_norm=0))
    whole = run(config, tiny_scenes, tmp_path / "whole", "ordinary")
    run(config, tiny_scenes, tmp_path / "parts", "lean", stop_after=2)
    run(config, tiny_scenes, tmp_path / "parts", "ordinary", stop_after=3)
    assert same(whole, run(config, tiny_scenes, tmp_path / "parts", "lean"))


def test_blocks_are_recomputed_and_gradients_freed(tiny_config, tiny_scenes, tmp_path):
    config = tiny_config.replace(train=tiny_config.train.replace(clip_norm=0, steps=1))
    held = {}
    for memory in ("ordinary", "lean"):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, saved=saved: saved.append(x.numel()) or x, lambda x: x
        ):
            model = run(config, tiny_scenes, tmp_path / memory, memory)
        held[memory] = sum(saved)
        assert not model.backbone._checkpointing  # a trained model is as any other
    assert held["lean"] < held["ordinary"] / 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"clip_norm": 0}, "lean memory: blocks are recomputed, gradients freed as weights move"),
        ({}, "gradients held at once, as clip_norm=1.0"),
    ],
)
def test_a_dry_run_tells_what_lean_memory_does(tiny_config, tmp_path, capsys, settings, told):
    lean = tiny_config.train.replace(memory="lean", **settings)
    assert dry_run(resolve(tiny_config.replace(train=lean), check=True), device="cpu")
    out = capsys.readouterr().out
    assert told in out
    assert "train.memory = lean\n" in out


def test_other_memory_is_refused():
    with pytest.raises(ConfigError, match="memory='small': expected one of ordinary, lean"):
        TrainConfig(memory="small")


def test_several_look_ups_have_the_gradient_of_each_in_one():
    generator = torch.Generator().manual_seed(0)
    ids = [torch.randint(0, 9, (n, n + 1), generator=generator) for n in (5, 1, 7)]
    gradients = []
    for way in (look_up, lambda table, several: [F.embedding(each, table) for each in several]):
        table = torch.randn(40, 6, generator=generator.manual_seed(1)).requires_grad_()
        found = way(table, ids)
        assert [each.shape for each in found] == [(*each.shape, 6) for each in ids]
        sum((each**3).sum() for each in found).backward()
        gradients.append(table.grad)
    assert torch.equal(*gradients)
    assert gradients[0].abs().sum(1).count_nonzero() == 9


def measure(code, lean):
    """Print the MiB by which this process, a fork that has run no kernel yet, grows by the code."""
    torch.set_num_threads(1)
    if lean:
        begin_lean()
    names = {"torch": torch, "size": lambda: int(Path("/proc/self/statm").read_text().split()[1])}
    exec(code, names)
    print((names["size"]() - names["before"]) / 256)


def grown(code, lean, folder):
    """The same, measured in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if name not in KERNEL_CACHES}
    with (folder / "grown.txt").open("w+") as output:
        process = WarmProcess(
            "tests.train.test_lean_memory", [code, "lean" * lean], env=clean,
            stdout=output.fileno(), stderr=output.fileno(),
        )  # fmt: skip
        ended = process.wait(120)
        output.seek(0)
        said = output.read()
    assert ended == 0, said
    return float(said)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_freed_goes_back_though_small_blocks_lie_between(tmp_path):
    code = (
        "before, small = size(), []\n"
        "for _ in range(3):\n"
        "    large = []\n"
        "    for n in range(60):\n"
        "        large.append(torch.ones(2**20))\n"
        "        small.append(torch.ones(2**10))\n"
        "    del large\n"
    )
    assert grown(code, True, tmp_path) < 20
    assert grown(code, False, tmp_path) > 100


@pytest.mark.skipif(not has_bf16_products(), reason="oneDNN has no bfloat16 here")
def test_kernels_of_ever_new_lengths_are_not_kept(tmp_path):
    code = (
        "torch.set_float32_matmul_precision('medium')\n"
        "weight = torch.randn(1024, 512)\n"
        "def use(n): return torch.randn(n, 512) @ weight.T\n"
        "[use(n) for n in range(300, 400)]\n"
        "before = size()\n"
        "[use(n) for n in range(400, 700)]\n"
    )
    lean, ordinary = grown(code, True, tmp_path), grown(code, False, tmp_path)
    assert lean < 20
    assert ordinary > lean + 30


if __name__ == "__main__":
    measure(*sys.argv[1:])
