"""A cut picture in a folder of one's own ends no training that is told to skip it."""

import pytest
import torch
from PIL import Image

from bclip_core.data.images import BrokenImageError
from bclip_core.data.sources import load_split
from bclip_core.train import train
from bclip_core.train.resume import read_history

WORKERS = (0, 1, 2)
CUT = "5.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photographs of noise, of which one ends in the middle."""
    mine = tmp_path_factory.mktemp("mine")
    for n in range(12):
        noise = torch.randint(0, 256, (80, 90, 3), generator=torch.Generator().manual_seed(n))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(mine / f"{n}.jpg")
        (mine / f"{n}.txt").write_text(f"A picture of noise. It is number {n} of twelve.")
    whole = (mine / CUT).read_bytes()
    (mine / CUT).write_bytes(whole[: len(whole) // 2])
    return mine


@pytest.fixture(scope="module")
def config(folder, tiny_config):
    data = tiny_config.data.replace(name="pairs", folder=str(folder), train=12, bad_rows="skip")
    return tiny_config.replace(data=data)


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """Weights, losses and what was printed, for every number of loader's processes."""
    found = {}
    for workers in WORKERS:
        asked = config.replace(train=config.train.replace(loader_workers=workers))
        run, said = tmp_path_factory.mktemp("run"), []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.print", lambda *words, said=said, **_: said.append(words[0]))
            model = train(asked, load_split(asked.data, "train"), run, device="cpu", progress=False)
        history = read_history(run / "history.jsonl")
        found[workers] = model.state_dict(), [record["loss"] for record in history], said, run
    return found


@pytest.mark.parametrize("workers", WORKERS)
def test_the_run_ends_as_asked_and_names_the_picture_once(trained, config, workers):
    _, losses, said, run = trained[workers]
    assert len(losses) == config.train.steps
    assert (run / "model.safetensors").is_file()
    told = [line for line in said if line.startswith("skipped, cannot be decoded")]
    assert told == [f"skipped, cannot be decoded (1 so far): {CUT}"]


@pytest.mark.parametrize("workers", WORKERS[1:])
def test_batches_and_weights_are_the_same_with_any_number_of_processes(trained, workers):
    (weights, losses, *_), (theirs, their_losses, *_) = trained[0], trained[workers]
    assert losses == their_losses
    assert list(weights) == list(theirs)
    assert [name for name in weights if not torch.equal(weights[name], theirs[name])] == []


def test_it_is_a_row_that_ends_a_training_where_nothing_is_skipped(config, tmp_path):
    rows = load_split(config.data, "train")
    assert CUT in rows["id"]
    raising = config.replace(data=config.data.replace(bad_rows="raise"))
    with pytest.raises(BrokenImageError, match=r"5\.jpg"):
        train(raising, rows, tmp_path, device="cpu", progress=False)
