"""A run that times the ways it could go, and goes the fastest, again after a kill."""

import shutil

import pytest
import torch

from bclip_core.backbone import attention_kernel
from bclip_core.config import ConfigError
from bclip_core.model import resolve
from bclip_core.records.files import read_json, write_json
from bclip_core.train import choice as choices
from bclip_core.train import create_model, train
from bclip_core.train.choice import CHOICE, Choice, choose, workers_for
from bclip_core.train.dry_run import dry_run
from bclip_core.train.resume import read_history
from bclip_core.train.start import prepare

WAYS = [(packed, kernel) for packed in (False, True) for kernel in ("fused", "explicit")]


@pytest.fixture
def asked(tiny_config):
    return tiny_config.replace(train=tiny_config.train.replace(choose_fastest=True))


def run(config, scenes, folder, **arguments):
    return train(config, scenes, folder, device="cpu", progress=False, **arguments)


def losses(folder):
    return [record["loss"] for record in read_history(folder / "history.jsonl")]


def same(one, other):
    theirs = other.state_dict()
    return all(torch.equal(weight, theirs[name]) for name, weight in one.state_dict().items())


def prepared(config, scenes, folder):
    plan = resolve(config, check=True)
    return prepare(plan, create_model(plan), scenes, folder, "cpu")


@pytest.mark.parametrize("settings", [{}, {"gradient_cache": 2}, {"precision": "bf16"}])
def test_every_open_way_is_timed_and_the_fastest_taken(
    asked, tiny_scenes, tmp_path, capsys, settings
):
    config = asked.replace(train=asked.train.replace(**settings))
    ready = prepared(config, tiny_scenes, tmp_path)
    before = {name: weight.clone() for name, weight in ready.model.state_dict().items()}
    drawn = torch.get_rng_state()
    chosen = choose(ready)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(w, before[name]) for name, w in ready.model.state_dict().items())
    assert all(parameter.grad is None for parameter in ready.model.parameters())
    assert not ready.optimizer.state
    record = read_json(tmp_path / CHOICE)
    seconds = record["seconds"]
    assert len(seconds) == len(WAYS)
    assert all(spent > 0 for spent in seconds.values())
    told = min(seconds, key=seconds.get)
    assert ("packed" in told) == chosen.packed_texts == ready.model.backbone.packed
    assert f"attention {chosen.attention}," in told
    assert ready.attention == chosen.attention
    assert f"chosen: {choices._told(chosen)} (a micro-step of " in capsys.readouterr().out
    first = next(ready.batches)
    assert first.ids == next(ready.loader(0)).ids  # the run begins with its first batch


@pytest.fixture(scope="module")
def plain(tiny_config, tiny_scenes, tmp_path_factory):
    """A run that nothing is chosen for, and its losses."""
    folder = tmp_path_factory.mktemp("plain")
    return run(tiny_config, tiny_scenes, folder), losses(folder)


@pytest.mark.parametrize(("packed", "kernel"), WAYS)
def test_all_ways_lead_to_the_same_numbers_but_for_rounding(
    asked, plain, tiny_scenes, tmp_path, packed, kernel
):
    folder = tmp_path / "run"
    folder.mkdir()
    kept = {"packed_texts": packed, "attention": kernel, "compile": False, "loader_workers": 0}
    write_json(folder / CHOICE, {"choice": kept})
    found = run(asked, tiny_scenes, folder)
    model, expected = plain
    assert losses(folder) == pytest.approx(expected, rel=1e-3)
    if (packed, kernel) == WAYS[0]:  # the one that float32 goes unasked
        assert same(found, model)


def test_a_run_that_goes_on_keeps_its_choice_and_its_bits(asked, tiny_scenes, tmp_path, capsys):
    whole = run(asked, tiny_scenes, tmp_path / "whole")
    chosen = read_json(tmp_path / "whole" / CHOICE)
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "whole" / CHOICE, tmp_path / "parts" / CHOICE)
    run(asked, tiny_scenes, tmp_path / "parts", stop_after=2)
    capsys.readouterr()
    parts = run(asked, tiny_scenes, tmp_path / "parts")
    assert "chosen before: " in capsys.readouterr().out
    assert read_json(tmp_path / "parts" / CHOICE) == chosen
    assert same(whole, parts)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_activations_are_recomputed_where_memory_holds_them_not_all(
    asked, tiny_scenes, tmp_path, capsys, monkeypatch
):
    held = []

    def keep(tensor):
        held.append(tensor.numel())
        if sum(held) > limit:
            held.clear()
            raise torch.OutOfMemoryError("out of memory: of the numbers that this test allows")
        return tensor

    chosen = []
    for limit in (10**12, 0):
        held.clear()
        ready = prepared(asked, tiny_scenes, tmp_path / str(limit))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            if limit:
                choose(ready)
                chosen = held.copy()
            else:
                with pytest.raises(RuntimeError, match="no way to train fits into memory"):
                    choose(ready)
    per_step = sum(chosen) / len(WAYS) / choices.BATCHES
    limit = 0.6 * per_step
    held.clear()

    def step(*arguments):
        held.clear()
        return found(*arguments)

    found = choices._try
    monkeypatch.setattr(choices, "_try", step)  # counts each step's numbers from 0
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        assert choose(prepared(asked, tiny_scenes, tmp_path / "some")).activation_checkpointing
    assert ", recomputed, " in capsys.readouterr().out


@pytest.mark.parametrize("first", [False, True])
def test_a_run_begun_the_other_way_is_refused(asked, tiny_config, tiny_scenes, tmp_path, first):
    begun, later = (asked, tiny_config) if first else (tiny_config, asked)
    run(begun, tiny_scenes, tmp_path, stop_after=1)
    with pytest.raises(
        ConfigError, match=rf"train\.choose_fastest is {first} there, but {not first}"
    ):
        run(later, tiny_scenes, tmp_path)


@pytest.mark.parametrize(
    ("loading", "step", "spare", "workers"),
    [
        (0.01, 1, 8, 0),
        (0.5, 1, 8, 1),
        (2.5, 1, 8, 3),
        (20, 1, 8, 8),
        (20, 1, 0, 0),
        (0.5, 1, -1, 0),
    ],
)
def test_so_many_processes_load_that_a_step_need_not_wait(loading, step, spare, workers):
    assert workers_for(loading, step, spare) == workers


def test_a_dry_run_chooses_too_and_writes_nothing(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dry_run(resolve(asked, check=True), device="cpu")
    told = capsys.readouterr().out
    assert "chosen: " in told
    assert "ready; nothing was written" in told
    assert not list(tmp_path.rglob(CHOICE))


def test_a_chosen_kernel_stands_above_the_rule():
    def explicit(*arguments):
        with attention_kernel("cpu", *arguments):
            return not torch.backends.cuda.flash_sdp_enabled()

    assert [explicit("fp32"), explicit("bf16")] == [False, True]
    assert [explicit("bf16", "fused"), explicit("fp32", "explicit")] == [False, True]
    assert Choice(True, "fused", False, 2) != Choice(True, "explicit", False, 2)
