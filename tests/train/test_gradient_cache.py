"""Gradient caching gives the whole batch's loss and gradient, whatever the size of its chunks."""

import pytest
import torch

from bclip_core.backbone import Tokenizer
from bclip_core.data.batches import collate_texts
from bclip_core.train import train
from bclip_core.train.gradient_cache import chunks
from bclip_core.train.resume import read_history
from tests.train.whole_batch import METHODS, ROWS, gradients, whole_gradients


@pytest.mark.parametrize("size", [1, 2, 5, 9])
@pytest.mark.parametrize("name", METHODS)
def test_loss_and_every_gradient_are_those_of_the_whole_batch(name, size):
    expected, found = whole_gradients(name), gradients(name, cached=size)
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-9, atol=1e-12)


def test_a_chunk_holds_its_own_texts_alone():
    tokenizer = Tokenizer()
    texts = collate_texts(ROWS, tokenizer)
    for start, (images, part) in zip((0, 2, 4), chunks(torch.zeros(6, 3), texts, 2), strict=True):
        wanted = [text for row in ROWS[start : start + 2] for text in row if text]
        assert len(images) == len(part.mask) == 2
        assert len(part.tokens) == len(set(wanted))
        assert part.tokens.shape[1] == texts.tokens.shape[1]
        expected = tokenizer(wanted)
        given = part.tokens[part.index][part.mask]
        assert torch.equal(given[:, : expected.shape[1]], expected)
        assert not given[:, expected.shape[1] :].any()
        assert not part.index[~part.mask].any()


def test_a_run_with_gradient_cache_learns_as_one_without(tiny_config, tiny_scenes, tmp_path):
    settings = tiny_config.train.replace(steps=3, accumulation=2, lr=2e-4, pooler_lr=5e-4)
    histories = []
    for size in (0, 4):
        config = tiny_config.replace(train=settings.replace(gradient_cache=size))
        train(config, tiny_scenes, tmp_path / str(size), device="cpu", progress=False)
        histories.append(read_history(tmp_path / str(size) / "history.jsonl"))
    for whole, cached in zip(*histories, strict=True):
        for name in ("loss", "global", "beta_cal", "gradient_norm", "logit_scale"):
            assert cached[name] == pytest.approx(whole[name], rel=1e-4), name
