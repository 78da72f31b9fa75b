"""From patches and texts to text-conditioned image embeddings: one file a pooler.

A pooler is anything with the call and the attributes of `Pooler`; `POOLERS` knows them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bclip_core.config import ConfigError, PoolerConfig
from bclip_core.poolers.crossing import cross_alike, cross_captions, cross_images
from bclip_core.poolers.flair import AttentionPooler
from bclip_core.poolers.protocol import Pooler
from bclip_core.poolers.sparc import SimilarityPooler, sparse_average
from bclip_core.poolers.text_conditioned import TextConditionedPooler

POOLERS: dict[str, Callable[[int, PoolerConfig], Pooler]] = {
    "beta_clip": lambda dim, config: TextConditionedPooler(
        dim, config.heads, config.init, config.scale, config.key_blur
    ),
    "flair": AttentionPooler,
    "similarity": lambda dim, config: SimilarityPooler(config),
}
"""Name -> what makes one of width D with fresh weights. A reader's own is one more entry."""


_NORMALISATION = {
    "beta_clip": "texts and patches of length 1, residual MLP",
    "flair": "texts and patches as they are, layer norms inside, one zero key",
    "similarity": "texts and patches of length 1, no parameters",
}


def describe_pooler(config: PoolerConfig) -> dict[str, Any]:
    """What a pooler is and how it normalises, in plain values for reading."""
    known = _NORMALISATION.get(config.kind, "as its author says")
    blur = {"key_blur": config.key_blur} if config.key_blur else {}
    return {"kind": config.kind, "heads": config.heads, "normalisation": known, **blur}


def build_pooler(dim: int, config: PoolerConfig) -> Pooler:
    """The pooler of that kind, with fresh weights.

    Raises:
        ConfigError: no such kind (the message lists the known ones), or heads that do not fit.
    """
    if config.kind not in POOLERS:
        raise ConfigError(f"kind={config.kind!r}: expected one of {', '.join(POOLERS)}")
    try:
        return POOLERS[config.kind](dim, config)
    except ValueError as error:
        raise ConfigError(f"pooler.heads={config.heads}, kind {config.kind!r}: {error}") from error


__all__ = [
    "POOLERS",
    "AttentionPooler",
    "Pooler",
    "SimilarityPooler",
    "TextConditionedPooler",
    "build_pooler",
    "cross_alike",
    "cross_captions",
    "cross_images",
    "describe_pooler",
    "sparse_average",
]
