"""The leak of conditioned embeddings: measures on poolers whose leak is known, and every method's.

The identical-picture test shows all captions with one picture. What each pooler may show there:

- one that ignores the text: chance;
- one that copies the text: everything, though it looks at no picture;
- a method's own before training: anything in between, since a text selects patches. So the test
  bounds no method by itself; the share of variance that the text alone explains stands beside it.
"""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from bclip_core.config import BackboneConfig, LossConfig, PoolerConfig, RunConfig
from bclip_core.evaluation import (
    conditioned_similarity,
    identical_picture_recall,
    mean_conditioned,
    variance_shares,
)
from bclip_core.losses import beta_cal, cross_conditioned
from bclip_core.model import METHODS
from bclip_core.poolers import build_pooler
from bclip_core.studies.leak.measure import measure_leak
from bclip_core.train import create_model

D, P = 32, 20
CONDITIONED = [name for name, method in METHODS.items() if method.pooler]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model_of(pool):
    """A model whose pooler gives `pool(mean patch [B, 1, D], text [B, K, D])`."""
    return SimpleNamespace(pooler=lambda p, t: (pool(p.mean(1, keepdim=True), t), None))


COPIES = model_of(lambda image, text: text + 0 * image)
LOOKS = model_of(lambda image, text: image.expand_as(text))
BOTH = model_of(lambda image, text: image + text)
PAIRS = model_of(lambda image, text: image * text)


def test_a_pooler_that_copies_the_text_finds_everything_in_one_picture():
    found = identical_picture_recall(COPIES, draw(3, P, D), draw(50, D, seed=1))
    assert found == {"t2i_R@1": 1.0, "i2t_R@1": 1.0}


def test_a_pooler_that_ignores_the_text_finds_nothing_but_by_chance():
    found = identical_picture_recall(LOOKS, draw(3, P, D), draw(50, D, seed=1))
    assert found["t2i_R@1"] == 0.0, "all pictures tie, and a tie is a miss"
    assert found["i2t_R@1"] <= 1 / 50 + 1e-9


def test_centring_takes_away_what_is_added_of_the_text_and_nothing_else():
    # Eighths, and eight pictures of one patch: sums and means without rounding.
    patches, text, others = (
        torch.round(8 * draw(*shape, seed=seed)) / 8
        for seed, shape in enumerate([(3, 1, D), (50, D), (8, 1, D)])
    )
    assert identical_picture_recall(BOTH, patches, text)["t2i_R@1"] > 0.9
    centre = mean_conditioned(BOTH, others, text)
    found = identical_picture_recall(BOTH, patches, text, centre)
    assert found["t2i_R@1"] == 0.0, "what is left is the picture: all texts tie, which is a miss"
    assert found["i2t_R@1"] <= 1 / 50 + 1e-9
    centre = mean_conditioned(PAIRS, others, text)
    found = identical_picture_recall(PAIRS, patches, text, centre)
    centred = model_of(lambda image, t: image * t - centre)
    assert found == identical_picture_recall(centred, patches, text)
    assert found != identical_picture_recall(PAIRS, patches, text)


@pytest.mark.parametrize(
    ("model", "text", "image"), [(COPIES, 1, 0), (LOOKS, 0, 1), (BOTH, None, None)]
)
def test_the_variance_is_where_the_pooler_puts_it(model, text, image):
    shares = variance_shares(model, draw(12, P, D), draw(15, D, seed=1))
    assert sum(shares) == pytest.approx(1)
    if text is None:
        assert shares.text > 0.5 > shares.image > 0.01  # a mean patch is shorter than a text
        assert shares.pair < 0.2
    else:
        assert shares[:2] == (pytest.approx(text, abs=1e-6), pytest.approx(image, abs=1e-6))


def test_the_shares_are_those_of_a_loop():
    patches, text = draw(4, P, D).double(), draw(5, D, seed=1).double()
    grid = [[F.normalize(p.mean(0) * t, dim=0) for t in text] for p in patches]
    mean = sum(sum(row) for row in grid) / 20
    total = sum(float((c - mean) @ (c - mean)) for row in grid for c in row) / 20
    of_text = [sum(grid[i][t] for i in range(4)) / 4 - mean for t in range(5)]
    of_image = [sum(grid[i][t] for t in range(5)) / 5 - mean for i in range(4)]
    shares = variance_shares(PAIRS, patches, text)
    assert shares.text == pytest.approx(sum(float(v @ v) for v in of_text) / 5 / total)
    assert shares.image == pytest.approx(sum(float(v @ v) for v in of_image) / 4 / total)


def test_the_mean_over_references_takes_an_added_text_away():
    candidates, references, text = draw(9, P, D), draw(30, P, D, seed=2), draw(9, D, seed=1)
    centre = mean_conditioned(BOTH, references, text)
    torch.testing.assert_close(centre, text + references.mean((0, 1)))
    found = conditioned_similarity(BOTH, candidates, text, reference=centre)
    left = candidates.mean(1) - references.mean((0, 1))
    expected = F.normalize(text, dim=1) @ F.normalize(left, dim=1).T
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    unchanged = conditioned_similarity(BOTH, candidates, text, reference=torch.zeros_like(text))
    torch.testing.assert_close(unchanged, conditioned_similarity(BOTH, candidates, text))


