"""Drawn maps: opacity, threshold, outline and verdict are where they should be."""

import numpy as np
import pytest

from bclip_core.evaluation.maps import TextMap
from bclip_core.explorer import View
from bclip_core.explorer.figure import explorer_view
from bclip_core.plotting.heat import enlarged, framed, overlaid

IMAGE = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
RISING = np.tile(np.linspace(0, 1, 64), (64, 1))  # cold on the left


def item(hit=None, mask=None, heat=RISING) -> TextMap:
    return TextMap("x", heat, (56.0, 0.0, 8.0, 8.0), "", mask, hit)


def drawn(*arguments, **settings) -> np.ndarray:
    return np.asarray(overlaid(*arguments, **settings)).astype(int)


def test_a_transparent_map_leaves_the_grey_picture():
    grey = np.asarray(enlarged(IMAGE).convert("L")).astype(int)
    found = drawn(IMAGE, item(), opacity=0.0)
    assert np.abs(found[40:, :, 0] - grey[40:]).max() <= 1  # below the frame
    opaque = drawn(IMAGE, item(), opacity=1.0)[40:]
    brightness = opaque @ [299, 587, 114] / 1000
    assert (np.diff(brightness.mean(0)) > -0.6).all()  # in grey, too, hot is bright
    assert brightness[:, -1].mean() > brightness[:, 0].mean() + 100


@pytest.mark.parametrize("threshold", [0.25, 0.5, 1.0])
def test_below_the_threshold_the_picture_is_bare(threshold):
    grey = np.asarray(enlarged(IMAGE).convert("L")).astype(int)
    coloured = np.abs(drawn(IMAGE, item(), opacity=1.0, threshold=threshold) - grey[..., None])
    bare = (coloured[40:] <= 1).all(axis=(0, 2)).mean()
    assert bare == pytest.approx(threshold, abs=0.02)


def test_a_flat_map_is_drawn():
    assert drawn(IMAGE, item(heat=np.ones((64, 64)))).shape == (256, 256, 3)


def test_a_hit_a_miss_and_the_unknown_differ_only_in_the_hottest_patch():
    pictures = [drawn(IMAGE, item(hit)) for hit in (True, False, None)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        rows, columns = np.nonzero((pictures[one] != pictures[other]).any(2))
        assert len(rows) > 20
        assert rows.max() < 32
        assert columns.min() >= 224


def test_the_outline_runs_along_the_mask():
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:40, 10:30] = True
    changed = (drawn(IMAGE, item(mask=mask)) != drawn(IMAGE, item())).any(2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max()) == (80 - 3, 160 + 2)
    assert (columns.min(), columns.max()) == (40 - 3, 120 + 2)
    assert not changed[90:150, 50:110].any()


def test_a_large_picture_keeps_its_size_and_a_frame_its_place():
    large = np.zeros((336, 336, 3), dtype=np.uint8)
    changed = np.asarray(framed(large, (24, 48, 24, 24))).any(2)
    assert changed.shape == (336, 336)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (48, 71, 24, 47)


@pytest.mark.parametrize("models", [("pooled",), ("clip",)])
def test_the_figure_has_every_text_and_bar(workbench, models):
    shown = workbench.compute(View("scene 0", "red", models))
    figure = explorer_view(shown)
    pictures, lists = figure.subfigs
    assert len(pictures.axes) == 1 + len(shown.panels) + len(shown.limits)
    assert len(lists.axes) == 1 + len(shown.panels)
    scores, *answers = lists.axes
    widths = [[bar.get_width() for bar in bars] for bars in scores.containers]
    assert widths == [
        [score.values[number] for score in shown.scores] for number in range(len(shown.scored))
    ]
    for axes, answer in zip(answers, shown.answers, strict=True):
        ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
        assert ends == pytest.approx([value for _, value in answer.ranking])
        assert {bar.get_x() for bar in axes.patches} == {answer.average}  # bars start at the mean
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert len(set(labels)) == len(labels)


def test_on_a_shared_scale_a_weak_map_is_drawn_weak():
    weak, strong = item(heat=1 + 0.1 * RISING), item(heat=1 + RISING)
    limits = (1.0, 2.0)
    bright = [drawn(IMAGE, each, opacity=1.0, limits=limits)[200, -40:].sum() for each in
              (weak, strong)]  # fmt: skip
    assert bright[1] > 1.5 * bright[0]
    np.testing.assert_array_equal(drawn(IMAGE, strong, limits=limits), drawn(IMAGE, strong))


def test_a_photograph_lies_under_the_map_at_its_own_resolution():
    photo = np.random.default_rng(1).integers(256, size=(480, 640, 3), dtype=np.uint8)
    found = drawn(photo, item(), opacity=0.0)
    assert found.shape == (480, 640, 3)
    grey = np.asarray(enlarged(photo).convert("L")).astype(int)
    assert np.abs(found[100:, :, 0] - grey[100:]).max() <= 1
