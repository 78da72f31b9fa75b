"""From patches and texts to text-conditioned image embeddings (β-CLIP, arXiv 2512.12678).

Parameter names are those of the authors' released pooler (`attn`, `ln_2`, `mlp.c_fc`,
`mlp.c_proj`, `logit_scale`), so that its weights load without renaming.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from bclip_core.config import PoolerConfig
from bclip_core.poolers.protocol import check_shapes

IDENTITY_GAIN = 20.0
"""Head h of an identity-started pooler has attention logits
IDENTITY_GAIN · ⟨text_h, patch_h⟩ / sqrt(D / heads); without a gain, unit vectors give logits so
close to 0 that every text would start with the same plain average of the patches."""


@torch.no_grad()
def start_attention_at_identity(attention: nn.MultiheadAttention, gain: float) -> None:
    """Every projection becomes the identity; queries and keys share a factor `gain`."""
    identity, root = torch.eye(attention.embed_dim), math.sqrt(gain)
    attention.in_proj_weight.copy_(torch.cat([root * identity, root * identity, identity]))
    attention.out_proj.weight.copy_(identity)


def blurred(patches: Tensor, width: float) -> Tensor:
    """Each patch averaged with its neighbours, of a square grid [B, P, D].

    The weights are those of a Gaussian of that σ, in patches; at the border the outermost patches
    stand for those beyond.

    Raises:
        ValueError: P is no square number.
    """
    side = math.isqrt(patches.shape[1])
    if side**2 != patches.shape[1]:
        raise ValueError(
            f"patches {tuple(patches.shape)}, key_blur={width}: expected a square grid of patches"
        )
    wide = torch.promote_types(patches.dtype, torch.float32)
    places, radius = torch.arange(side, device=patches.device), math.ceil(3 * width)
    reach = torch.arange(-radius, radius + 1, device=patches.device)
    weights = torch.softmax(-(reach.to(wide) ** 2) / (2 * width**2), 0)
    seen = (places[:, None] + reach).clamp(0, side - 1)  # [side, reach]
    mixing = torch.zeros(side, side, device=patches.device, dtype=wide)
    mixing.scatter_add_(1, seen, weights.expand(side, -1))
    whole = torch.kron(mixing, mixing).to(patches.dtype)  # rows and columns at once, [P, P]
    return whole @ patches


class TextConditionedPooler(nn.Module):
    """One cross-attention from texts to patches and a residual MLP, no residual from the text.

    c = MultiHeadAttention(query = text, key = value = patches);  c + MLP(LayerNorm(c)), with
    patches and texts L2-normalised first, an MLP of 4·D hidden units and QuickGELU.

    Args:
        dim: D, the width of patches and texts.
        heads: attention heads; D must be divisible by it.
        init: "identity" starts every projection at the identity (queries and keys share
            `IDENTITY_GAIN`) and the MLP's last layer at zero: the start is an average of the
            normalised patches weighted by their similarity to the text. "xavier" keeps torch's
            default start, as the authors do.

        scale: of the local loss, at the start; the paper's is 1 / 0.07.
        key_blur: width (σ of a Gaussian, in patches) over which each key is averaged with its
            neighbours; 0, as the paper: each patch is its own. A patch is then looked at for what
            lies around it too, and attention peaks inside of things and not on their edges.

    Attributes:
        config: heads, init, scale and blur, as a `PoolerConfig`.
        logit_scale: scalar parameter, the logarithm of the local loss's scale. Not used in
            `forward`.

    Raises:
        ValueError: `dim` is not divisible by `heads`.
        ConfigError: `heads`, `init`, `scale` or `key_blur` is not allowed.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        init: str = "identity",
        scale: float = 1 / 0.07,
        key_blur: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = PoolerConfig(heads, init, scale=scale, key_blur=key_blur)
        if dim % heads:
            raise ValueError(f"dim={dim}, heads={heads}: expected dim divisible by heads")
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(dim, 4 * dim), gelu=QuickGELU(), c_proj=nn.Linear(4 * dim, dim)
            )
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))
        if init == "identity":
            start_attention_at_identity(self.attn, IDENTITY_GAIN)
            last = self.mlp.get_submodule("c_proj")
            nn.init.zeros_(last.get_parameter("weight"))
            nn.init.zeros_(last.get_parameter("bias"))

    @property
    def heads(self) -> int:
        """Maps of weights per text, one for each attention head."""
        return int(self.attn.num_heads)

    def forward(
        self, patches: Tensor, text: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Pool an image's patches once for each of its texts.

        Args:
            patches: [B, P, D]; normalised inside.
            text: [B, K, D]; normalised inside. Each text's result is independent of the others,
                so padded texts need no mask here.
            need_weights: also return the attention; computes it explicitly instead of with the
                fused kernel.

        Returns:
            The conditioned embeddings [B, K, D], not normalised, and the attention weights
            [B, heads, K, P], which sum to 1 over P, or None.

        Raises:
            ValueError: the shapes do not fit each other or the pooler's width, or keys are blurred
                and P is no square number.
        """
        check_shapes(patches, text, self.attn.embed_dim)
        patches = F.normalize(patches, dim=-1)
        width = self.config.key_blur
        pooled, weights = self.attn(
            F.normalize(text, dim=-1),
            blurred(patches, width) if width else patches,
            patches,
            need_weights=need_weights,
            average_attn_weights=False,
        )
        return pooled + self.mlp(self.ln_2(pooled)), weights
