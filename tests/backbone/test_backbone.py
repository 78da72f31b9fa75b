"""The wrapped towers against open_clip's own forward, the authors' outputs and slow references."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import load_file, save_file
from torch import Tensor

from bclip_core.backbone import (
    SMALL_ARCHITECTURES,
    Backbone,
    CheckpointError,
    attention_kernel,
    create_backbone,
    known_architectures,
    stretch_positions,
)
from bclip_core.backbone.architectures import check_towers
from bclip_core.backbone.attention import _PASS_OVERHEAD, length_buckets, pass_overhead
from bclip_core.checkpoints import build_model
from bclip_core.checkpoints.released import released_to_open_clip
from bclip_core.config import BackboneConfig, ConfigError

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = BackboneConfig("scene-tiny")
VISION = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 3, "head_width": 16}
TEXT = {"width": 32, "layers": 3, "heads": 4, "vocab_size": 600}
END = 599


def small_clip(quick_gelu: bool = True, **changes: float) -> CLIP:
    """A CLIP of a few parameters with all of them away from their special starting values."""
    torch.manual_seed(0)
    vision, text = CLIPVisionCfg(**VISION, **changes), CLIPTextCfg(**TEXT, **changes)
    clip = CLIP(32, vision, text, quick_gelu=quick_gelu)
    for parameter in clip.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return clip


@pytest.fixture(autouse=True, scope="module")
def cheap_passes() -> Iterator[None]:
    """A pass costs so little here that a few texts already make several groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_PASS_OVERHEAD, "cpu", 16.0 * TEXT["width"] ** 2)
        yield


