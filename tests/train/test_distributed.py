"""Several processes give the loss and the gradients of one with the joined batch.

Run as a program, this file starts the processes (see `main`): forks, since the imports of one
would take longer than all that it does.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import build_model, load
from bclip_core.config import BackboneConfig, LossConfig
from bclip_core.data.batches import collate_texts
from bclip_core.losses import beta_cal
from bclip_core.model import get_method
from bclip_core.records import REPOSITORY
from bclip_core.records.files import write_json
from bclip_core.records.locks import lock
from bclip_core.train import create_model, train
from bclip_core.train.distributed import gather_features, world
from bclip_core.train.resume import read_history
from tests.train.whole_batch import METHODS, ROWS, gradients, whole_gradients
from tests.warm import WarmProcess, fork_command

SHARES = {  # which images each rank holds
    "even": (slice(0, None, 2), slice(1, None, 2)),
    "uneven": (slice(0, 4), slice(4, 6)),
    "uneven, cached": (slice(0, 4), slice(4, 6)),
    "four": tuple(slice(rank, None, 4) for rank in range(4)),  # two, two, one and one
}
SHARED = {  # β-CAL alone, its rows shared: images, scale (at 14 one exponential serves both ways)
    "ce": (5, 14.0),
    "bce": (5, 14.0),
    "bce, rows": (5, 14.0),
    "bce, positives": (5, 14.0),
    "ce, shifted": (5, 100.0),
    "ce, padding kept": (5, 14.0),
    "ce, fewer rows than ranks": (1, 14.0),
}
CACHED = {"uneven, cached": 3}  # images at a time: two chunks on one rank, one on the other


def main(folder: Path) -> None:
    """Two processes, then four."""
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    for count in (2, 4):
        ranks = [context.Process(target=rank_of, args=(n, count, folder)) for n in range(count)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()
        assert [process.exitcode for process in ranks] == [0] * count


def rank_of(rank: int, count: int, folder: Path) -> None:
    """One of several processes: the gradients of every method, from its share of the images."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / f'store-{count}'}", rank=rank, world_size=count,
        timeout=timedelta(seconds=120),
    )  # fmt: skip
    assert world() == (rank, count)
    torch.set_num_threads(1)
    for share, rows in SHARES.items():
        for name in METHODS if len(rows) == count else ():
            found = gradients(name, rows[rank], parallel=True, cached=CACHED.get(share, 0))
            save_file(found, folder / f"{name}-{share}-{rank}.safetensors")
    for case in SHARED:
        save_file(shared_loss(case, True), folder / f"{case}-{count}-{rank}.safetensors")
    distributed.destroy_process_group()


def shared_loss(case: str, across_ranks: bool) -> dict[str, torch.Tensor]:
    """β-CAL of random embeddings in blocks of three rows, its value and gradients."""
    images, scale = SHARED[case]
    generator = torch.Generator().manual_seed(0)
    text, image = (
        torch.randn(images, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(2)
    )
    mask = torch.rand(images, 3, generator=generator) < (0.7 if images > 1 else 0.3)
    multiplier = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    form, _, what = case.partition(", ")
    bias = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    balance = {"normaliser": what, "bias": bias} if form == "bce" and what else {}
    loss = beta_cal(
        text, image, mask, multiplier, form=form, chunk_size=3,
        mask_padding="padding kept" not in case, across_ranks=across_ranks, **balance,
    )  # fmt: skip
    loss.backward()
    return {"loss": loss.detach(), "rows": mask.sum(), "text": text.grad, "image": image.grad,
            "scale": multiplier.grad, **({"bias": bias.grad} if balance else {})}  # fmt: skip


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Gradients from two processes and from four."""
    folder = tmp_path_factory.mktemp("ranks")
    with (folder / "errors.txt").open("wb") as errors:
        process = WarmProcess("tests.train.test_distributed", [folder], stderr=errors.fileno())
    assert process.wait(480) == 0, (folder / "errors.txt").read_text()[-3000:]
    return folder


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", METHODS)
def test_loss_and_every_gradient_are_those_of_one_process(ranks, name, share):
    expected = whole_gradients(name)
    assert all(value is not None for value in expected.values())
    for rank in range(len(SHARES[share])):
        found = load_file(ranks / f"{name}-{share}-{rank}.safetensors")
        assert found.keys() == expected.keys()
        for parameter, gradient in expected.items():
            limit = 1e-10 * max(1.0, gradient.abs().max().item())
            difference = (found[parameter] - gradient).abs().max().item()
            assert difference < limit, (rank, parameter, difference)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("case", SHARED)
def test_shared_rows_give_the_loss_of_one_process(ranks, case, count):
    expected = shared_loss(case, False)
    few = int(expected["rows"]) < count
    assert few == ("fewer" in case)
    for rank in range(count):
        found = load_file(ranks / f"{case}-{count}-{rank}.safetensors")
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_one_process_gets_back_what_it_gave():
    assert world() == (0, 1)
    method = get_method("clip-ft")
    model = build_model(BackboneConfig("scene-tiny"), None)
    features = model(torch.randn(6, 3, 64, 64), collate_texts(ROWS, Tokenizer()))
    assert gather_features(features) is features
    assert method.loss_terms(features, LossConfig())["global"].isfinite()


def test_torchrun_trains_like_one_process(tiny_config, tiny_scenes, tmp_path):
    settings = tiny_config.train.replace(steps=3, lr=2e-4, pooler_lr=5e-4, accumulation=2)
    config = tiny_config.replace(train=settings)
    single = train(config, tiny_scenes, tmp_path / "one", device="cpu", progress=False)
    write_json(tmp_path / "config.json", config.to_dict())
    launcher = [*fork_command("torch.distributed.run"), "--standalone", "--nproc-per-node=2"]
    launcher += ["--no-python", *fork_command("bclip_core.train")]  # its ranks are forks as it is
    arguments = ["--config", str(tmp_path / "config.json"), "--folder", str(tmp_path / "two")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [*launcher, *arguments, "--device", "cpu"]
    said = tmp_path / "errors.txt"
    with said.open("w") as errors:
        with lock(tmp_path / "two"):  # both ranks wait, one of them says for whom
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            ends = time.monotonic() + 300
            while "waiting for" not in said.read_text() and process.poll() is None:
                assert time.monotonic() < ends, said.read_text()[-3000:]
                time.sleep(0.05)
            assert not (tmp_path / "two").exists(), "trained beside another"
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said.read_text()[-3000:]
    waiting = f"waiting for {tmp_path / 'two'}: in use by process {os.getpid()} on "
    assert said.read_text().count(waiting) == 1
    assert output.count("trained: ") == 1
    histories = [read_history(tmp_path / name / "history.jsonl") for name in ("one", "two")]
    for one, two in zip(*histories, strict=True):
        for name in ("loss", "global", "beta_cal", "gradient_norm", "pooler_logit_scale"):
            assert two[name] == pytest.approx(one[name], rel=1e-3), name
    start = create_model(config).state_dict()
    both = load(tmp_path / "two" / "model.safetensors", config).state_dict()
    moved = sum((value - start[name]).square().sum() for name, value in single.state_dict().items())
    apart = sum((value - both[name]).square().sum() for name, value in single.state_dict().items())
    assert apart < 1e-3 * moved  # of AdamW's steps where a gradient is rounding alone
    states = [path.name for path in (tmp_path / "two" / "checkpoints").glob("*/random_states_*")]
    assert sorted(set(states)) == ["random_states_0.pkl", "random_states_1.pkl"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
