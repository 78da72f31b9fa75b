"""What β-CAL's sigmoid form says of a model that knows nothing but how rare a positive is."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor


class BaseRate(NamedTuple):
    """The best constant logit of a batch, and what the published loss is there.

    Attributes:
        rate: p, the positives' share of the weights of all pairs.
        log_odds: ln(p / (1 - p)), the constant logit at which the loss is lowest.
        plateau: β-CAL's sigmoid form, as published, where every logit is `log_odds`.
    """

    rate: float
    log_odds: float
    plateau: float


def base_rate(mask: Tensor, beta: float = 0.5) -> BaseRate:
    """How rare positives are in a batch, and where a constant predictor comes to rest.

    With n_i valid texts of image i and N of all, the pairs inside images weigh
    W₊ = Σ_i n_i (1 + β (n_i - 1)) and those across images W₋ = N² - Σ_i n_i². Of a constant logit z
    the loss is [W₊ softplus(-z) + W₋ softplus(z)] / N²; its derivative is 0 at σ(z) = p =
    W₊ / (W₊ + W₋), where it is (W₊ + W₋) / N² times the entropy of p.

    Args:
        mask: [B, K] bool, True where a text is real.
        beta: how far other texts of the same image count as positives, in [0, 1].

    Raises:
        ValueError: fewer than two images with a text: then there is no negative pair.
    """
    counts = mask.sum(1).double()
    positives = float((counts * (1 + beta * (counts - 1)).clamp(min=0)).sum())
    pairs = float(counts.sum()) ** 2
    negatives = pairs - float(counts.square().sum())
    if negatives <= 0:
        raise ValueError(f"mask of shape {list(mask.shape)}: expected texts of two images or more")
    rate = positives / (positives + negatives)
    entropy = -(positives * math.log(rate) + negatives * math.log1p(-rate))
    return BaseRate(rate, math.log(positives / negatives), entropy / pairs)
