"""How much of a text-conditioned embedding is the text, not the image.

An image pooled under a text can carry the text to the output. Two measures: retrieval with one
identical picture, where whatever is found was found in the text; and the share of the embedding's
variance that the text alone explains. Neither is enough alone: attention picks other patches of a
picture for other texts, so an untrained pooler, too, is above chance with an identical picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bclip_core.evaluation.conditioned import HasPooler, own_caption_similarity
from bclip_core.evaluation.retrieval import retrieval_metrics


class VarianceShares(NamedTuple):
    """Parts of the variance of conditioned embeddings over all pairs of images and texts; sum 1.

    Attributes:
        text: explained by the text alone, whatever the image.
        image: explained by the image alone, whatever the text.
        pair: the rest, which takes both: what conditioning is for.
    """

    text: float
    image: float
    pair: float


@torch.no_grad()
def identical_picture_recall(
    model: HasPooler, patches: Tensor, text: Tensor, reference: Tensor | None = None
) -> dict[str, float]:
    """R@1 of the authors' protocol when all texts come with one and the same picture.

    The picture is pooled once with each text; each result must find its text and the reverse.
    Averaged over pictures, each alone. By chance 1 / Q.

    Args:
        model: anything with a `pooler`; in eval mode.
        patches: of the pictures, [N, P, D].
        text: [Q, D].
        reference: [Q, D], taken from the conditioned embedding of each text before the cosine;
            usually `mean_conditioned` of other pictures.

    Returns:
        `t2i_R@1` and `i2t_R@1`.

    Raises:
        ValueError: the model has no pooler.
    """
    if model.pooler is None:
        raise ValueError("model.pooler is None: expected a model with a text-conditioned pooler")
    centre = 0.0 if reference is None else reference
    relevant = torch.eye(len(text), dtype=torch.bool)
    found: dict[str, list[float]] = {"t2i_R@1": [], "i2t_R@1": []}
    for picture in patches:
        conditioned = model.pooler(picture[None].to(text.device), text[None])[0][0]
        similarity = own_caption_similarity(conditioned - centre, text).cpu()
        recall = retrieval_metrics(similarity, relevant, ks=(1,)).recall
        for name, values in found.items():
            values.append(recall[name])
    return {name: sum(values) / len(values) for name, values in found.items()}


@torch.no_grad()
def variance_shares(model: HasPooler, patches: Tensor, text: Tensor) -> VarianceShares:
    """Split the variance of unit conditioned embeddings c(i, t) over the whole grid of pairs.

    With means over the left-out index: text is E_t |c(·, t) - c(·, ·)|², image is
    E_i |c(i, ·) - c(·, ·)|², both over E |c(i, t) - c(·, ·)|²; a two-way analysis of variance
    without repetition. Few images leave noise in the text's share, about 1/M of the rest.

    Args:
        model: anything with a `pooler`; in eval mode.
        patches: of M images, [M, P, D].
        text: [Q, D].

    Raises:
        ValueError: the model has no pooler, or fewer than two images or texts.
    """
    if model.pooler is None:
        raise ValueError("model.pooler is None: expected a model with a text-conditioned pooler")
    if len(patches) < 2 or len(text) < 2:
        raise ValueError(f"{len(patches)} images, {len(text)} texts: expected at least two of each")
    pairs = [model.pooler(picture[None].to(text.device), text[None])[0] for picture in patches]
    grid = torch.cat(pairs)
    unit = F.normalize(grid.double(), dim=-1)  # [M, Q, D]
    centred = unit - unit.mean((0, 1))
    total = centred.square().sum(-1).mean().item()
    by_text = centred.mean(0).square().sum(-1).mean().item() / total
    by_image = centred.mean(1).square().sum(-1).mean().item() / total
    return VarianceShares(by_text, by_image, 1 - by_text - by_image)
