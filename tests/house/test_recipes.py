"""The README's recipes "add a loss" and "add a pooler", each followed with a toy.

Nothing of the house is changed for them but the entries that the recipes name.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bclip_core.checkpoints import load
from bclip_core.config import ConfigError, PoolerConfig
from bclip_core.evaluation import conditioned_similarity
from bclip_core.evaluation.encoding import encode_images, encode_texts
from bclip_core.model import METHODS, TERMS, Method, Term, register
from bclip_core.poolers import POOLERS
from bclip_core.studies.search import scaled
from bclip_core.train import create_model, find, train
from bclip_core.train.resume import read_history


@pytest.fixture
def house():
    """The catalogue's tables are afterwards as they were."""
    tables = (TERMS, METHODS, POOLERS)
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def short(tiny_config, method, **changes):
    settings = tiny_config.train.replace(steps=2, checkpoint_every=0)
    return tiny_config.replace(method=method, train=settings, **changes)


def run(config, scenes, folder):
    model = train(config, scenes, folder, device="cpu", progress=False)
    return model, read_history(folder / "history.jsonl")


# 1. The objective, a function of embeddings (in the house: losses/margin.py).
def margin_loss(image, text, scale, margin):
    """How far each caption's own image is from leading all others by a margin."""
    cosine = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).mT
    lead = cosine.diagonal()[:, None] - cosine + margin * torch.eye(len(cosine))
    return F.softplus(scale * (margin - lead)).mean()


# 2. The term: what it reads and learns, and its settings (in the house: model/terms.py).
def margin_term(features, config):
    captions, scale = features.text[:, 0], features.learnt["margin_scale"]
    return margin_loss(features.patches.mean(1), captions, scale, config.extra["margin"])


MARGIN = Term(
    margin_term, needs=("patches",), learns={"margin_scale": math.log(5)}, weight="margin_weight",
    settings={"margin_weight": 0.5, "margin": 0.2},
)  # fmt: skip


@pytest.fixture
def with_margin(house):
    """3. The method that sums it (in the house: model/methods.py)."""
    TERMS["margin"] = MARGIN
    return register(Method("with-margin", "global loss + a margin", ("global", "margin")))


def test_a_loss_with_a_weight_and_a_learnt_scale(with_margin, tiny_config, tiny_scenes, tmp_path):
    config = short(tiny_config, "with-margin")
    model, history = run(config, tiny_scenes, tmp_path)
    assert [record["update"] for record in history] == [1, 2]
    for record in history:
        assert record["loss"] == pytest.approx(record["global"] + record["margin"])
    learnt = model.heads.values()["margin_scale"].item()
    assert learnt != pytest.approx(5, abs=1e-6), "the scale has not moved"
    assert learnt == pytest.approx(5, rel=0.05)
    loaded = load(tmp_path / "model.safetensors", config)
    assert loaded.heads.values()["margin_scale"].item() == learnt
    for (name, value), other in zip(
        model.state_dict().items(), loaded.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name


def test_settings_of_ones_own_are_set_recorded_and_checked(
    with_margin, tiny_config, tiny_scenes, tmp_path
):
    usual = short(tiny_config, "with-margin")
    doubled = usual.replace(loss=usual.loss.replace(extra={"margin_weight": 1}))
    _, first = run(usual, tiny_scenes, tmp_path / "usual")
    _, second = run(doubled, tiny_scenes, tmp_path / "doubled")
    assert second[0]["margin"] == pytest.approx(2 * first[0]["margin"], rel=1e-6)
    assert second[0]["global"] == first[0]["global"]
    assert type(usual).from_dict(doubled.to_dict()) == doubled
    assert doubled.changes()["loss"] == {"extra": {"margin_weight": 1.0}}
    assert find(doubled).folder != find(usual).folder
    assert scaled(usual, (1.0, 2.0)) == doubled, "the search varies its weight"
    assert find(scaled(usual, (1.0, 1.0))).folder == find(usual).folder
    with pytest.raises(ConfigError, match=r"loss.extra.margin_weight is 1.0 there, but None was"):
        run(usual, tiny_scenes, tmp_path / "doubled")
    for extra, message in (
        ({"margn": 0.1}, r"loss.extra.margn=0.1: .* one of extra.margin_weight, extra.margin$"),
        ({"margin_weight": -1}, r"loss.extra.margin_weight=-1.0: expected >= 0"),
    ):
        wrong = usual.replace(loss=usual.loss.replace(extra=extra))
        with pytest.raises(ConfigError, match=message):
            run(wrong, tiny_scenes, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


# 1. The pooler, anything with the call and the attributes of `Pooler` (poolers/last_patch.py).
class LastPatch(nn.Module):
    """Every text gets the last patch, moved by a learnt share of the text's own projection."""

    heads = 1

    def __init__(self, dim, config):
        super().__init__()
        self.config = config
        self.shift = nn.Linear(dim, dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, patches, text, need_weights=False):
        weights = F.one_hot(torch.tensor(patches.shape[1] - 1), patches.shape[1])
        weights = weights.to(patches.dtype).expand(*text.shape[:2], -1)
        pooled = F.normalize(weights @ patches, dim=-1) + 0.1 * self.shift(text)
        return pooled, weights[:, None] if need_weights else None


def test_a_pooler(house, tiny_config, tiny_scenes, tmp_path):
    POOLERS["last_patch"] = LastPatch  # 2. its name (poolers/__init__.py)
    terms = ("global", "beta_cal_ce", "cross_ce")  # 3. a method that uses it (model/methods.py)
    register(Method("last-patch", "β-CAL on the last patch", terms, "last_patch"))
    config = short(tiny_config, "last-patch")
    model, history = run(config, tiny_scenes, tmp_path)
    assert {"global", "beta_cal", "cross"} <= history[-1].keys()
    start = create_model(config)
    assert not torch.equal(start.pooler.shift.weight, model.pooler.shift.weight)
    loaded = load(tmp_path / "model.safetensors", config)
    assert isinstance(loaded.pooler, LastPatch)
    assert loaded.pooler.config == PoolerConfig(kind="last_patch")
    assert torch.equal(loaded.pooler.shift.weight, model.pooler.shift.weight)
    pixels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    _, patches = encode_images(loaded.eval(), pixels)
    found = conditioned_similarity(loaded, patches, encode_texts(loaded, ["red", "blue"]))
    assert found.shape == (2, 2)
