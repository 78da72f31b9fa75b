"""What makes training faster or leaner changes what it says, and is refused elsewhere."""

import math

import pytest
import torch

from bclip_core.config import ConfigError, RunConfig, TrainConfig
from bclip_core.model import TextBatch
from bclip_core.train import NonFiniteLossError, train
from bclip_core.train.distributed import has_bf16_products
from bclip_core.train.optimization import exact_products
from bclip_core.train.resume import list_checkpoints, read_history


def run(config, scenes, folder, **arguments):
    return train(config, scenes, folder, device="cpu", progress=False, **arguments)


@pytest.mark.skipif(not has_bf16_products(), reason="oneDNN has no bfloat16 here")
def test_products_in_bfloat16_train_and_everything_else_stays_float32(
    tiny_config, tiny_scenes, tmp_path
):
    losses, seen = [], set()

    def watch(*_):
        seen.add(torch.get_float32_matmul_precision())

    for precision in ("fp32", "bf16-products"):
        settings = tiny_config.train.replace(steps=3, precision=precision)
        config = tiny_config.replace(train=settings)
        model = run(config, tiny_scenes, tmp_path / precision, callback=watch)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        history = read_history(tmp_path / precision / "history.jsonl")
        losses.append([record["loss"] for record in history])
    assert seen == {"highest", "medium"}
    assert torch.get_float32_matmul_precision() == "highest"
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_products_of_the_losses_are_exact_in_their_forward_pass():
    torch.set_float32_matmul_precision("medium")
    try:
        with exact_products("bf16-products"):
            assert torch.get_float32_matmul_precision() == "highest"
        with exact_products("fp32"):  # is told nothing
            assert torch.get_float32_matmul_precision() == "medium"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_updates_in_the_backward_pass_have_the_same_bits_and_hold_no_gradient(
    tiny_config, tiny_scenes, tmp_path
):
    weights, norms, held = [], [], []
    for moving in (False, True):
        settings = tiny_config.train.replace(clip_norm=0, update_in_backward=moving)
        folder = tmp_path / str(moving)
        model = run(
            tiny_config.replace(train=settings), tiny_scenes, folder,
            callback=lambda _, m: held.extend(p.grad for p in m.parameters()),
        )  # fmt: skip
        weights.append(model.state_dict())
        norms.append([record["gradient_norm"] for record in read_history(folder / "history.jsonl")])
    assert [name for name, w in weights[0].items() if not torch.equal(w, weights[1][name])] == []
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert set(held) == {None}
    before = {name: w.clone() for name, w in model.state_dict().items()}
    model(
        torch.randn(2, 3, 64, 64), one_text(2, tiny_config)
    ).text.sum().backward()  # moves nothing any more
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())


def one_text(images, config):
    """The same text in every place."""
    ids = torch.tensor([[49406, 320, 49407]])
    index = torch.zeros(images, config.texts.texts_per_image, dtype=torch.long)
    return TextBatch(ids, index, torch.ones(index.shape, dtype=torch.bool))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({}, r"clip_norm=1\.0: expected 0 with update_in_backward"),
        ({"clip_norm": 0, "accumulation": 2}, "accumulation=2: expected 1 with update_in_backward"),
        ({"clip_norm": 0, "gradient_cache": 2}, "gradient_cache=2: expected 0 with update_in_"),
        ({"clip_norm": 0, "precision": "fp16"}, "precision='fp16': expected another than fp16 "),
    ],
)
def test_updates_in_the_backward_pass_are_refused_where_they_cannot_be(setting, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(update_in_backward=True, **setting)


def test_nan_in_the_backward_pass_stops_updates_there_too(tiny_config, tiny_scenes, tmp_path):
    settings = tiny_config.train.replace(clip_norm=0, update_in_backward=True, checkpoint_every=2)

    def poison(update, model):
        if update == 3:  # the loss is finite, one gradient is not
            next(model.pooler.parameters()).register_hook(lambda gradient: gradient * math.nan)

    with pytest.raises(NonFiniteLossError, match="at update 4: {'gradient_norm': nan}"):
        run(tiny_config.replace(train=settings), tiny_scenes, tmp_path, callback=poison)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["update-00000002"]


@pytest.mark.parametrize("heads", [0, 7])
def test_heads_that_do_not_divide_the_width_are_refused(tiny_config, tiny_scenes, tmp_path, heads):
    config = tiny_config.to_dict()
    config["pooler"]["heads"] = heads
    with pytest.raises(ConfigError, match=rf"heads={heads}\b.*: expected "):
        run(RunConfig.from_dict(config), tiny_scenes, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "refused, but something was written"
