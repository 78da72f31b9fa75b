"""Similarity-weighted averages of patches, after SPARC (arXiv 2401.09865)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bclip_core.config import PoolerConfig
from bclip_core.losses.numerics import at_least_float32
from bclip_core.poolers.protocol import check_shapes


class SimilarityPooler(nn.Module):
    """Similarity-weighted averages of patches without learnt parameters, after SPARC.

    Args:
        config: recorded in checkpoints; nothing in it changes the result.
    """

    heads = 1
    logit_scale: nn.Parameter | None = None

    def __init__(self, config: PoolerConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, patches: Tensor, text: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Patches [B, P, D] and text [B, K, D] to [B, K, D] and weights [B, 1, K, P] or None."""
        check_shapes(patches, text)
        pooled, weights = sparse_average(patches, text)
        return pooled, weights[:, None] if need_weights else None


def sparse_average(patches: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """SPARC's language-grouped vision embeddings (arXiv 2401.09865).

    For each text (SPARC: each word) the similarities to the P patches are stretched to [0, 1],
    those below 1/P are dropped, and the rest, divided by their sum, are the patches' weights. Equal
    similarities give equal weights. SPARC takes the inner products of adapted tokens; here both
    sides are unit vectors of the shared space.

    Args:
        patches: [B, P, D], normalised inside.
        text: [B, K, D], normalised inside.

    Returns:
        The averages of the unit patches [B, K, D], and the weights [B, K, P], which sum to 1.
    """
    patches = F.normalize(patches, dim=-1)
    similarity = F.normalize(text, dim=-1) @ patches.mT
    similarity = similarity.to(at_least_float32(similarity))
    lowest, highest = similarity.aminmax(dim=-1, keepdim=True)
    stretched = (similarity - lowest) / (highest - lowest).clamp(min=1e-12)
    kept = stretched.where(stretched >= 1 / patches.shape[1], 0)
    kept = kept.where(highest > lowest, 1)
    weights = (kept / kept.sum(-1, keepdim=True)).to(patches.dtype)
    return weights @ patches, weights
