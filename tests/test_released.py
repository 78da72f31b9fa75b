"""The authors' weights in our model reproduce every output of the authors' code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import load_file

from bclip_core.backbone import Backbone
from bclip_core.config import BackboneConfig
from bclip_core.poolers import TextConditionedPooler
from bclip_core.released import released_to_open_clip

GOLDEN = Path(__file__).parent / "golden"


def released_weights() -> dict[str, torch.Tensor]:
    weights = load_file(GOLDEN / "model_weights.safetensors")
    return {name: value for name, value in weights.items() if not name.startswith("extra.")}


def imported_model(weights: dict[str, torch.Tensor]) -> tuple[Backbone, TextConditionedPooler]:
    clip = CLIP(
        32,
        CLIPVisionCfg(image_size=32, patch_size=8, width=64, layers=3, head_width=16),
        CLIPTextCfg(context_length=248, vocab_size=600, width=32, heads=4, layers=2),
        quick_gelu=True,
    )
    pooler = TextConditionedPooler(32, heads=8)
    clip_state, pooler_state = released_to_open_clip(weights)
    clip.load_state_dict(clip_state)
    pooler.load_state_dict(pooler_state)
    return Backbone(clip, BackboneConfig("scene-tiny", context_length=248)), pooler


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "module."])
def test_imported_weights_reproduce_the_authors_outputs(prefix: str) -> None:
    golden = load_file(GOLDEN / "model_io.safetensors")
    backbone, pooler = imported_model({prefix + k: v for k, v in released_weights().items()})
    image, patches = backbone.encode_image(golden["images"])
    close = {"atol": 2e-6, "rtol": 1e-5}
    torch.testing.assert_close(image, golden["out.cls_embed"], **close)
    torch.testing.assert_close(patches, golden["out.dense_image"][:, 1:], **close)
    sentences, phrases = golden["text"], golden["concepts"]
    text = torch.cat(
        [
            backbone.encode_text(sentences.flatten(0, 1)).unflatten(0, sentences.shape[:2]),
            backbone.encode_text(phrases.flatten(0, 1)).unflatten(0, phrases.shape[:2]),
        ],
        dim=1,
    )
    torch.testing.assert_close(text[:, 0], golden["out.eos_embed"], **close)
    normalised = F.normalize(text, dim=-1)
    torch.testing.assert_close(normalised, golden["out.positive_text_embed"], **close)
    conditioned, _ = pooler(patches, text)
    torch.testing.assert_close(conditioned, golden["out.positive_image_embed"], **close)
    torch.testing.assert_close(backbone.logit_scale.exp(), golden["out.logit_scale"])
    torch.testing.assert_close(pooler.logit_scale.exp(), golden["out.logit_scale_tc"])


def test_positions_come_from_the_frozen_table_first_then_from_the_trained_one() -> None:
    weights = released_weights()
    weights["positional_embedding"] = torch.zeros(248, 32)
    weights["positional_embedding_res"] = torch.ones(248, 32)
    table = released_to_open_clip(weights)[0]["positional_embedding"]
    assert table.sum(dim=1).tolist() == [0.0] * 20 + [32.0] * 228


def test_an_unknown_name_reaches_the_loader() -> None:
    weights = released_weights() | {"visual.blocks.0.attn.gate": torch.zeros(1)}
    with pytest.raises(RuntimeError, match=r"resblocks\.0\.attn\.gate"):
        imported_model(weights)
