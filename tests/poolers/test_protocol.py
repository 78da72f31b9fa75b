"""Every pooler of `POOLERS` is a `Pooler`, and the rest of the house asks for nothing else."""

import re

import pytest
import torch
from torch import nn

from bclip_core.backbone import create_backbone
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.evaluation import conditioned_similarity
from bclip_core.evaluation.maps import picture_maps
from bclip_core.evaluation.protocols import scenes as scene_protocol
from bclip_core.explorer import View, Workbench
from bclip_core.model import BClip
from bclip_core.poolers import POOLERS, build_pooler, cross_images
from bclip_core.studies.leak.measure import measure_leak


class Bare:
    """A pooler of which only what `Pooler` names can be had."""

    def __init__(self, pooler):
        self.__call = pooler
        self.config, self.heads, self.logit_scale = pooler.config, pooler.heads, pooler.logit_scale
        self.parameters = pooler.parameters

    def __call__(self, patches, text, need_weights=False):
        return self.__call(patches, text, need_weights)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", POOLERS)
def test_every_pooler_has_what_the_protocol_names(kind):
    torch.manual_seed(0)
    pooler = build_pooler(16, PoolerConfig(4, "xavier", kind))
    patches, text = draw(2, 5, 16), draw(2, 3, 16, seed=1)
    pooled, none = pooler(patches, text)
    again, weights = pooler(patches, text, need_weights=True)
    torch.testing.assert_close(again, pooled)
    assert pooled.shape == text.shape
    assert none is None
    assert weights.shape == (2, pooler.heads, 3, 5)
    assert pooler.config.kind == kind
    scale = pooler.logit_scale
    assert scale is None or (isinstance(scale, nn.Parameter) and scale.ndim == 0)
    assert all(isinstance(parameter, nn.Parameter) for parameter in pooler.parameters())


@pytest.mark.parametrize("kind", POOLERS)
@pytest.mark.parametrize(
    ("patches", "text"),
    [
        ((2, 5, 16), (3, 4, 16)),
        ((2, 5, 8), (2, 4, 16)),
        ((2, 5, 16), (2, 4, 8)),
        ((5, 16), (2, 4, 16)),
        ((16,), (2, 4, 16)),
        ((2, 0, 16), (2, 4, 16)),
    ],
)
def test_shapes_that_do_not_fit_are_named(kind, patches, text):
    pooler = build_pooler(16, PoolerConfig(4, kind=kind))
    named = re.escape(f"patches {patches}, text {text}: expected [B, P, ")
    with pytest.raises(ValueError, match=named):
        pooler(torch.zeros(patches), torch.zeros(text))


@pytest.mark.parametrize("kind", POOLERS)
def test_evaluation_crossing_maps_and_explorer_ask_for_no_more(kind, held_out_scenes, tmp_path):
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig("scene-tiny"))
    pooler = build_pooler(backbone.dim, PoolerConfig(kind=kind))
    whole, bare = BClip(backbone, pooler).eval(), BClip(backbone, Bare(pooler)).eval()
    assert not hasattr(bare.pooler, "attn")
    patches, text = draw(3, 64, backbone.dim), draw(4, backbone.dim, seed=1)
    pixels = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    bench = Workbench({"whole": whole, "bare": bare}, held_out_scenes, tmp_path)
    with torch.no_grad():
        crossed = [
            cross_images(m.pooler, patches, text[:3, None], torch.ones(3, 1).bool(), seed=0)[0]
            for m in (whole, bare)
        ]
    maps = [picture_maps(model, pixels, ["red", "a blue circle"]) for model in (whole, bare)]
    scenes = held_out_scenes.select(range(8))
    for first, second in (
        crossed,
        [conditioned_similarity(model, patches, text) for model in (whole, bare)],
        [found.attention for found in maps],
        [found.pooled_score for found in maps],
        [measure_leak(model, scenes) for model in (whole, bare)],
        [scene_protocol.validate(model, scenes) for model in (whole, bare)],
    ):
        torch.testing.assert_close(first, second)
    kinds = bench.kinds(["bare"])
    assert kinds == ("mean", *(f"head {n + 1}" for n in range(pooler.heads)), "cosine")
    for name in kinds:
        shown = [bench.compute(View("scene 0", "red", (m,), kind=name)) for m in ("whole", "bare")]
        assert shown[0].panels[0].hottest == shown[1].panels[0].hottest
