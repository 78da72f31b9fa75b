"""FLAIR's pooler and the one without weights: definitions, limits, padding, gradients."""

import pytest
import torch
import torch.nn.functional as F

from bclip_core.config import ConfigError, PoolerConfig
from bclip_core.poolers import AttentionPooler, TextConditionedPooler, build_pooler, sparse_average

B, K, P, D = 2, 3, 6, 16


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def flair():
    torch.manual_seed(0)
    pooler = AttentionPooler(D, PoolerConfig(4, "xavier", "flair")).double()
    for parameter in pooler.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return pooler


def test_flairs_pooler_equals_a_loop_with_a_key_and_value_of_zeros(flair):
    patches, text = draw(B, P, D), draw(B, K, D, seed=1)
    q, k, v = flair.ln_q(text), flair.ln_k(patches), flair.ln_v(patches)
    wq, wk, wv = flair.attn.in_proj_weight.chunk(3)
    bq, bk, bv = flair.attn.in_proj_bias.chunk(3)
    pooled, expected = torch.zeros(B, K, D).double(), torch.zeros(B, 4, K, P).double()
    nothing = torch.zeros(1, D).double()
    for b in range(B):
        keys = torch.cat([k[b] @ wk.T + bk, nothing])
        values = torch.cat([v[b] @ wv.T + bv, nothing])
        for t in range(K):
            query = wq @ q[b, t] + bq
            for head in range(4):
                part = slice(4 * head, 4 * head + 4)
                weights = (keys[:, part] @ query[part] / 2).softmax(0)
                pooled[b, t, part] = weights @ values[:, part]
                expected[b, head, t] = weights[:-1]
    found, weights = flair(patches, text, need_weights=True)
    torch.testing.assert_close(found, flair.attn.out_proj(pooled))
    torch.testing.assert_close(weights, expected)
    assert (weights.sum(-1) < 1).all()
    fused, none = flair(patches, text)
    torch.testing.assert_close(fused, found)
    assert none is None


def slow_sparse(patches, text):
    patches, text = F.normalize(patches, dim=-1), F.normalize(text, dim=-1)
    averages = torch.zeros(text.shape, dtype=torch.float64)
    for b in range(len(text)):
        for k in range(text.shape[1]):
            similarity = [float(p @ text[b, k]) for p in patches[b]]
            low, high = min(similarity), max(similarity)
            stretched = [(s - low) / (high - low) for s in similarity]
            kept = [s if s >= 1 / len(patches[b]) else 0.0 for s in stretched]
            averages[b, k] = sum(w * p for w, p in zip(kept, patches[b], strict=True)) / sum(kept)
    return averages


def test_the_sparse_average_is_its_definition():
    patches, text = draw(B, P, D), draw(B, K, D, seed=1)
    found, weights = sparse_average(patches, text)
    torch.testing.assert_close(found, slow_sparse(patches, text), atol=1e-6, rtol=0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, K).double(), atol=1e-6, rtol=0)
    assert (weights == 0).any(), "nothing is dropped"
    assert (weights.amax(-1) > 1 / P).all()


def test_equal_patches_are_averaged_evenly_with_a_finite_gradient():
    patches = draw(1, 1, D).expand(1, P, D).clone().requires_grad_()
    text = draw(1, K, D, seed=1).requires_grad_()
    found, weights = sparse_average(patches, text)
    torch.testing.assert_close(weights, torch.full((1, K, P), 1 / P).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[0, 0], F.normalize(patches[0, 0], dim=0), atol=1e-6, rtol=0)
    found.sum().backward()
    assert patches.grad.isfinite().all()
    assert text.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["flair", "similarity", "beta_clip"])
def test_every_pooler_is_called_alike_and_reads_each_text_alone(kind):
    torch.manual_seed(0)
    pooler = build_pooler(D, PoolerConfig(4, "xavier", kind)).double()
    patches, text = draw(B, P, D), draw(B, K, D, seed=1)
    found, weights = pooler(patches, text, need_weights=True)
    assert found.shape == (B, K, D)
    assert weights.shape == (B, weights.shape[1], K, P)
    assert (weights >= 0).all()
    padded = torch.cat([text, torch.full((B, 2, D), 5.0).double()], dim=1)
    torch.testing.assert_close(pooler(patches, padded)[0][:, :K], found)
    torch.testing.assert_close(pooler(patches[1:], text[1:])[0], found[1:])
    assert pooler.config.kind == kind


def test_gradients_are_exact(flair):
    patches, text = draw(1, 3, D).requires_grad_(), draw(1, 2, D, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, t: flair(p, t)[0], (patches, text))


def test_kinds_and_widths_are_checked():
    assert isinstance(build_pooler(D, PoolerConfig()), TextConditionedPooler)
    with pytest.raises(ConfigError, match="kind='mean': expected one of beta_clip, flair, simi"):
        build_pooler(24, PoolerConfig(kind="mean"))
    with pytest.raises(ValueError, match="dim=20, heads=8: expected dim divisible by heads"):
        build_pooler(20, PoolerConfig(kind="flair"))
