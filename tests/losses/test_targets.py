"""The matrices that the notebooks draw."""

import pytest
import torch

from bclip_core.losses import beta_cal_targets

MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_ce_targets_by_hand():
    targets, weights = beta_cal_targets(MASK, 0.5)
    by_hand = [[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 0, 1]]
    torch.testing.assert_close(targets, torch.tensor(by_hand, dtype=torch.float64))
    assert (weights == 1).all()


def test_bce_targets_and_weights_by_hand():
    targets, weights = beta_cal_targets(MASK, 0.25, "bce")
    assert targets.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert weights.tolist() == [[1, 0.25, 1], [0.25, 1, 1], [1, 1, 1]]


def test_limits_of_beta():
    mask = torch.ones(2, 4, dtype=torch.bool)
    assert torch.equal(beta_cal_targets(mask, 0.0)[0], torch.eye(8, dtype=torch.float64))
    uniform, _ = beta_cal_targets(mask, 1.0)
    assert torch.equal(uniform, torch.block_diag(*[torch.full((4, 4), 0.25)] * 2).double())


@pytest.mark.parametrize(
    ("mask", "beta", "form", "message"),
    [
        (MASK.float(), 0.5, "ce", r"mask torch.float32 \[2, 3\]: expected torch.bool \[B, K\]"),
        (MASK, -0.1, "ce", r"beta=-0.1: expected a number in \[0, 1\]"),
        (MASK, 0.5, "sum", "form='sum': expected one of ce, bce"),
    ],
)
def test_bad_arguments_are_named(mask, beta, form, message):
    with pytest.raises(ValueError, match=message):
        beta_cal_targets(mask, beta, form)
