"""Grounding metrics against slow loops, by hand, and at chance."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bclip_core.evaluation import (
    grounding_chance,
    grounding_scores,
    patch_cosine_map,
    upsample_map,
)


def random_items(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Maps on a 3 x 4 grid and masks of 18 x 20 pixels that are one rectangle each."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, 12, generator=generator)
    masks = torch.zeros(count, 18, 20, dtype=torch.bool)
    for mask in masks:
        top, left = (int(torch.randint(10, (1,), generator=generator)) for _ in range(2))
        mask[top : top + 6, left : left + 7] = True
    return maps, masks


def slow_average_precision(values: list[float], positive: list[bool]) -> float:
    """One threshold per distinct value; precision and recall counted anew at each."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        chosen = [p for v, p in zip(values, positive, strict=True) if v >= threshold]
        recall = sum(chosen) / sum(positive)
        total += (recall - recall_before) * sum(chosen) / len(chosen)
        recall_before = recall
    return total


def test_average_precision_and_iou_equal_slow_loops() -> None:
    maps, masks = random_items(6, seed=0)
    found = grounding_scores(maps, (3, 4), masks)
    pixels = upsample_map((maps - maps.amin(1, keepdim=True)).double(), (3, 4), (18, 20))
    for row, mask, precision, iou in zip(
        pixels, masks, found.average_precision, found.iou, strict=True
    ):
        expected = slow_average_precision(row.flatten().tolist(), mask.flatten().tolist())
        assert precision.item() == pytest.approx(expected, abs=1e-12)
        chosen = torch.zeros(360, dtype=torch.bool)
        chosen[row.flatten().topk(int(mask.sum())).indices] = True
        overlap = (chosen & mask.flatten()).sum() / (chosen | mask.flatten()).sum()
        assert iou.item() == pytest.approx(overlap.item(), abs=0.02)  # border ties are shared


def test_by_eye_with_ties() -> None:
    # No interpolation: the grid is the picture, four pixels in a row.
    mask = torch.tensor([[True, True, False, False]])
    maps = torch.tensor([[4.0, 3, 2, 1], [1, 2, 3, 4], [5, 0, 5, 0], [3, 2, 2, 0]])
    found = grounding_scores(maps, (1, 4), mask.expand(4, 1, 4))
    assert found.pointing.tolist() == [1.0, 0.0, 0.5, 1.0]
    # Row 2: both hot pixels come together, precision 1/2 at recall 1/2, then 1/2 at 1.
    # Row 3: precision 1 at recall 1/2, then 2 of 3.
    expected = [1.0, (1 / 3 + 2 / 4) / 2, 0.5, (1 + 2 / 3) / 2]
    assert found.average_precision.tolist() == pytest.approx(expected)
    # Row 3 takes pixel 0 and half of the two equal ones: overlap 1.5 of 2.
    assert found.iou.tolist() == pytest.approx([1.0, 0.0, 1 / 3, 1.5 / 2.5])


def test_a_constant_map_scores_exactly_at_chance() -> None:
    _, masks = random_items(5, seed=1)
    area = masks.flatten(1).double().mean(1)
    found = grounding_scores(torch.full((5, 12), 0.3), (3, 4), masks)
    chance = grounding_chance((3, 4), masks)
    torch.testing.assert_close(found.average_precision, area)
    torch.testing.assert_close(found.iou, area / (2 - area))
    for measured, expected in zip(found, chance, strict=True):
        assert torch.equal(measured, expected)


def test_random_maps_are_near_chance_and_the_mask_itself_is_perfect() -> None:
    maps, masks = random_items(400, seed=2)
    found, chance = grounding_scores(maps, (3, 4), masks), grounding_chance((3, 4), masks)
    for measured, expected in zip(found, chance, strict=True):
        difference = measured - expected
        assert abs(difference.mean()) < 4 * difference.std() / len(difference) ** 0.5 + 0.02
    perfect = grounding_scores(masks.flatten(1)[:5].float(), (18, 20), masks[:5])
    assert all(torch.equal(metric, torch.ones(5).double()) for metric in perfect)
    full = grounding_scores(maps[:2], (3, 4), torch.ones_like(masks[:2]))
    assert all(torch.equal(metric, torch.ones(2).double()) for metric in full)


def test_pointing_reads_the_centre_of_the_hottest_patch() -> None:
    # 2 x 3 patches on 8 x 9 pixels: patches of 4 x 3 pixels; patch 5 has its centre at (6, 7).
    hottest = torch.tensor([[0.0, 0, 0, 0, 0, 1]])
    mask = torch.zeros(1, 8, 9, dtype=torch.bool)
    mask[0, 6, 7] = True
    assert grounding_scores(hottest, (2, 3), mask).pointing.item() == 1.0
    assert grounding_scores(hottest, (2, 3), mask.roll(1, dims=2)).pointing.item() == 0.0


def test_monotone_changes_and_mask_sizes() -> None:
    maps, masks = random_items(3, seed=3)
    found = grounding_scores(maps, (3, 4), masks)
    for scale, shift in ((2.0, 0.0), (0.5, 3.0)):
        moved = grounding_scores(scale * maps + shift, (3, 4), masks)
        for before, after in zip(found, moved, strict=True):
            torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    mixed = grounding_scores(maps, (3, 4), [masks[0], masks[1].repeat(2, 1), masks[2]])
    assert mixed.iou[0] == found.iou[0]


def test_upsampling_by_eye() -> None:
    # Patch centres lie at 1 and 3 of 4 pixels: constant outside them, linear in between.
    found = upsample_map(torch.tensor([[0.0, 1.0]]), (1, 2), (2, 4))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.25, 0.75, 1.0]] * 2]))


def test_cosine_map_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(4)
    patches, text = (torch.randn(*s, generator=generator) for s in ((3, 5, 8), (3, 8)))
    found = patch_cosine_map(patches, text)
    for r in range(3):
        for p in range(5):
            expected = F.cosine_similarity(patches[r, p], text[r], dim=0)
            torch.testing.assert_close(found[r, p], expected)


def test_bad_input_is_named() -> None:
    maps, masks = random_items(2, seed=5)
    with pytest.raises(ValueError, match="grid"):
        grounding_scores(maps, (3, 5), masks)
    with pytest.raises(ValueError, match="2 maps and 1 masks"):
        grounding_scores(maps, (3, 4), masks[:1])
    with pytest.raises(ValueError, match="mask 1 is empty"):
        grounding_scores(maps, (3, 4), masks & torch.tensor([True, False])[:, None, None])
    with pytest.raises(ValueError, match="mask 0 is torch.float32"):
        grounding_scores(maps, (3, 4), masks.float())
    with pytest.raises(ValueError, match="map 0 contains NaN"):
        grounding_scores(maps * torch.nan, (3, 4), masks)