def adapted(loss, conditioning):
    """A pooler of a text's copy and of the image, mixed as much as a loss asks of it."""
    torch.manual_seed(0)
    mixed = torch.zeros((), requires_grad=True)  # > 0: more text
    optimizer = torch.optim.Adam([mixed], lr=0.05)
    for step in range(60):
        text = draw(16, 1, D, seed=step)
        image = F.normalize(text, dim=-1) + 0.6 * draw(16, 1, D, seed=1000 + step)
        share = torch.sigmoid(mixed)
        own = share * F.normalize(text, dim=-1) + (1 - share) * F.normalize(image, dim=-1)
        others = torch.stack([
            share * F.normalize(text, dim=-1) + (1 - share) * F.normalize(image.roll(s, 0), dim=-1)
            for s in range(1, 16)
        ], dim=2)  # fmt: skip
        value = loss(text, own, others) if conditioning == "cross" else loss(text, own)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return torch.sigmoid(mixed).item()


def test_own_conditioning_learns_to_copy_the_text_and_cross_conditioning_does_not():
    """A toy: the copied share starts at one half, and the image tells its text with noise."""
    mask = torch.ones(16, 1, dtype=torch.bool)

    def own(form):
        return adapted(lambda t, c: beta_cal(t, c, mask, 10.0, form=form), "own")

    def cross(form):
        return adapted(
            lambda t, c, o: cross_conditioned(
                F.cosine_similarity(c, t, dim=-1), F.cosine_similarity(o, t[:, :, None], dim=-1),
                mask, 10.0, form=form, bias=-5.0,
            ),
            "cross",
        )  # fmt: skip

    assert own("ce") > 0.7
    assert own("bce") > cross("bce") + 0.1
    assert max(cross("ce"), cross("bce")) < 0.3


@torch.no_grad()
@pytest.mark.parametrize("name", CONDITIONED)
def test_every_conditioned_method_before_training(name, held_out_scenes):
    """Above chance already, by selection alone; and exactly chance where all patches are equal."""
    config = RunConfig(
        name, BackboneConfig("scene-tiny"), PoolerConfig(), loss=LossConfig(cross_images=2)
    )
    model = create_model(config).eval()
    text = F.normalize(draw(24, 64, seed=3), dim=-1)
    varied = identical_picture_recall(model, draw(4, 64, 64), text)
    assert varied["t2i_R@1"] > 3 / 24, "selection of patches shows the text"
    flat = draw(2, 1, 64, seed=4).expand(2, 64, 64)
    found = identical_picture_recall(model, flat, text)
    if METHODS[name].pooler != "flair":  # it may also attend to nothing, more or less by text
        shares = variance_shares(model, torch.cat([flat, 2 + flat]), text)
        assert shares.text < 1e-3
    assert found["i2t_R@1"] <= 2 / 24
    leak = measure_leak(model, held_out_scenes)
    assert leak["identical/chance"] == 1 / 12
    assert leak["share/text"] + leak["share/image"] + leak["share/pair"] == pytest.approx(1)
    assert all(0 <= value <= 1 for value in leak.values())


def test_the_leak_is_structural_before_training_and_xavier_has_none():
    """An untrained identity start shows its text on random vectors; torch's default start not."""
    text, patches = F.normalize(draw(40, 64), dim=-1), draw(3, 64, 64, seed=2)
    recall = {}
    for init in ("identity", "xavier"):
        torch.manual_seed(0)
        pooler = build_pooler(64, PoolerConfig(init=init))
        recall[init] = identical_picture_recall(SimpleNamespace(pooler=pooler), patches, text)
    assert recall["identity"]["t2i_R@1"] > 0.3
    assert recall["xavier"]["t2i_R@1"] < 0.15


def test_every_head_spells_out_a_part_of_the_text():
    """Untrained, random vectors, three patches: the more heads pick apart, the more is told."""
    text, patches = F.normalize(draw(200, 64), dim=-1), draw(3, 3, 64, seed=2)
    poolers = [build_pooler(64, PoolerConfig(heads=heads)) for heads in (1, 2, 4, 8)]
    found = [
        identical_picture_recall(SimpleNamespace(pooler=pooler), patches, text)["t2i_R@1"]
        for pooler in poolers
    ]
    assert found == sorted(found)
    assert found[0] < 0.1
    assert found[-1] > 0.8


def test_without_a_pooler_there_is_nothing_to_leak(held_out_scenes):
    model = create_model(RunConfig("clip-ft", BackboneConfig("scene-tiny")))
    assert measure_leak(model, held_out_scenes) == {}
    with pytest.raises(ValueError, match=r"model\.pooler is None"):
        identical_picture_recall(model, draw(1, P, D), draw(2, D))
    with pytest.raises(ValueError, match=r"model\.pooler is None"):
        variance_shares(model, draw(2, P, D), draw(2, D))
    with pytest.raises(ValueError, match="1 images, 2 texts: expected at least two of each"):
        variance_shares(LOOKS, draw(1, P, D), draw(2, D))
