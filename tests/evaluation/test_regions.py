"""Region features and hits against the authors' FG-OVD evaluation on six synthetic items."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from bclip_core.evaluation import (
    blind_region_accuracy,
    boxes_to_patches,
    chance_region_accuracy,
    hits_from_scores,
    region_accuracy,
    region_hits,
    region_scores,
    roi_features,
)

GOLDEN = Path(__file__).parents[1] / "golden"
GRID = (4, 4)
TIED_ITEM = 3  # one of its wrong captions is the true caption again


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "fgovd_eval.safetensors")


def value_only_patches(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The authors' dense features [B, P, D] of their small vision tower, written out (4 heads)."""

    def get(name: str) -> Tensor:
        return weights["visual." + name]

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, get(name + ".weight"), get(name + ".bias"))

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], get(name + ".weight"), get(name + ".bias"))

    x = F.conv2d(pixels, get("patch_embed.proj.weight"), stride=8).flatten(2).transpose(1, 2)
    x = torch.cat([get("cls_token").expand(len(x), -1, -1), x], dim=1) + get("pos_embed")
    x = norm(x, "norm_pre")
    for block in ("blocks.0.", "blocks.1.", "blocks.2."):
        q, k, v = linear(norm(x, block + "norm1"), block + "attn.qkv").chunk(3, dim=-1)
        if block != "blocks.2.":
            q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in (q, k, v))
            v = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + linear(v, block + "attn.proj")
        hidden = linear(norm(x, block + "norm2"), block + "mlp.fc1")
        x = x + linear(hidden * torch.sigmoid(1.702 * hidden), block + "mlp.fc2")
    return (norm(x, "norm") @ weights["image_projection"])[:, 1:]


def original_sizes(golden: dict[str, Tensor]) -> Tensor:
    count, height, width, _ = golden["images_u8"].shape
    return torch.tensor([[width, height]]).expand(count, 2)


def test_boxes_scale_as_the_authors(golden: dict[str, Tensor]) -> None:
    index = torch.arange(6)
    rois = boxes_to_patches(golden["boxes_xywh"], index, original_sizes(golden), GRID)
    assert torch.equal(rois[:, 0].long(), index)
    torch.testing.assert_close(rois[:, 1:].float(), golden["rois"][:, 1:])


def test_from_pixels_to_hits_as_the_authors_but_for_the_tie(golden: dict[str, Tensor]) -> None:
    patches = value_only_patches(load_file(GOLDEN / "model_weights.safetensors"), golden["pixels"])
    region = roi_features(
        patches, GRID, golden["boxes_xywh"], torch.arange(6), original_sizes(golden)
    )
    torch.testing.assert_close(region, golden["region_raw"], atol=1e-5, rtol=1e-5)
    captions = list(golden["text"])
    scores = torch.stack(region_scores(region, captions)).float()
    torch.testing.assert_close(100 * scores, golden["logits"], atol=1e-4, rtol=1e-5)
    hits, ties = region_hits(region, captions)
    expected = golden["hit"].clone()
    assert expected[TIED_ITEM]  # the authors count the tie as a hit, we do not
    expected[TIED_ITEM] = False
    assert hits.tolist() == expected.tolist()
    assert ties == 1
    assert region_accuracy(region, captions) == pytest.approx((int(golden["hit"].sum()) - 1) / 6)


def test_region_features_of_the_dense_vision_golden() -> None:
    dense = load_file(GOLDEN / "dense_vision.safetensors")
    boxes, size = dense["boxes_xywh"], dense["image_wh"]
    index = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    found = roi_features(
        dense["value_only_patches"], GRID, boxes.repeat(2, 1), index, size.expand(2, 2)
    )
    torch.testing.assert_close(found, dense["region_raw"].flatten(0, 1), atol=1e-5, rtol=1e-5)


def test_a_box_of_one_patch_reads_that_patch_and_a_whole_picture_the_mean() -> None:
    patches = torch.arange(2 * 6 * 3.0).reshape(2, 6, 3)
    # Pictures of 30 x 40 pixels on a grid of 2 rows x 3 columns: a patch is 10 x 20 pixels.
    boxes = torch.tensor([[20.0, 20, 10, 20], [0, 0, 30, 40]])
    found = roi_features(
        patches, (2, 3), boxes, torch.tensor([1, 0]), torch.tensor([[30, 40], [30, 40]])
    )
    # One sample in the middle of a one-patch box; on the grid of samples of the whole picture
    # (ceil(2) x ceil(3), one per patch) every patch is read once.
    torch.testing.assert_close(found, torch.stack([patches[1, 5], patches[0].mean(0)]))


@pytest.mark.parametrize(
    "box",
    [
        [100.0, 100, 10, 10],
        [60, 40, 10, 4],
        [-3, 0, 10, 10],
        [5, 5, 0, 10],
        [5, 5, 10, -1],
        [5, float("nan"), 10, 10],
    ],
)
def test_bad_boxes_are_named(box: list[float]) -> None:
    boxes = torch.tensor([[0.0, 0, 64.4, 48], box])  # the first is inside but for rounding
    with pytest.raises(ValueError, match=r"box 1=\[.*64 x 48"):
        boxes_to_patches(boxes, torch.tensor([0, 0]), torch.tensor([[64, 48]]), GRID)
    assert len(boxes_to_patches(boxes[:1], torch.tensor([0]), torch.tensor([[64, 48]]), GRID)) == 1


