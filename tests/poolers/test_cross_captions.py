"""Every image pooled with every caption, against one pair at a time; and the loss that reads it."""

import math

import pytest
import torch

from bclip_core.config import PoolerConfig, RunConfig, TrainConfig
from bclip_core.losses import conditioned_contrastive
from bclip_core.model import METHODS
from bclip_core.poolers import build_pooler, cross_captions, crossing


@pytest.fixture
def problem():
    torch.manual_seed(3)
    pooler = build_pooler(8, PoolerConfig(heads=2, init="xavier")).double()
    patches, caption = torch.randn(5, 7, 8).double(), torch.randn(5, 8).double()
    return pooler, patches.requires_grad_(), caption.requires_grad_()


def one_by_one(pooler, patches, caption):
    """[image, caption]"""
    rows = []
    for image in patches:
        pooled = [pooler(image[None], text[None, None])[0][0, 0] for text in caption]
        rows.append(
            torch.stack(
                [torch.cosine_similarity(x, t, 0) for x, t in zip(pooled, caption, strict=True)]
            )
        )
    return torch.stack(rows)


def test_cosines_pair_by_pair_and_the_own_ones_first(problem):
    found, cosines = cross_captions(*problem), one_by_one(*problem)
    assert found.shape == (5, 2, 5)
    for b in range(5):
        for m in range(5):
            other = (b + m) % 5
            torch.testing.assert_close(found[b, 0, m], cosines[other, b])
            torch.testing.assert_close(found[b, 1, m], cosines[b, other])


def test_few_captions_at_a_time_change_neither_value_nor_gradient(problem, monkeypatch):
    def value_and_gradients():
        loss = conditioned_contrastive(cross_captions(*problem), 9.0)
        return [loss, *torch.autograd.grad(loss, [*problem[0].parameters(), *problem[1:]],
                                           allow_unused=True)]  # fmt: skip

    whole = value_and_gradients()
    monkeypatch.setattr(crossing, "CAPTIONS_AT_A_TIME", 2)
    for a, b in zip(value_and_gradients(), whole, strict=True):
        if b is not None:
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_loss_is_infonce_over_images_and_over_captions(problem):
    cosines = one_by_one(*problem)
    expected = torch.zeros((), dtype=torch.float64)
    for b in range(5):
        for row in (cosines[:, b], cosines[b]):
            expected -= (9 * row).log_softmax(0)[b] / 10
    found = conditioned_contrastive(cross_captions(*problem), torch.tensor(9.0).double())
    torch.testing.assert_close(found, expected)


def test_a_pooler_that_copies_the_text_is_at_chance():
    """The same for every image: the log of their number, in the first way."""
    cosines = torch.full((6, 2, 6), 0.8).double()
    assert conditioned_contrastive(cosines, 50.0).item() == pytest.approx(math.log(6))


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"cosines \[4, 4\]: expected \[B, 2, M\]"):
        conditioned_contrastive(torch.zeros(4, 4), 1.0)


def test_only_the_method_with_captions_pools_them():
    assert METHODS["beta-clip-ce-captions"].reading(RunConfig()).crossed_captions
    assert not METHODS["beta-clip-ce-cross"].reading(RunConfig()).crossed_captions
    assert METHODS["beta-clip-ce-captions"].weights == (
        "beta_cal_weight", "captions_weight", "cross_weight",
    )  # fmt: skip


def test_a_gradient_cache_is_refused(tiny_config, tiny_scenes, tmp_path):
    from bclip_core.config import ConfigError
    from bclip_core.train import train

    config = tiny_config.replace(
        method="beta-clip-ce-captions", train=TrainConfig(steps=2, batch_size=6, gradient_cache=3)
    )
    with pytest.raises(ConfigError, match=r"gradient_cache=3: expected 0 .*beta-clip-ce-captions"):
        train(config, tiny_scenes, tmp_path, progress=False)
