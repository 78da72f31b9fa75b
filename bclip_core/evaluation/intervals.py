"""How sure a number is: bootstrap over the test items, Student's t over training seeds.

The two answer different questions and are not interchangeable. The bootstrap says how the number
would move with other test items and the same trained model; the t interval over seeds says how it
would move with another training run and the same test items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_CHUNK_DRAWS = 1 << 22  # random indices held at once


class Interval(NamedTuple):
    """A mean with the two ends of its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Tensor | Sequence[float],
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    groups: Tensor | Sequence[int] | None = None,
) -> Interval:
    """Percentile bootstrap of the mean over test items (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: one number or hit per item [N].
        confidence: share of the bootstrap means inside the interval, in (0, 1).
        samples: number of bootstrap draws.
        seed: of the draws; the same seed gives the same interval.
        groups: picture (or other cluster) of each item [N]. Items of one picture are not
            independent, so whole pictures are drawn when it is given.

    Returns:
        The plain mean of the values and the interval.

    Raises:
        ValueError: no value, a value that is not finite, groups of another length, confidence
            outside (0, 1) or samples below 1.
    """
    items = _finite(values)
    _check_confidence(confidence)
    if samples < 1:
        raise ValueError(f"samples={samples}: expected at least 1")
    totals, counts = _cluster_sums(items, groups)
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, _CHUNK_DRAWS // len(totals))
    means = []
    for start in range(0, samples, rows):
        shape = (min(rows, samples - start), len(totals))
        draw = torch.randint(len(totals), shape, generator=generator)
        means.append(totals[draw].sum(dim=1) / counts[draw].sum(dim=1))
    tail = (1 - confidence) / 2
    low, high = torch.quantile(torch.cat(means), torch.tensor([tail, 1 - tail]).double()).tolist()
    return Interval(items.mean().item(), low, high)


def paired_bootstrap_difference(
    first: Tensor | Sequence[float],
    second: Tensor | Sequence[float],
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    groups: Tensor | Sequence[int] | None = None,
) -> Interval:
    """Bootstrap interval of mean(first) - mean(second) on the same items.

    Both methods keep their items together in every draw, so that what is hard for both cancels.

    Args:
        first: one number per item [N].
        second: the other method's numbers on the same items, in the same order [N].
        confidence: as `bootstrap_interval`.
        samples: as `bootstrap_interval`.
        seed: as `bootstrap_interval`.
        groups: as `bootstrap_interval`.

    Raises:
        ValueError: the two differ in length, or as `bootstrap_interval`.
    """
    left, right = _finite(first), _finite(second)
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} values: expected the same items twice")
    return bootstrap_interval(left - right, confidence, samples, seed, groups)


def seed_interval(values: Tensor | Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean over independent training runs: mean +- t s / sqrt(n).

    Args:
        values: the metric of each run [n], n at least 2.
        confidence: in (0, 1).

    Raises:
        ValueError: fewer than two runs, a value that is not finite, or a bad confidence.
    """
    runs = _finite(values)
    _check_confidence(confidence)
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run: expected at least 2, one run has no spread")
    mean, deviation = runs.mean().item(), runs.std().item()
    half = student_t_quantile(confidence, len(runs) - 1) * deviation / math.sqrt(len(runs))
    return Interval(mean, mean - half, mean + half)


def student_t_quantile(confidence: float, degrees: int) -> float:
    """The t with P(|T| < t) = confidence for Student's t with whole `degrees` of freedom.

    Bisection on the angle atan(t / sqrt(degrees)), in which the probability is a finite sum.

    Raises:
        ValueError: confidence outside (0, 1) or degrees below 1.
    """
    _check_confidence(confidence)
    if degrees < 1:
        raise ValueError(f"degrees={degrees}: expected at least 1")
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _two_sided_probability(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def _two_sided_probability(angle: float, degrees: int) -> float:
    """P(|T| < sqrt(degrees) tan(angle)), Abramowitz and Stegun 26.7.3 and 26.7.4."""
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for power in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (power - 1) / power
    if odd:
        return (angle + math.sin(angle) * total) * 2 / math.pi
    return math.sin(angle) * total


def _cluster_sums(items: Tensor, groups: Tensor | Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """Sum and number of the items of each cluster; without groups each item is its own."""
    if groups is None:
        return items, torch.ones_like(items)
    labels = torch.as_tensor(groups)
    if labels.shape != items.shape:
        raise ValueError(f"groups {tuple(labels.shape)}: expected one per value, [{len(items)}]")
    _, cluster = torch.unique(labels.cpu(), return_inverse=True)
    empty = items.new_zeros(int(cluster.max()) + 1)
    ones = torch.ones_like(items)
    return empty.index_add(0, cluster, items), empty.index_add(0, cluster, ones)


def _finite(values: Tensor | Sequence[float]) -> Tensor:
    items = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    if items.ndim != 1 or len(items) == 0:
        raise ValueError(f"values have shape {tuple(items.shape)}: expected [N] with N at least 1")
    if not items.isfinite().all():
        index = int((~items.isfinite()).nonzero()[0])
        raise ValueError(f"values[{index}]={items[index].item()}: expected a finite number")
    return items


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: expected a number between 0 and 1")
