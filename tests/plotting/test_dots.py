"""Figures over many methods: what is drawn is what was given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bclip_core import plotting
from bclip_core.plotting.dots import GROUPS, METHOD_PANELS
from bclip_core.plotting.style import COLOURS
from bclip_core.studies.figures import conditioning_pairs, search_trials
from bclip_core.studies.leak import tables as leak_tables
from bclip_core.studies.leak.study import ORDER

LONG = "retrieval/global/long/t2i_R@1"
BACK = "retrieval/global/long/i2t_R@1"
HARD = "regions/dense/hard"


def estimate(mean: float, chance: float | None = 0.1) -> dict[str, float]:
    known = {} if chance is None else {"chance": chance}
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.03, **known}


METHODS = {
    "clip": {LONG: estimate(0.2), BACK: estimate(0.3)},
    "late": {LONG: estimate(0.6), BACK: estimate(0.7), HARD: estimate(0.3)},
    "first": {LONG: estimate(0.4), BACK: estimate(0.5), HARD: estimate(0.2)},
    "also-late": {LONG: estimate(0.8), BACK: estimate(0.9), HARD: estimate(0.4)},
}
KINDS = {"clip": "untouched", "late": GROUPS[4], "first": GROUPS[0], "also-late": GROUPS[4]}


def panels(figure):
    return {axes.get_title().split("\n")[0]: axes for axes in figure.axes if axes.axison}


def dots(panel):
    """Position of every mean of a panel, and its colour."""
    lines = [container[0] for container in panel.containers if hasattr(container[0], "get_xdata")]
    places = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]
    return places, [to_hex(line.get_color()) for line in lines]


def drawn_bars(panel):
    """Bars, not the grey bands behind every other row."""
    return [patch for patch in panel.patches if patch.get_height() == pytest.approx(0.6)]


def test_comparison_puts_groups_together_and_marks_where_the_numbers_are():
    figure = plotting.method_comparison(METHODS, KINDS)
    drawn = panels(figure)
    assert list(drawn) == ["long captions, R@1", "regions, hard"]
    long, hard = drawn.values()
    rows = [text.get_text() for text in long.get_yticklabels()]
    assert rows == ["clip", "late", "also-late", "first"]  # the group of "late" comes first
    places, colours = dots(long)
    expected = [(20, 0), (30, 0), (60, 1), (70, 1), (80, 2), (90, 2), (40, 3), (50, 3)]
    np.testing.assert_allclose([x for x, _ in places], [x for x, _ in expected])
    assert [round(y) for _, y in places] == [y for _, y in expected]
    assert places[0][1] < places[1][1], "two marks of a row are apart"
    assert set(colours[2:6]) == {to_hex(COLOURS[4])}, "a group keeps its colour in any company"
    assert set(colours[6:]) == {to_hex(COLOURS[0])}
    np.testing.assert_allclose([x for x, _ in dots(hard)[0]], [30, 40, 20])
    assert [y for _, y in dots(hard)[0]] == [1, 2, 3], "one mark stands in the middle"
    assert [text.get_text().strip() for text in hard.texts] == ["–"]
    chances = [line.get_xdata()[0] for line in hard.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose(chances, [10])


def test_costs_stand_at_the_ends_of_the_rows():
    costs = {"seconds": {"late": 1.5, "first": 0.25}, "memory": {"late": 2345.0}}
    figure = plotting.method_comparison(METHODS, KINDS, costs, columns=2)
    assert list(panels(figure)) == ["long captions, R@1", "seconds", "regions, hard", "memory"]
    panel = panels(figure)["seconds"]
    bars = {round(bar.get_y() + 0.3): bar.get_width() for bar in drawn_bars(panel)}
    assert bars == pytest.approx({1: 1.5, 3: 0.25})
    words = [text.get_text().strip() for text in panels(figure)["memory"].texts]
    assert words == ["–", "2,345", "–", "–"]


def test_metrics_that_nobody_has_are_refused():
    with pytest.raises(ValueError, match="expected one that some method has"):
        plotting.method_comparison({"mine": {"other": estimate(0.5)}}, {"mine": "mine"})


@pytest.mark.parametrize("count", [3, 16])
def test_rows_do_not_touch_whatever_their_number(count):
    several = {f"method-{n}": METHODS["late"] for n in range(count)}
    figure = plotting.method_comparison(several, dict.fromkeys(several, "one"))
    plotting.png(figure, 100)  # lays the page out
    labels = figure.axes[0].get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert all(above.y0 > below.y1 for above, below in zip(boxes, boxes[1:], strict=False))
    assert min(box.x0 for box in boxes) >= 0


def test_titles_of_panels_do_not_overlap():
    names = {name for series in METHOD_PANELS.values() for name in series.values()}
    whole = {"one": {name: estimate(0.5) for name in names}}
    figure = plotting.method_comparison(whole, {"one": "mine"}, {"seconds per step": {"one": 1.0}})
    plotting.png(figure, 100)  # lays the page out
    boxes = [panel.title.get_window_extent() for panel in figure.axes[:5]]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_the_leak_is_drawn_against_what_is_left_of_honest_measures():
    leak, honest = "leak/identical/t2i_R@1", "leak/honest/t2i_R@1"
    variants = {
        "untrained": {leak: estimate(0.1, 0.002), honest: estimate(0.05)},
        "own": {leak: estimate(0.4, 0.002), honest: estimate(0.6)},
        "own, one head": {leak: estimate(0.03, 0.002), honest: estimate(0.7)},
        "not measured": {leak: estimate(0.5, 0.002)},
    }
    groups = dict(
        zip(variants, ["untrained", "the paper's form", "one head", "one head"], strict=True)
    )
    figure = plotting.leak_scatter(variants, groups)
    (panel,) = figure.axes
    places = [c[0].get_xydata()[0].tolist() for c in panel.containers]
    np.testing.assert_allclose(places, [(10, 5), (40, 60), (3, 70)])
    assert [text.get_text() for text in panel.texts] == ["1", "2", "3"]
    assert panel.get_xscale() == "log"
    assert len({to_hex(c[0].get_color()) for c in panel.containers}) == 3
    assert panel.lines[-1].get_xdata()[0] == pytest.approx(0.2), "chance"
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key[:2] == ["untrained", "1  untrained"]
    assert "4  not measured" in key
    with pytest.raises(ValueError, match="leak/identical"):
        plotting.leak_scatter({"own": METHODS["late"]}, {"own": "mine"})


def test_numbers_of_near_marks_stand_apart():
    leak, honest = "leak/identical/t2i_R@1", "leak/honest/t2i_R@1"
    places = [(0.05, 0.5), (0.052, 0.5), (0.05, 0.51), (0.052, 0.51)]
    variants = {
        f"way {number}": {leak: estimate(x, 0.002), honest: estimate(y)}
        for number, (x, y) in enumerate([*places, (0.4, 0.1), (0.01, 0.7)])
    }
    figure = plotting.leak_scatter(variants, dict.fromkeys(variants, "one"))
    plotting.png(figure, 100)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    for number, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:number])


def test_a_mark_at_zero_is_whole():
    measured = {"one": {"a": estimate(0.0)}, "two": {"a": estimate(0.5)}}
    assert plotting.methods_overview(measured, ["a"]).axes[0].get_xlim()[0] < 0
    panels = {"a": {"": "a"}}
    figure = plotting.method_comparison(measured, dict.fromkeys(measured, "one"), panels=panels)
    assert figure.axes[0].get_xlim()[0] < 0


def test_kinds_of_the_leaks_variants():
    found = {name: leak_tables.kind(name) for name in ORDER}
    assert set(found.values()) == {*leak_tables.KINDS, "the paper's form"}
    assert [n for n, k in found.items() if k == "the paper's form"] == [
        "own", "own, equal time", "own, rate of cross"
    ]  # fmt: skip
    assert found["own + cross, one head"] == found["own, one head, centred"] == "one head"
    assert found["cross"] == found["own + cross, 32 images"] == "other pictures too"


def test_search_rings_the_chosen_trial_and_tells_weights_apart():
    trials = [
        {"rate": rate, "weight": weight, "score": score}
        for rate, weight, score in ((0.5, 1.0, 0.3), (1.0, 1.0, 0.5), (1.0, 3.0, 0.4))
    ]
    figure = search_trials({"a-method": {"trials": trials, "chosen": trials[1]}})
    *marks, ring = figure.axes[0].lines
    assert [mark.get_marker() for mark in marks] == ["o", "o", "^"]
    assert [float(mark.get_ydata()[0]) for mark in marks] == pytest.approx([30, 50, 40])
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (1.0, pytest.approx(50))
    with pytest.raises(ValueError, match="at least one method"):
        search_trials({})


def test_pairs_are_drawn_with_the_first_image_at_the_top():
    grids = {"own": [[1, 0], [0, 1]], "more": [[1, 2], [2, 1]]}
    figure = conditioning_pairs(grids, ["1a", "2a"])
    own, more = figure.axes
    np.testing.assert_array_equal(more.collections[0].get_array().reshape(2, 2), [[1, 2], [2, 1]])
    assert own.get_ylim() == more.get_ylim() == (2, 0)
    with pytest.raises(ValueError, match="own: rows of \\[2\\] cells: expected 3"):
        conditioning_pairs(grids, ["1a", "1b", "2a"])