def random_tokens(lengths: list[int], width: int, seed: int = 0) -> Tensor:
    """Rows of random ids, each ending in the end token, zeros after it."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = torch.randint(1, END, (length,), generator=generator)
        row[length - 1] = END
    return tokens


# ---- images ----


@torch.no_grad()
def test_dense_image_equals_the_authors() -> None:
    golden = load_file(GOLDEN / "dense_vision.safetensors")
    tower = {k: v for k, v in golden.items() if k == "image_projection" or k.startswith("visual.")}
    clip = small_clip()
    clip.load_state_dict(clip.state_dict() | released_to_open_clip(tower)[0])
    image, patches = Backbone(clip, TINY).encode_image(golden["image"])
    mixed = torch.cat([image[:, None], patches], dim=1)
    torch.testing.assert_close(mixed, golden["mixed"], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(patches, golden["value_only_patches"], atol=2e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"ls_init_value": 0.3}, {"quick_gelu": False}])
def test_global_is_open_clips_and_patches_attend_only_to_themselves(changes: dict) -> None:
    clip = small_clip(**changes).double()
    config = BackboneConfig("scene-tiny", quick_gelu=changes.get("quick_gelu", True))
    images = torch.randn(2, 3, 32, 32).double()
    image, patches = Backbone(clip, config).encode_image(images)
    torch.testing.assert_close(image, clip.encode_image(images))
    visual = clip.visual
    mask = torch.full((17, 17), -torch.inf).fill_diagonal_(0)
    mask[0] = 0  # the class token sees everything, a patch sees itself
    *blocks, last = visual.transformer.resblocks
    tokens = torch.nn.Sequential(*blocks)(visual._embeds(images))
    expected = visual.ln_post(last(tokens, attn_mask=mask)) @ visual.proj
    torch.testing.assert_close(torch.cat([image[:, None], patches], dim=1), expected)


def test_global_is_open_clips_in_float32() -> None:
    backbone = create_backbone(TINY)
    images = torch.randn(3, 3, 64, 64)
    image, patches = backbone.encode_image(images)
    torch.testing.assert_close(image, backbone.clip.encode_image(images), atol=1e-6, rtol=1e-6)
    assert patches.shape == (3, backbone.grid[0] * backbone.grid[1], backbone.dim) == (3, 64, 64)
    assert backbone.image_size == (64, 64)


# ---- texts ----

TEXT_TOWER = Backbone(small_clip().double(), TINY)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 77), min_size=1, max_size=60), st.integers(0, 9))
def test_text_equals_open_clips_on_padded_texts(lengths: list[int], seed: int) -> None:
    padded = random_tokens(lengths, 77, seed)
    with torch.no_grad():
        expected = TEXT_TOWER.clip.encode_text(padded)
        for tokens in (padded, padded[:, : max(lengths)]):
            torch.testing.assert_close(TEXT_TOWER.encode_text(tokens), expected)


@torch.no_grad()
def test_text_equals_open_clips_in_float32() -> None:
    clip = small_clip()
    tokens = random_tokens([3, 77, 9, 20, 5] * 20, 77)
    for model in (clip.train(), clip.eval()):
        found = Backbone(model, TINY).encode_text(tokens)
        torch.testing.assert_close(found, clip.encode_text(tokens), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_text_does_not_depend_on_what_follows_its_end_token() -> None:
    tokens = random_tokens([5, 9, 30], 40)
    garbage = tokens.clone()
    garbage[0, 5:], garbage[1, 9:] = 7, END
    torch.testing.assert_close(TEXT_TOWER.encode_text(garbage), TEXT_TOWER.encode_text(tokens))


def gradients(model: torch.nn.Module, output: Tensor) -> dict[str, Tensor]:
    named = dict(model.named_parameters())
    weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    found = torch.autograd.grad((output * weight).sum(), [*named.values()], allow_unused=True)
    return {k: g for k, g in zip(named, found, strict=True) if g is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_equal_open_clips(checkpointing: bool) -> None:
    clip = small_clip().double()
    backbone = Backbone(clip, TINY)
    backbone.set_checkpointing(checkpointing)
    tokens = random_tokens([6, 7, 8] * 16 + [60, 77] * 8, 77)
    images = torch.randn(2, 3, 32, 32).double()
    calls: list[int] = []
    first = clip.transformer.resblocks[0].ln_1
    handle = first.register_forward_hook(lambda *_: calls.append(1))
    text = gradients(clip, backbone.encode_text(tokens))
    handle.remove()
    lengths = sorted((tokens.argmax(1) + 1).tolist(), reverse=True)
    buckets = len(length_buckets(lengths, pass_overhead(TEXT["width"], "cpu")))
    assert buckets > 1
    assert len(calls) == buckets * (2 if checkpointing else 1)
    torch.testing.assert_close(text, gradients(clip, clip.encode_text(tokens)))
    image = gradients(clip, backbone.encode_image(images)[0])
    torch.testing.assert_close(image, gradients(clip, clip.encode_image(images)))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_texts_have_open_clips_values_and_gradients(checkpointing: bool) -> None:
    clip = small_clip().double()
    backbone = Backbone(clip, TINY)
    backbone.packed = True
    backbone.set_checkpointing(checkpointing)
    tokens = random_tokens([6, 77, 8, 2, 6, 60, 8], 77)
    calls: list[int] = []
    first = clip.transformer.resblocks[0].ln_1
    handle = first.register_forward_hook(lambda _, given, __: calls.append(given[0].shape[0]))
    encoded = backbone.encode_text(tokens)
    found = gradients(clip, encoded)
    handle.remove()
    assert calls == [6 + 77 + 8 + 2 + 6 + 60 + 8] * (2 if checkpointing else 1)  # no padding
    torch.testing.assert_close(encoded, clip.encode_text(tokens))
    torch.testing.assert_close(found, gradients(clip, clip.encode_text(tokens)))


def test_packed_texts_keep_both_paths_and_frozen_positions() -> None:
    torch.manual_seed(0)
    config = BackboneConfig("scene-tiny", context_length=248, short_context=40, frozen_positions=20)
    backbone = build_model(config, None).backbone.double()
    assert backbone.short is not None
    for parameter in backbone.short.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    tokens = random_tokens([5, 40, 41, 100], 100)
    results = []
    for packed in (False, True):
        backbone.packed = packed
        encoded = backbone.encode_text(tokens, "each")
        results.append((encoded.detach(), gradients(backbone, encoded)))
    torch.testing.assert_close(*results)
    positions = results[1][1]["clip.positional_embedding"]
    assert not positions[:20].any()
    assert positions[20:100].any()
    with pytest.raises(ValueError, match=r"tokens \(1, 249\): expected \[U, L\] with L <= 248"):
        backbone.encode_text(torch.ones(1, 249, dtype=torch.long))


def test_texts_longer_than_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tokens \(2, 78\): expected \[U, L\] with L <= 77"):
        TEXT_TOWER.encode_text(torch.ones(2, 78, dtype=torch.long))


def test_no_text_gives_no_embedding() -> None:
    assert TEXT_TOWER.encode_text(torch.zeros(0, 0, dtype=torch.long)).shape == (0, 32)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 248), min_size=1, max_size=300))
def test_length_buckets_cover_all_texts_in_order(lengths: list[int]) -> None:
    lengths = sorted(lengths, reverse=True)
    buckets = length_buckets(lengths, 256)
    assert [row for rows in buckets for row in range(len(lengths))[rows]] == [*range(len(lengths))]


def cost(lengths: list[int], starts: tuple[int, ...], overhead: int) -> int:
    ends = (*starts[1:], len(lengths))
    rows = sum((end - start) * lengths[start] for start, end in zip(starts, ends, strict=True))
    return rows + overhead * len(starts)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.sampled_from([0, 3, 10, 50]))
def test_length_buckets_are_the_cheapest_of_all_splits(lengths: list[int], overhead: int) -> None:
    lengths = sorted(lengths, reverse=True)
    places = range(1, len(lengths))
    splits = [
        (0, *inner) for n in range(len(lengths)) for inner in itertools.combinations(places, n)
    ]
    found = tuple(rows.start for rows in length_buckets(lengths, overhead))
    assert cost(lengths, found, overhead) == min(cost(lengths, s, overhead) for s in splits)


def test_length_buckets_separate_captions_from_phrases() -> None:
    assert length_buckets([120] * 64 + [24] * 100 + [6] * 500, 256) == [
        slice(0, 64), slice(64, 164), slice(164, 664)
    ]  # fmt: skip
    assert length_buckets([20] * 4 + [6] * 8, 256) == [slice(0, 12)]
    assert pass_overhead(512, "cpu") < pass_overhead(128, "cpu") < pass_overhead(128, "cuda")


# ---- positions ----


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_stretched_positions_are_the_authors_exactly(kind: str) -> None:
    golden = load_file(GOLDEN / "pos_stretch.safetensors")
    assert torch.equal(stretch_positions(golden[f"table_77_{kind}"]), golden[f"table_248_{kind}"])


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(2, 30), st.integers(0, 28), st.integers(1, 5))
def test_stretching_keeps_rows_and_continues_straight_lines(
    rows: int, keep: int, factor: int
) -> None:
    keep = min(keep, rows - 1)
    line = torch.arange(rows).double()[:, None] * torch.tensor([1.0, -2.0]).double()
    stretched = stretch_positions(line, keep, factor)
    assert stretched.shape == (keep + (rows - keep) * factor, 2)
    torch.testing.assert_close(stretched[keep::factor], line[keep:])
    torch.testing.assert_close(stretched[:keep], line[:keep])
    steps = stretched[keep:].diff(dim=0)
    torch.testing.assert_close(steps, (line[1] - line[0]).expand_as(steps) / factor)


@pytest.mark.parametrize(
    ("shape", "keep", "factor", "message"),
    [
        ((77, 4), 20, 0, "factor=0"),
        ((77, 4), -1, 4, "keep=-1"),
        ((20, 4), 20, 4, r"table \(20, 4\): expected \[T, W\] with T > 20"),
        ((1, 4), 0, 4, "T > 1"),
        ((77,), 20, 4, r"table \(77,\)"),
    ],
)
def test_impossible_stretches_are_named(
    shape: tuple[int, ...], keep: int, factor: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        stretch_positions(torch.zeros(shape), keep, factor)


@torch.no_grad()
@pytest.mark.parametrize("length", [248, 100, 300, 40])
def test_a_stretched_backbone_reads_longer_texts_and_short_ones_as_before(length: int) -> None:
    clip = small_clip().double()
    short, long = random_tokens([3, 20, 12], 20), random_tokens([length, 30], length)
    before, table = clip.encode_text(random_tokens([3, 20, 12], 77)), clip.positional_embedding
    backbone = Backbone(clip, TINY)
    backbone.stretch_context(length)
    torch.testing.assert_close(backbone.encode_text(short), before)
    torch.testing.assert_close(backbone.encode_text(long), clip.encode_text(long))
    assert backbone.context_length == backbone.config.context_length == clip.context_length
    assert backbone.context_length == length
    factor = {248: 4, 100: 2, 300: 5, 40: 1}[length]
    expected = stretch_positions(table, 20, factor)[:length]
    torch.testing.assert_close(clip.positional_embedding, torch.nn.Parameter(expected))


def test_frozen_positions_get_no_gradient_and_the_others_the_usual_one() -> None:
    backbone = Backbone(small_clip().double(), TINY)
    tokens = random_tokens([4, 77, 30], 77)
    name = "clip.positional_embedding"
    usual = gradients(backbone, backbone.encode_text(tokens))[name]
    backbone.frozen_positions = 20
    frozen = gradients(backbone, backbone.encode_text(tokens))[name]
    assert frozen[:20].abs().max() == 0 < usual[:20].abs().min()
    torch.testing.assert_close(frozen[20:], usual[20:])


# ---- building ----


@pytest.mark.parametrize("name", SMALL_ARCHITECTURES)
def test_small_architectures_follow_their_description(name: str) -> None:
    backbone = create_backbone(BackboneConfig(name, context_length=96))
    dim, vision, _ = SMALL_ARCHITECTURES[name]
    side = vision["image_size"] // vision["patch_size"]
    assert (backbone.dim, backbone.grid, backbone.context_length) == (dim, (side, side), 96)
    assert backbone.clip.vocab_size == 49408
    assert dim % 8 == 0  # the pooler's heads


def test_random_weights_follow_the_seed() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(create_backbone(TINY).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["clip.visual.proj"], states[2]["clip.visual.proj"])


def test_weights_come_from_a_state_dict_or_a_file_and_are_stretched(tmp_path: Path) -> None:
    source = create_backbone(TINY)
    path = tmp_path / "clip.safetensors"
    save_file(source.clip.state_dict(), path)
    wanted = TINY.replace(context_length=248)
    from_state = create_backbone(wanted, source.clip.state_dict())
    from_file = build_model(wanted.replace(pretrained=str(path)), None).backbone
    expected = stretch_positions(source.clip.positional_embedding.detach())
    for backbone in (from_state, from_file):
        assert torch.equal(backbone.clip.positional_embedding, expected)
        assert torch.equal(backbone.clip.visual.proj, source.clip.visual.proj)
    assert from_file.config == wanted.replace(pretrained=str(path))


def test_an_open_clip_vit_is_built_by_name_with_the_configured_activation() -> None:
    backbone = create_backbone(BackboneConfig("ViT-S-32-alt", quick_gelu=False))
    assert (backbone.dim, backbone.grid, backbone.context_length) == (256, (7, 7), 77)


def test_every_known_architecture_has_towers_that_are_computed_exactly() -> None:
    refused = []
    for name in set(known_architectures()) - set(SMALL_ARCHITECTURES):
        config = open_clip.get_model_config(name)
        config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = 1
        with torch.device("meta"):
            check_towers(CLIP(**config))
    for name in ("RN50", "ViT-B-16-SigLIP", "coca_ViT-B-32", "convnext_base", "ViT-H-14-CLIPA"):
        with pytest.raises(ConfigError, match="expected an architecture with open_clip's plain"):
            create_backbone(BackboneConfig(name))
        refused.append(name)
    assert not set(refused) & set(known_architectures())


def test_an_unknown_name_lists_close_matches_first() -> None:
    with pytest.raises(ConfigError, match=r"name='ViT-B16'.*one of ViT-B-16, .*scene-tiny"):
        create_backbone(BackboneConfig("ViT-B16"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BackboneConfig("ViT-B-16", "openai", quick_gelu=False), "quick_gelu=False: expected True"),
        (BackboneConfig("ViT-B-16", "laion2b_s34b_b88k"), "quick_gelu=True: expected False"),
        (BackboneConfig("ViT-B-16-quickgelu", quick_gelu=False), "quick_gelu=False: expected True"),
        (BackboneConfig("ViT-B-16", "oopenai"), "pretrained='oopenai'.*tags: openai, "),
        (BackboneConfig("scene-tiny", "openai"), "pretrained='openai'.*none for this name"),
        (BackboneConfig("scene-tiny", "scenes"), r"train\.create_model"),
    ],
)
def test_contradicting_or_unknown_weights_are_refused(config: BackboneConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_backbone(config)


def test_a_model_with_another_activation_or_other_towers_is_refused() -> None:
    with pytest.raises(ConfigError, match="quick_gelu=True: expected False"):
        Backbone(small_clip(quick_gelu=False), TINY)
    for changes in ({"pool_type": "avg"}, {"patch_dropout": 0.5}, {"attentional_pool": True}):
        clip = CLIP(32, CLIPVisionCfg(**VISION, **changes), CLIPTextCfg(**TEXT), quick_gelu=True)
        with pytest.raises(ValueError, match="expected an open_clip CLIP with a plain Vision"):
            Backbone(clip, TINY)
    for changes in ({"no_causal_mask": True}, {"pool_type": "last"}, {"qk_norm": True}):
        clip = CLIP(32, CLIPVisionCfg(**VISION), CLIPTextCfg(**TEXT, **changes), quick_gelu=True)
        with pytest.raises(ValueError, match="causal text tower pooled at the end token"):
            Backbone(clip, TINY)


# ---- precision ----


def test_the_attention_kernel_is_unfused_only_for_bf16_on_a_cpu() -> None:
    enabled = torch.backends.cuda.flash_sdp_enabled
    assert enabled()
    with attention_kernel("cpu", "bf16"):
        assert not enabled()
    for device, precision in (("cpu", "fp32"), ("cuda", "bf16"), ("cuda", "fp16")):
        with attention_kernel(torch.device(device), precision):
            assert enabled()
            # cuDNN's would make a plan for every new length of texts
            assert torch.backends.cuda.cudnn_sdp_enabled() is (device == "cpu")
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_bf16_autocast_stays_close_to_fp32() -> None:
    backbone = create_backbone(TINY)
    images, tokens = torch.randn(2, 3, 64, 64), random_tokens([5, 9, 40], 40)
    with attention_kernel("cpu", "bf16"), torch.autocast("cpu", torch.bfloat16):
        low = (*backbone.encode_image(images), backbone.encode_text(tokens))
    high = (*backbone.encode_image(images), backbone.encode_text(tokens))
    for found, expected in zip(low, high, strict=True):
        similarity = torch.cosine_similarity(found.float(), expected, dim=-1)
        assert similarity.min() > 0.999


def test_weights_that_cannot_be_fetched_are_one_line_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = BackboneConfig("ViT-B-32", pretrained="laion2b_s34b_b79k", quick_gelu=False)
    with pytest.raises(CheckpointError, match=r"pretrained='laion2b_s34b_b79k' .*fetched") as e:
        create_backbone(config)
    assert "\n" not in str(e.value)
    assert "path of their file" in str(e.value)
