"""Intervals against published t quantiles, the normal approximation and exact cases."""

import math

import pytest
import torch

from bclip_core.evaluation import (
    Interval,
    bootstrap_interval,
    paired_bootstrap_difference,
    seed_interval,
    student_t_quantile,
)
from bclip_core.evaluation import intervals as intervals_module


def coin_flips(count: int, probability: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator) < probability


@pytest.mark.parametrize(
    ("confidence", "degrees", "expected"),
    [  # two-sided quantiles as printed in every table of Student's t
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 9, 2.262),
        (0.95, 30, 2.042),
        (0.95, 120, 1.980),
        (0.99, 1, 63.657),
        (0.99, 5, 4.032),
        (0.90, 10, 1.812),
        (0.50, 2, 0.816),
    ],
)
def test_t_quantiles_as_in_the_table(confidence: float, degrees: int, expected: float) -> None:
    assert student_t_quantile(confidence, degrees) == pytest.approx(expected, abs=5.1e-4)


def test_t_quantile_tends_to_the_normal_one() -> None:
    assert student_t_quantile(math.erf(2**-0.5), 10_000) == pytest.approx(1.0, abs=1e-4)


def test_seed_interval_by_hand() -> None:
    # Mean 2, standard deviation 1, n = 3: 4.303 / sqrt(3) to each side.
    found = seed_interval([1.0, 2.0, 3.0])
    assert found == pytest.approx((2.0, 2 - 2.484, 2 + 2.484), abs=1e-3)
    assert seed_interval([0.5, 0.5]) == Interval(0.5, 0.5, 0.5)


def test_bootstrap_agrees_with_the_normal_approximation() -> None:
    hits = coin_flips(1000, 0.3, seed=1)
    found = bootstrap_interval(hits)
    mean = hits.double().mean().item()
    half = 1.96 * math.sqrt(mean * (1 - mean) / 1000)
    assert found.mean == mean
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), abs=0.2 * half)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    found = [bootstrap_interval(coin_flips(100, 0.4, seed=s), 0.9, 400) for s in range(200)]
    covered = sum(interval.low <= 0.4 <= interval.high for interval in found) / len(found)
    assert 0.84 < covered < 0.96


def test_bootstrap_is_reproducible_and_independent_of_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hits = coin_flips(50, 0.5, seed=2)
    first = bootstrap_interval(hits, samples=100)
    assert bootstrap_interval(hits, samples=100) == first
    assert bootstrap_interval(hits, samples=100, seed=1) != first
    monkeypatch.setattr(intervals_module, "_CHUNK_DRAWS", 320)
    assert bootstrap_interval(hits, samples=100) == first


def test_confidence_widens_the_interval() -> None:
    hits = coin_flips(80, 0.5, seed=3)
    narrow, wide = (bootstrap_interval(hits, confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_groups_of_copies_count_as_one_item() -> None:
    hits = coin_flips(60, 0.4, seed=4)
    single = bootstrap_interval(hits)
    copies = hits.repeat_interleave(9)
    grouped = bootstrap_interval(copies, groups=torch.arange(60).repeat_interleave(9) * 7 - 3)
    assert grouped == pytest.approx(single)
    ungrouped = bootstrap_interval(copies)
    assert ungrouped.high - ungrouped.low < 0.5 * (grouped.high - grouped.low)


def test_unequal_groups_weigh_by_their_items() -> None:
    # Two pictures are drawn: AA (1/4 of the draws), AB or BA (1/2, mean 3/4 of items), BB (1/4).
    values, groups = [1.0, 1.0, 1.0, 0.0], [5, 5, 5, 8]
    assert bootstrap_interval(values, groups=groups) == Interval(0.75, 0.0, 1.0)
    assert bootstrap_interval(values, 0.2, groups=groups) == Interval(0.75, 0.75, 0.75)


def test_pairing_cancels_what_is_common() -> None:
    generator = torch.Generator().manual_seed(5)
    difficulty = torch.randn(200, generator=generator)
    first, second = difficulty + 0.1, difficulty
    found = paired_bootstrap_difference(first, second)
    assert found == pytest.approx((0.1, 0.1, 0.1), abs=1e-6)
    apart = [bootstrap_interval(values) for values in (first, second)]
    assert apart[0].low < apart[1].high  # unpaired, the two intervals overlap


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"values\[1\]=nan"):
        bootstrap_interval([0.0, math.nan])
    with pytest.raises(ValueError, match="expected \\[N\\]"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="confidence=95"):
        bootstrap_interval([1.0], confidence=95)
    with pytest.raises(ValueError, match="samples=0"):
        bootstrap_interval([1.0], samples=0)
    with pytest.raises(ValueError, match="expected one per value"):
        bootstrap_interval([1.0, 2.0], groups=[0])
    with pytest.raises(ValueError, match="same items twice"):
        paired_bootstrap_difference([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least 2"):
        seed_interval([0.4])
    with pytest.raises(ValueError, match="degrees=0"):
        student_t_quantile(0.95, 0)
