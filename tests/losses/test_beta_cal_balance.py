"""Normaliser and bias of β-CAL's sigmoid form: the definition, and what must not change it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bclip_core.losses import NORMALISERS, base_rate, beta_cal
from tests.losses.reference import slow_beta_cal
from tests.losses.test_beta_cal_loss import (
    LargestTensor,
    Problem,
    assert_same,
    betas,
    few,
    make_problem,
    problems,
    scales,
)

normalisers = st.sampled_from(NORMALISERS)
biases = st.sampled_from([-4.8, 1.5])


def value_and_gradients(problem: Problem, scale: float, bias: float, **options) -> list[Tensor]:
    problem = problem.with_gradients()
    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (scale, bias)]
    loss = beta_cal(*problem.args, numbers[0], form="bce", bias=numbers[1], **options)
    loss.backward()
    return [loss.detach(), problem.text.grad, problem.image.grad, *(x.grad for x in numbers)]


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("mask_padding", [True, False])
@few
@given(problem=problems, normaliser=normalisers, beta=betas, scale=scales, bias=biases)
def test_definition_pair_by_pair(mask_padding, ignore, problem, normaliser, beta, scale, bias):
    duplicates = problem.duplicates if ignore else None
    options = {"mask_padding": mask_padding, "duplicates": duplicates, "normaliser": normaliser}
    found = value_and_gradients(problem, scale, bias, beta=beta, chunk_size=3, **options)
    slow = problem.with_gradients()
    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (scale, bias)]
    expected = slow_beta_cal(*slow.args, numbers[0], beta, "bce", bias=numbers[1], **options)
    expected.backward()
    gradients = [slow.text.grad, slow.image.grad, *(x.grad for x in numbers)]
    assert_same(found, [expected.detach(), *gradients], 1e-10)


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_gradcheck(normaliser):
    problem = make_problem(3, images=2, texts=3).with_gradients()
    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (4.0, -2.0)]

    def loss(text: Tensor, image: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        options = {"form": "bce", "normaliser": normaliser, "bias": bias, "chunk_size": 2}
        return beta_cal(text, image, problem.mask, scale, **options)

    assert torch.autograd.gradcheck(loss, (problem.text, problem.image, *numbers))


def test_the_defaults_are_the_paper_to_the_bit():
    problem = make_problem(4, images=6)
    published = beta_cal(*problem.args, 14.0, form="bce")
    assert torch.equal(published, beta_cal(*problem.args, 14.0, form="bce", normaliser="pairs"))
    assert torch.equal(published, beta_cal(*problem.args, 14.0, form="bce", bias=0.0))
    learnt = torch.zeros((), requires_grad=True)  # a bias that is 0 still has a slope
    beta_cal(*problem.args, 14.0, form="bce", bias=learnt).backward()
    assert learnt.grad.abs() > 1e-3


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_normalisers_differ_by_factors_where_images_have_equally_many_texts(beta):
    problem = make_problem(5, images=5, texts=4)
    full = problem._replace(mask=torch.ones(5, 4, dtype=torch.bool))
    of = {
        name: value_and_gradients(full, 9.0, -1.0, beta=beta, normaliser=name)
        for name in NORMALISERS
    }
    assert_same([20 * x for x in of["pairs"]], of["rows"], 1e-10)
    assert_same([x / (1 + 3 * beta) for x in of["rows"]], of["positives"], 1e-10)


def test_at_beta_zero_positives_are_rows():
    """Each row's only positive is its own text, whatever the number of texts."""
    options = [{"beta": 0.0, "normaliser": name} for name in ("rows", "positives")]
    first, second = (value_and_gradients(make_problem(6), 9.0, -2.0, **one) for one in options)
    assert_same(first, second)


@few
@given(problems, normalisers, scales, biases)
def test_chunks_change_nothing(problem, normaliser, scale, bias):
    options = {"normaliser": normaliser}
    dense = value_and_gradients(problem, scale, bias, chunk_size=10_000, **options)
    for chunk_size in (1, 2, 5, None):
        assert_same(
            value_and_gradients(problem, scale, bias, chunk_size=chunk_size, **options), dense
        )


