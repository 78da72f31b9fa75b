"""β-CAL whose β reaches some texts of an image only: pair by pair, at its ends, as matrices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bclip_core.losses import beta_cal, beta_cal_targets
from tests.losses.reference import slow_beta_cal
from tests.losses.test_beta_cal_loss import (
    FORMS,
    assert_same,
    betas,
    few,
    forms,
    make_problem,
    problems,
    scales,
    value_and_gradients,
)


def make_relation(problem, seed: int) -> torch.Tensor:
    """Random, symmetric, with and without the diagonal."""
    images, texts = problem.mask.shape
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(images, texts, texts, generator=generator) < 0.35
    return drawn | drawn.mT


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(
    ("form", "normaliser"), [("ce", "pairs"), ("bce", "pairs"), ("bce", "positives")]
)
@settings(few, max_examples=6)
@given(problem=problems, beta=betas, scale=scales, seed=st.integers(0, 99))
def test_definition_pair_by_pair(form, normaliser, ignore, problem, beta, scale, seed):
    related = make_relation(problem, seed)
    options = {
        "beta": beta, "form": form, "related": related, "normaliser": normaliser,
        "duplicates": problem.duplicates if ignore else None,
    }  # fmt: skip
    found = value_and_gradients(problem, scale, chunk_size=3, **options)
    slow = problem.with_gradients()
    multiplier = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    expected = slow_beta_cal(*slow.args, multiplier, **options)
    expected.backward()
    assert_same(found, [expected.detach(), slow.text.grad, slow.image.grad, multiplier.grad], 1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form):
    problem = make_problem(5)
    related = make_relation(problem, 1)
    text, image = problem.with_gradients()[:2]
    scale = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)

    def loss(text, image, scale):
        return beta_cal(text, image, problem.mask, scale, form=form, related=related)

    assert torch.autograd.gradcheck(loss, (text, image, scale))


@few
@given(problems, forms, betas, scales)
def test_all_related_is_the_paper_to_the_bit_and_none_is_beta_zero(problem, form, beta, scale):
    every = torch.ones(*problem.mask.shape, problem.mask.shape[1], dtype=torch.bool)
    options = {"beta": beta, "form": form}
    paper = value_and_gradients(problem, scale, **options)
    found = value_and_gradients(problem, scale, related=every, **options)
    assert [torch.equal(a, b) for a, b in zip(found, paper, strict=True)] == [True] * 4
    alone = value_and_gradients(problem, scale, related=~every, **options)
    assert_same(alone, value_and_gradients(problem, scale, beta=0.0, form=form))


@few
@given(problems, forms, betas, st.integers(0, 99))
def test_target_matrices(problem, form, beta, seed):
    """Rows by the matrix, columns by its transpose: the relation is symmetric."""
    related = make_relation(problem, seed)
    targets, weights = beta_cal_targets(problem.mask, beta, form, related)
    text, image = (
        torch.nn.functional.normalize(x[problem.mask], dim=1) for x in (problem.text, problem.image)
    )
    logits = 5.0 * image @ text.T
    if form == "ce":
        by_row, by_column = targets * logits.log_softmax(1), targets.T * logits.log_softmax(0)
        expected = -(by_row + by_column).sum() / (2 * len(text))
    else:
        positive, negative = (torch.nn.functional.softplus(x) for x in (-logits, logits))
        expected = (weights * (targets * positive + (1 - targets) * negative)).mean()
    found = beta_cal(*problem.args, 5.0, beta=beta, form=form, related=related)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_targets_by_hand():
    mask = torch.tensor([[True, True, True]])
    related = torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], dtype=torch.bool)
    targets, _ = beta_cal_targets(mask, 0.5, "ce", related)
    by_hand = [[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 0, 1]]
    torch.testing.assert_close(targets, torch.tensor(by_hand, dtype=torch.float64))
    targets, weights = beta_cal_targets(mask, 0.25, "bce", related)
    assert targets.tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert weights.tolist() == [[1, 0.25, 0], [0.25, 1, 0], [0, 0, 1]]


@few
@given(problems, forms, betas, st.integers(0, 99))
def test_order_of_images_and_texts_changes_nothing(problem, form, beta, seed):
    related = make_relation(problem, seed)
    generator = torch.Generator().manual_seed(seed)
    images, texts = (torch.randperm(n, generator=generator) for n in problem.mask.shape)
    moved = problem._replace(**{k: v[images][:, texts] for k, v in problem._asdict().items()})
    options = {"beta": beta, "form": form}
    found = beta_cal(*moved.args, 9.0, related=related[images][:, texts][:, :, texts], **options)
    expected = beta_cal(*problem.args, 9.0, related=related, **options)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("related", "message"),
    [
        (torch.ones(3, 4, dtype=torch.bool), r"related torch.bool \[3, 4\]: .*\[3, 4, 4\]"),
        (torch.ones(3, 4, 4), r"related torch.float32 \[3, 4, 4\]: expected torch.bool"),
        (torch.ones(3, 4, 4, dtype=torch.bool).triu(), "expected a symmetric relation"),
    ],
)
def test_another_relation_is_refused(related, message):
    with pytest.raises(ValueError, match=message):
        beta_cal(*make_problem(0).args, 5.0, related=related)