def test_other_bad_input_is_named() -> None:
    boxes, size = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[8, 8]])
    with pytest.raises(ValueError, match=r"image_index\[0\]=1: expected 0..0"):
        boxes_to_patches(boxes, torch.tensor([1]), size, GRID)
    with pytest.raises(ValueError, match=r"grid=\(2, 3\)"):
        roi_features(torch.rand(1, 16, 8), (2, 3), boxes, torch.tensor([0]), size)
    with pytest.raises(ValueError, match="one for 2 images"):
        roi_features(torch.rand(2, 16, 8), GRID, boxes, torch.tensor([0]), size)
    with pytest.raises(ValueError, match="expected 1, one a region"):
        region_accuracy(torch.rand(1, 8), [torch.rand(2, 8)] * 2)
    with pytest.raises(ValueError, match="captions of region 0"):
        region_accuracy(torch.rand(1, 8), [torch.rand(2, 7)])
    with pytest.raises(ValueError, match="at least one wrong one"):
        region_accuracy(torch.rand(1, 8), [torch.rand(1, 8)])
    with pytest.raises(ValueError, match="scores of region 1 contain NaN"):
        hits_from_scores([torch.rand(2), torch.full((2,), torch.nan)])
    with pytest.raises(ValueError, match="at least one region"):
        region_accuracy(torch.rand(0, 8), [])


@pytest.mark.parametrize("width", [7, 63, 512])
@pytest.mark.parametrize("rows", [2, 5, 11])
def test_a_repeated_true_caption_is_always_a_miss(rows: int, width: int) -> None:
    """The true caption again in the last row: rounding must not break the tie by position."""
    generator = torch.Generator().manual_seed(0)
    region = torch.randn(20, width, generator=generator)
    captions = torch.randn(20, rows, width, generator=generator)
    captions[:, 0] = region + 0.5 * captions[:, 0]
    assert region_accuracy(region, list(captions)) > 0.9
    captions[:, -1] = captions[:, 0]
    assert region_hits(region, list(captions)).ties >= 18
    assert region_accuracy(region, list(captions)) == 0.0


def test_accuracy_by_eye_and_at_chance() -> None:
    region = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    near, far = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 3.0])
    assert region_accuracy(region, [torch.stack([near, far]), torch.stack([near, far])]) == 0.5
    generator = torch.Generator().manual_seed(0)
    many = [torch.randn(n, 8, generator=generator) for n in (2, 5, 11) * 400]
    accuracy = region_accuracy(torch.randn(1200, 8, generator=generator), many)
    chance = chance_region_accuracy(many)
    assert chance == pytest.approx((1 / 2 + 1 / 5 + 1 / 11) / 3)
    assert abs(accuracy - chance) < 4 * (chance * (1 - chance) / 1200) ** 0.5


def test_the_blind_level_is_a_loop_over_regions_of_other_pictures() -> None:
    generator = torch.Generator().manual_seed(0)
    region, picture = torch.randn(9, 8, generator=generator), [0, 0, 1, 2, 2, 2, 3, 4, 4]
    captions = [torch.randn(2 + n % 3, 8, generator=generator) for n in range(9)]
    captions[4][1] = captions[4][0]  # a tie is a miss here too
    hits = []
    for index, rows in enumerate(captions):
        for other in range(9):
            if picture[other] != picture[index]:
                cosines = [F.cosine_similarity(row, region[other], dim=0).item() for row in rows]
                hits.append(cosines[0] > max(cosines[1:]))
    found = blind_region_accuracy(region, captions, torch.tensor(picture))
    assert found == pytest.approx(sum(hits) / len(hits))
    assert 0.2 < found < 0.6


def test_false_captions_made_from_the_true_one_push_guessing_below_one_in_n() -> None:
    generator = torch.Generator().manual_seed(0)
    region, picture = torch.randn(200, 64, generator=generator), torch.arange(200)
    true = torch.randn(200, 1, 64, generator=generator)
    changes = 0.5 * torch.randn(200, 10, 64, generator=generator)
    made = [torch.cat([one, one + change]) for one, change in zip(true, changes, strict=True)]
    alike = list(torch.randn(200, 11, 64, generator=generator))
    assert blind_region_accuracy(region, alike, picture) == pytest.approx(1 / 11, abs=0.01)
    assert blind_region_accuracy(region, made, picture) < 0.02
    # The random regions score what the blind level says, not 1/11.
    assert region_accuracy(region, made) == pytest.approx(0.0, abs=0.03)


def test_the_blind_level_needs_two_pictures() -> None:
    region, captions = torch.rand(2, 4), [torch.rand(2, 4)] * 2
    with pytest.raises(ValueError, match="2 regions of one picture"):
        blind_region_accuracy(region, captions, [3, 3])
    with pytest.raises(ValueError, match="1 sets of captions: expected 2"):
        blind_region_accuracy(region, captions[:1], [3, 4])
