from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from bclip_core.config import ConfigError
from bclip_core.poolers import TextConditionedPooler
from bclip_core.poolers.text_conditioned import IDENTITY_GAIN

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "pooler.safetensors")
B, K, P, D = 3, 4, 6, 16


def golden_pooler() -> TextConditionedPooler:
    pooler = TextConditionedPooler(32, heads=4)
    weights = {k.removeprefix("weights."): v for k, v in GOLDEN.items() if k.startswith("weights.")}
    pooler.load_state_dict(weights)
    return pooler


def random_case(seed: int, init: str = "xavier") -> tuple[TextConditionedPooler, Tensor, Tensor]:
    torch.manual_seed(seed)
    pooler = TextConditionedPooler(D, heads=4, init=init).double()
    for parameter in pooler.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return pooler, torch.randn(B, P, D).double(), torch.randn(B, K, D).double()


@pytest.mark.parametrize("need_weights", [False, True])
def test_output_and_gradients_equal_the_authors(need_weights: bool) -> None:
    pooler = golden_pooler()
    patches, text = (GOLDEN[name].clone().requires_grad_() for name in ("patches", "text"))
    output, weights = pooler(patches, text, need_weights=need_weights)
    torch.testing.assert_close(output, GOLDEN["output"], atol=1e-5, rtol=1e-5)
    if need_weights:
        golden_weights = GOLDEN["attn_weights_per_head"]
        torch.testing.assert_close(weights, golden_weights, atol=1e-6, rtol=1e-5)
    else:
        assert weights is None
    (output * GOLDEN["cotangent"]).sum().backward()
    gradients = {name: p.grad for name, p in pooler.named_parameters() if name != "logit_scale"}
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, GOLDEN[f"grad.{name}"], atol=1e-5, rtol=1e-4)
    # The stored gradients treat the normalised inputs as given; ours go on through the
    # normalisation, which removes the part along the vector itself.
    for given_, name in ((patches, "grad_patches"), (text, "grad_text")):
        unit = given_.detach()
        along = (GOLDEN[name] * unit).sum(-1, keepdim=True) * unit
        torch.testing.assert_close(given_.grad, GOLDEN[name] - along, atol=1e-5, rtol=1e-4)


def test_output_equals_a_loop_over_heads() -> None:
    pooler, patches, text = random_case(0)
    p, t = F.normalize(patches, dim=-1), F.normalize(text, dim=-1)
    wq, wk, wv = pooler.attn.in_proj_weight.chunk(3)
    bq, bk, bv = pooler.attn.in_proj_bias.chunk(3)
    pooled = torch.zeros(B, K, D).double()
    for image in range(B):
        for row in range(K):
            q, k, v = wq @ t[image, row] + bq, p[image] @ wk.T + bk, p[image] @ wv.T + bv
            for head in range(4):
                part = slice(4 * head, 4 * head + 4)
                weights = (k[:, part] @ q[part] / 2).softmax(0)
                pooled[image, row, part] = weights @ v[:, part]
    pooled = pooler.attn.out_proj(pooled)
    hidden = pooler.mlp[0](pooler.ln_2(pooled))
    expected = pooled + pooler.mlp[2](hidden * torch.sigmoid(1.702 * hidden))
    torch.testing.assert_close(pooler(patches, text)[0], expected, atol=1e-12, rtol=1e-10)


def test_gradients_are_exact_in_float64() -> None:
    torch.manual_seed(1)
    pooler = TextConditionedPooler(8, heads=2, init="xavier").double()
    patches = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    text = torch.randn(2, 2, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, t: pooler(p, t)[0], (patches, text))
    assert torch.autograd.gradcheck(lambda p, t: pooler(p, t, True)[1], (patches, text))


@settings(derandomize=True, deadline=None, max_examples=10)
@given(st.integers(0, 99), st.permutations(range(K)), st.permutations(range(P)))
def test_order_of_patches_is_irrelevant_and_order_of_texts_is_kept(
    seed: int, texts: list[int], places: list[int]
) -> None:
    pooler, patches, text = random_case(seed)
    expected, weights = pooler(patches, text, need_weights=True)
    found, found_weights = pooler(patches[:, places], text[:, texts], need_weights=True)
    torch.testing.assert_close(found, expected[:, texts])
    torch.testing.assert_close(found_weights, weights[:, :, texts][..., places])


@settings(derandomize=True, deadline=None, max_examples=10)
@given(st.integers(0, 99), st.integers(0, 3), st.floats(0.01, 100.0))
def test_a_text_depends_neither_on_other_texts_nor_on_padding_nor_on_lengths(
    seed: int, padding: int, length: float
) -> None:
    pooler, patches, text = random_case(seed)
    expected, _ = pooler(patches, text)
    padded = torch.cat([text, torch.zeros(B, padding, D).double()], dim=1)
    torch.testing.assert_close(pooler(patches, padded)[0][:, :K], expected)
    for k in range(K):
        torch.testing.assert_close(pooler(patches, text[:, [k]])[0][:, 0], expected[:, k])
    torch.testing.assert_close(pooler(patches * length, text / length)[0], expected)


def test_an_image_depends_on_its_own_patches_alone() -> None:
    pooler, patches, text = random_case(3)
    expected, _ = pooler(patches, text)
    torch.testing.assert_close(pooler(patches[1:2], text[1:2])[0], expected[1:2])


def test_weights_sum_to_one_for_every_head() -> None:
    pooler, patches, text = random_case(4)
    _, weights = pooler(patches, text, need_weights=True)
    assert weights is not None
    assert weights.shape == (B, 4, K, P)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, 4, K).double())
    assert (weights >= 0).all()


def test_identity_start_is_a_similarity_weighted_average_of_the_patches() -> None:
    pooler = TextConditionedPooler(D, heads=4).double()
    torch.manual_seed(5)
    patches, text = torch.randn(B, P, D).double(), torch.randn(B, K, D).double()
    output, _ = pooler(patches, text)
    p, t = (F.normalize(x, dim=-1).unflatten(-1, (4, 4)) for x in (patches, text))
    logits = IDENTITY_GAIN * torch.einsum("bkhd,bphd->bhkp", t, p) / 4**0.5
    expected = torch.einsum("bhkp,bphd->bkhd", logits.softmax(-1), p).flatten(2)
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-6)


def test_xavier_start_is_torchs_default() -> None:
    torch.manual_seed(6)
    pooler = TextConditionedPooler(D, heads=4, init="xavier")
    torch.manual_seed(6)
    plain = torch.nn.MultiheadAttention(D, 4)
    torch.testing.assert_close(pooler.attn.in_proj_weight, plain.in_proj_weight)
    torch.testing.assert_close(pooler.logit_scale.exp(), torch.tensor(1 / 0.07))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="dim=20, heads=8: expected dim divisible by heads"):
        TextConditionedPooler(20)
    with pytest.raises(ConfigError, match="init='zeros'"):
        TextConditionedPooler(16, init="zeros")
    with pytest.raises(ConfigError, match="heads=0"):
        TextConditionedPooler(16, heads=0)
