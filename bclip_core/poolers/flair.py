"""FLAIR's text-conditioned attention pooling (arXiv 2412.03561)."""

from __future__ import annotations

from torch import Tensor, nn

from bclip_core.config import PoolerConfig
from bclip_core.poolers.protocol import check_shapes
from bclip_core.poolers.text_conditioned import start_attention_at_identity


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

    logit_scale: nn.Parameter | None = None

    def __init__(self, dim: int, config: PoolerConfig) -> None:
        super().__init__()
        self.config = config
        if dim % config.heads:
            raise ValueError(f"dim={dim}, heads={config.heads}: expected dim divisible by heads")
        self.attn = nn.MultiheadAttention(dim, config.heads, batch_first=True, add_zero_attn=True)
        self.ln_q, self.ln_k, self.ln_v = (nn.LayerNorm(dim) for _ in range(3))
        if config.init == "identity":
            start_attention_at_identity(self.attn, gain=1.0)

    @property
    def heads(self) -> int:
        """Maps of weights per text, one for each attention head."""
        return int(self.attn.num_heads)

    def forward(
        self, patches: Tensor, text: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Patches [B, P, D] and text [B, K, D] to [B, K, D] and weights [B, heads, K, P] or None.

        The weights leave out the all-zero key, so they sum to less than 1.
        """
        check_shapes(patches, text, self.attn.embed_dim)
        pooled, weights = self.attn(
            self.ln_q(text),
            self.ln_k(patches),
            self.ln_v(patches),
            need_weights=need_weights,
            average_attn_weights=False,
        )
        return pooled, None if weights is None else weights[..., :-1]
