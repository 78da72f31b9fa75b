"""β-CAL and InfoNCE as their definitions read: one pair at a time, in float64, nothing shared."""

import math

import torch
from torch import Tensor


def slow_global_contrastive(image: Tensor, text: Tensor, scale: float) -> Tensor:
    image, text = unit(image), unit(text)
    total = torch.zeros((), dtype=torch.float64)
    for a in range(len(image)):
        forward = [scale * dot(image[a], text[b]) for b in range(len(text))]
        backward = [scale * dot(image[b], text[a]) for b in range(len(text))]
        total = total - log_softmax(forward, a) - log_softmax(backward, a)
    return total / (2 * len(image))


def slow_beta_cal(
    text: Tensor,
    image: Tensor,
    mask: Tensor,
    scale: Tensor | float,
    beta: float,
    form: str,
    mask_padding: bool = True,
    duplicates: Tensor | None = None,
    normaliser: str = "pairs",
    bias: Tensor | float = 0.0,
    related: Tensor | None = None,
) -> Tensor:
    images, texts = mask.shape
    every = [(i, k) for i in range(images) for k in range(texts)]
    valid = [pair for pair in every if mask[pair]]
    in_softmax = valid if mask_padding else every
    image, text = unit(image), unit(text)

    def logit(a: tuple[int, int], b: tuple[int, int]) -> Tensor:
        return scale * dot(image[a], text[b])

    def is_ignored(a: tuple[int, int], b: tuple[int, int]) -> bool:
        if duplicates is None or a[0] == b[0] or not (mask[a] and mask[b]):
            return False
        return bool(duplicates[a] == duplicates[b])

    def share(a: tuple[int, int], b: tuple[int, int]) -> float:
        if a == b:
            return 1.0
        return beta if related is None or related[a[0], a[1], b[1]] else 0.0

    total = torch.zeros((), dtype=torch.float64)
    if form == "bce":
        counted = len(valid) if mask_padding else len(every)
        divisors = {a: {"pairs": counted, "rows": 1.0}.get(normaliser) for a in valid}
        if normaliser == "positives":
            divisors = {a: sum(share(a, b) for b in valid if b[0] == a[0]) for a in valid}
        for a in valid:
            for b in valid:
                s, of_pair = logit(a, b) + bias, (1 / divisors[a] + 1 / divisors[b]) / 2
                if a[0] == b[0]:
                    total = total + of_pair * share(a, b) * softplus(-s)
                elif not is_ignored(a, b):
                    total = total + of_pair * softplus(s)
        return total / counted
    for a in valid:
        others = [b for b in in_softmax if not is_ignored(a, b)]
        positives = [b for b in valid if b[0] == a[0]]
        targets = {b: share(a, b) for b in positives}
        for logits in ([logit(a, b) for b in others], [logit(b, a) for b in others]):
            for b in positives:
                part = targets[b] / sum(targets.values())
                total = total - part * log_softmax(logits, others.index(b))
    return total / (2 * len(valid))


def unit(rows: Tensor) -> Tensor:
    return rows.double() / rows.double().pow(2).sum(-1, keepdim=True).sqrt()


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum()


def softplus(s: Tensor) -> Tensor:
    largest = max(float(s.detach()), 0.0)
    return largest + torch.log(math.exp(-largest) + torch.exp(s - largest))


def log_softmax(logits: list[Tensor], index: int) -> Tensor:
    largest = max(float(s.detach()) for s in logits)
    return logits[index] - largest - torch.log(sum(torch.exp(s - largest) for s in logits))