@few
@given(problems, normalisers, betas, st.sampled_from([1.0, math.inf, math.nan]))
def test_padding_changes_nothing(problem, normaliser, beta, garbage):
    options = {"beta": beta, "normaliser": normaliser}
    images, texts, width = problem.text.shape
    text, image = (x.new_full((images + 1, texts + 2, width), garbage) for x in problem[:2])
    mask = torch.zeros(images + 1, texts + 2, dtype=torch.bool)
    for padded, original in zip((text, image, mask), problem.args, strict=True):
        padded[:images, :texts][problem.mask] = original[problem.mask]
    loss, *gradients = value_and_gradients(problem, 9.0, -2.0, **options)
    padded = value_and_gradients(Problem(text, image, mask, None), 9.0, -2.0, **options)
    expected = [loss, gradients[0][problem.mask], gradients[1][problem.mask], *gradients[2:]]
    assert_same([padded[0], padded[1][mask], padded[2][mask], *padded[3:]], expected)


@few
@given(problems, normalisers, betas, st.integers(0, 10_000))
def test_order_and_the_exchange_of_roles_change_nothing(problem, normaliser, beta, seed):
    options = {"beta": beta, "normaliser": normaliser}
    generator = torch.Generator().manual_seed(seed)
    by_image, by_text = (torch.randperm(n, generator=generator) for n in problem.mask.shape)
    loss, text, image, *scalars = value_and_gradients(problem, 9.0, -2.0, **options)
    moved = Problem(*(x[by_image][:, by_text] for x in problem))
    found = value_and_gradients(moved, 9.0, -2.0, **options)
    assert_same(found, [loss, text[by_image][:, by_text], image[by_image][:, by_text], *scalars])
    swapped = problem._replace(text=problem.image, image=problem.text)
    found = value_and_gradients(swapped, 9.0, -2.0, **options)
    assert_same(found, [loss, image, text, *scalars])


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("scale", [50.0, 1e4])
def test_extreme_logits_stay_exact_in_float32(normaliser, scale):
    problem = make_problem(11, images=4, texts=4, width=8)
    single = Problem(problem.text.float(), problem.image.float(), problem.mask, None)
    options = {"form": "bce", "normaliser": normaliser, "bias": -4.8}
    exact = beta_cal(*problem.args, scale, **options)
    assert float(beta_cal(*single.args, scale, **options)) == pytest.approx(float(exact), rel=1e-4)


def test_no_matrix_of_all_pairs_is_ever_built():
    problem = make_problem(10, images=16, texts=8, width=4).with_gradients()
    rows = int(problem.mask.sum())
    with LargestTensor() as largest:
        beta_cal(
            *problem.args, 9.0, form="bce", chunk_size=8, normaliser="positives", bias=-4.0
        ).backward()
    assert 8 * rows <= largest.elements <= rows**2 // 8


# ---- the base rate


@few
@given(problems, betas)
def test_the_base_rate_is_where_a_constant_predictor_rests(problem, beta):
    mask = torch.cat([problem.mask, torch.ones_like(problem.mask[:1])])  # two images or more
    rate, log_odds, plateau = base_rate(mask, beta)
    assert rate == pytest.approx(1 / (1 + math.exp(-log_odds)))
    ones = torch.ones(*mask.shape, 2, dtype=torch.float64)

    def constant(logit: float) -> float:
        return float(beta_cal(ones, ones, mask, 1.0, form="bce", beta=beta, bias=logit - 1))

    assert constant(log_odds) == pytest.approx(plateau, abs=1e-12)
    assert constant(log_odds) < min(constant(log_odds - 0.1), constant(log_odds + 0.1))


def test_a_bias_at_the_log_odds_has_no_slope_where_all_logits_are_equal():
    mask, zeros = torch.ones(4, 3, dtype=torch.bool), torch.zeros(4, 3, 2, dtype=torch.float64)
    for normaliser in NORMALISERS:
        bias = torch.tensor(base_rate(mask).log_odds, dtype=torch.float64, requires_grad=True)
        beta_cal(zeros, zeros, mask, 1.0, form="bce", normaliser=normaliser, bias=bias).backward()
        assert abs(float(bias.grad)) < 1e-12


def test_a_base_rate_needs_negatives():
    with pytest.raises(ValueError, match=r"mask of shape \[1, 3\]: expected texts of two images"):
        base_rate(torch.ones(1, 3, dtype=torch.bool))
