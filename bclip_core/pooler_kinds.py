"""Other ways from patches and texts to text-conditioned embeddings, and the choice among all.

Every pooler has the call and the result of `poolers.TextConditionedPooler`, so that evaluation,
attention maps and losses need not know which one it is.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bclip_core.config import PoolerConfig
from bclip_core.losses.global_contrastive import at_least_float32
from bclip_core.poolers import TextConditionedPooler, start_attention_at_identity


class AttentionPooler(nn.Module):
    """FLAIR's text-conditioned attention pooling (arXiv 2412.03561).

    c = MultiHeadAttention(query = LN(text), key = LN(patches), value = LN(patches)), with one
    all-zero key and value appended, so that a text which finds nothing may attend to nothing. No
    MLP and no residual; the loss has its own scale, so the pooler has none. Layout and names are
    those of the authors' code; `init` is as for `TextConditionedPooler`.

    Args:
        dim: D, the width of patches and texts.
        config: heads and init.

    Raises:
        ValueError: `dim` is not divisible by the number of heads.
    """

    logit_scale = None

    def __init__(self, dim: int, config: PoolerConfig) -> None:
        super().__init__()
        self.config = config
        if dim % config.heads:
            raise ValueError(f"dim={dim}, heads={config.heads}: expected dim divisible by heads")
        self.attn = nn.MultiheadAttention(dim, config.heads, batch_first=True, add_zero_attn=True)
        self.ln_q, self.ln_k, self.ln_v = (nn.LayerNorm(dim) for _ in range(3))
        if config.init == "identity":
            start_attention_at_identity(self.attn, gain=1.0)

    def forward(
        self, patches: Tensor, text: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Patches [B, P, D] and text [B, K, D] to [B, K, D] and weights [B, heads, K, P] or None.

        The weights leave out the all-zero key, so they sum to less than 1.
        """
        pooled, weights = self.attn(
            self.ln_q(text),
            self.ln_k(patches),
            self.ln_v(patches),
            need_weights=need_weights,
            average_attn_weights=False,
        )
        return pooled, None if weights is None else weights[..., :-1]


class SimilarityPooler(nn.Module):
    """Similarity-weighted averages of patches without learnt parameters, after SPARC.

    Args:
        config: recorded in checkpoints; nothing in it changes the result.
    """

    logit_scale = None

    def __init__(self, config: PoolerConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, patches: Tensor, text: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Patches [B, P, D] and text [B, K, D] to [B, K, D] and weights [B, 1, K, P] or None."""
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


def build_pooler(dim: int, config: PoolerConfig) -> nn.Module:
    """The pooler of that kind, with fresh weights."""
    if config.kind == "flair":
        return AttentionPooler(dim, config)
    if config.kind == "similarity":
        return SimilarityPooler(config)
    return TextConditionedPooler(dim, config.heads, config.init)
