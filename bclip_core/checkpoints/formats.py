"""Which released format a file is of, told by the names that it holds; and those that are refused.

A format that cannot be computed here is refused by its own name with what is missing, rather than
by a list of weights that do not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from bclip_core.backbone import KEPT_POSITIONS, CheckpointError
from bclip_core.checkpoints.hugging_face import from_hugging_face, is_hugging_face
from bclip_core.checkpoints.layout import Layout

READ = (
    "this collection's own, OpenAI, open_clip (DreamLIP and other training checkpoints), β-CLIP, "
    "Long-CLIP, FLAIR, FG-CLIP 1, GOAL, Hugging Face CLIPModel"
)
# Beside the weights of OpenAI's and old files of open_clip; they follow from the architecture.
_NO_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size", "attn_mask"})
_FROZEN, _TRAINED = "positional_embedding", "positional_embedding_res"
_FLAIR_POOLER = "visual_proj."
_SHOWN = 5

_REFUSED: tuple[tuple[str, str, Callable[[Iterable[str]], bool]], ...] = (
    ("FG-CLIP 2", "its towers are SigLIP 2's (patches of any number, no class token, attention "
     "pooling), which are not built here",
     lambda names: _any(names, r"^(longtext_head|boxtext_head|dense_feature_head)\b")),
    ("CoCa", "its decoder of captions and its pooled tokens are not built here",
     lambda names: _any(names, r"^text_decoder\.")),
    ("a CLIP with a ResNet", "its image tower has no class token and no patches as a ViT's, and "
     "is not built here; a ViT of the same release is read",
     lambda names: _any(names, r"^visual\.(layer1|attnpool)\.")),
    ("SigLIP or SigLIP 2", "attention pooling instead of a class token and a text tower without "
     "causal mask are not built here",
     lambda names: _any(names, r"^(vision_model\.head\.|text_model\.head\.)|attn_pool\.")),
    ("a CLIP with an image tower of timm", "such as ConvNeXt, EVA or MobileCLIP, which are not "
     "built here", lambda names: _any(names, r"^visual\.trunk\.")
     and not _any(names, r"(^|\.)word_embeddings\.")),
    ("open_clip's CustomTextCLIP", "its masks and pooling stand in a configuration alone and are "
     "not built here", lambda names: _any(names, r"^text\.transformer\.resblocks\.")),
    ("LoTLIP, or another CLIP with a BERT text tower", "its vocabulary, corner tokens and "
     "attention mask are not built here",
     lambda names: _any(names, r"(^|\.)word_embeddings\.|^visual\.trunk\.|^text\.transformer\.")),
    ("TULIP", "its text tower has rotary positions, whose table is not in the file (the weight "
     "'positional_embedding' is missing)",
     lambda names: _any(names, r"^token_embedding\.weight$") and _any(names, r"^visual\.conv1\.")
     and not _any(names, r"^positional_embedding$")),
)  # fmt: skip


def _any(names: Iterable[str], pattern: str) -> bool:
    return any(re.search(pattern, name) for name in names)


def shown(names: Iterable[str]) -> str:
    """A few of a file's names, for messages."""
    listed = sorted(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(repr(name[:80]) for name in listed[:_SHOWN]) + more


def layout_of(
    state: Mapping[str, Tensor], config: Mapping[str, Any] | None = None, bare: bool = True
) -> Layout:
    """Weights of any format that is read but β-CLIP's, whose names `released` translates.

    Args:
        state: the weights, without the prefixes of distributed training.
        config: Hugging Face's config.json, where there is one.
        bare: whether they lay in a torch file of their own.

    Raises:
        CheckpointError: of a format that is not read (it is named with what is missing), or of none
            that is known (a few names are shown).
    """
    for name, missing, belongs in _REFUSED:
        if belongs(state):
            raise CheckpointError(
                f"these are weights of {name}: {missing}; it holds {shown(state)}"
            )
    if is_hugging_face(state):
        return from_hugging_face(state, config, bare)
    if "visual.conv1.weight" not in state or "token_embedding.weight" not in state:
        missing = "text_projection" if "text_projection" not in state else "visual.conv1.weight"
        raise CheckpointError(
            f"weight {missing!r}: missing: expected one of the formats that are read ({READ}); "
            f"it holds {shown(state)}"
        )
    clip = {name: value for name, value in state.items() if name not in _NO_WEIGHTS}
    bias = clip.pop("logit_bias", None)
    scale = clip.get("logit_scale")
    if scale is not None and scale.shape == (1,):  # open_clip's nonscalar_logit_scale
        clip["logit_scale"] = scale.reshape(())
    if "image_post.proj" in clip or _any(clip, rf"^{re.escape(_FLAIR_POOLER)}"):
        layout = _flair(clip)
    elif _TRAINED in clip:
        layout = _long_clip(clip)
    else:
        layout = Layout("open_clip", clip)
    layout.logit_bias = bias
    return layout


def _flair(clip: dict[str, Tensor]) -> Layout:
    """FLAIR: projections under names of their own, GELU, patches that attend, and its pooler."""
    for theirs, ours in (("image_post.proj", "visual.proj"), ("text_post.proj", "text_projection")):
        if theirs not in clip:
            raise CheckpointError(f"weight {theirs!r}: missing: FLAIR projects with it")
        clip[ours] = clip.pop(theirs)
    pooler = {
        name.removeprefix(_FLAIR_POOLER): clip.pop(name)
        for name in list(clip)
        if name.startswith(_FLAIR_POOLER)
    }
    if not pooler:
        raise CheckpointError(f"weights '{_FLAIR_POOLER}*': missing: FLAIR pools with them")
    return Layout(
        "FLAIR", clip, quick_gelu=False, patches="attention", pooler=pooler, pooler_kind="flair",
        pooler_prefix=_FLAIR_POOLER,
    )  # fmt: skip


def _long_clip(clip: dict[str, Tensor]) -> Layout:
    """Long-CLIP: the first rows of a frozen table of positions, the rest of a trained one."""
    kept, trained = clip.get(_FROZEN), clip.pop(_TRAINED)
    if kept is None or kept.shape != trained.shape:
        found = "missing" if kept is None else f"{list(kept.shape)}"
        raise CheckpointError(f"weight {_FROZEN!r}: {found}, expected {list(trained.shape)}")
    clip[_FROZEN] = torch.cat([kept[:KEPT_POSITIONS], trained[KEPT_POSITIONS:]])
    known = re.compile(
        r"(visual\.)?(transformer\.|positional_embedding$|class_embedding$|proj$|conv1\.|ln_|"
        r"token_embedding\.|text_projection$|logit_scale$)"
    )
    heads = [name for name in clip if not known.match(name)]
    if heads:
        raise CheckpointError(
            "these are Long-CLIP's weights and heads of their own, such as FineLIP's, whose code "
            f"is not published: {shown(heads)}"
        )
    return Layout("Long-CLIP", clip, quick_gelu=True, frozen_positions=KEPT_POSITIONS)
