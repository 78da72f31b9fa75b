"""Figures: what is drawn is what was given, nothing is cut off, and files are written whole."""

import io
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from bclip_core import plotting
from bclip_core.evaluation import HEADLINES
from bclip_core.evaluation.maps import TextMap
from bclip_core.model import METHODS as METHODS_OF_THE_CATALOGUE
from bclip_core.model import get_method
from bclip_core.plotting.files import FIGURES, MEASURED, figures_folder
from bclip_core.plotting.heat import overlaid, palette
from bclip_core.records import REPOSITORY


def line_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


RARE = ((222, 28, 32), (250, 132, 12), (36, 74, 226), (250, 226, 36), (60, 222, 232))


def noisy_figure() -> Figure:
    """Noise all over a colour map, and a few small patches of other colours, as scenes have it."""
    pixels = mpl.colormaps["viridis"](np.random.default_rng(0).random((300, 300)), bytes=True)
    pixels = pixels[..., :3].copy()
    for number, colour in enumerate(RARE):
        pixels[40:46, 10 * number : 10 * number + 6] = colour
    figure = Figure(figsize=(3, 3))
    panel = figure.add_axes((0, 0, 1, 1))
    panel.imshow(pixels, interpolation="nearest")
    panel.set_axis_off()
    return figure


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def all_texts(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]


def strings(figure: Figure) -> list[str]:
    return [text.get_text() for text in all_texts(figure)]


def estimate(mean: float, chance: float = 0.1) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.03, "chance": chance, "count": 50}


@pytest.fixture
def displayed(monkeypatch):
    """What `show` hands to the notebook."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda output: found.append(output.data))
    return found


# Files


def test_save_writes_picture_and_numbers(tmp_path):
    numbers = {"β": [0.0, 0.5], "name": "x"}
    picture, record = plotting.save(line_figure(), "beta_ablation", numbers, tmp_path)
    assert (picture.name, record.name) == ("beta_ablation.png", "beta_ablation.json")
    assert json.loads(record.read_text(encoding="utf-8")) == numbers
    assert Image.open(picture).size == (2 * 150, 150)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork")
@pytest.mark.parametrize("at", ["numbers", "picture"])
def test_a_kill_while_a_figure_is_written_leaves_the_old_picture_whole(tmp_path, at):
    picture, numbers = plotting.save(line_figure(), "a_figure", {"x": 1}, tmp_path)
    before = picture.read_bytes(), numbers.read_bytes()
    pid = os.fork()
    if not pid:
        writes = "write_bytes" if at == "picture" else "write_text"

        def half(path, content, **_):
            with open(path, "w" if isinstance(content, str) else "wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(Path, writes, half)
        plotting.save(Figure(), "a_figure", {"x": 2}, tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert picture.read_bytes() == before[0]
    assert (numbers.read_bytes() == before[1]) == (at == "numbers")
    ignored = [path.name for path in tmp_path.iterdir() if path not in (picture, numbers)]
    assert len(ignored) == 1
    assert re.fullmatch(r"\.a_figure\.(png|json)\.\d+\.partial", ignored[0])
    asked = ["git", "-C", str(REPOSITORY), "check-ignore", "-q", str(FIGURES / ignored[0])]
    assert subprocess.run(asked, check=False).returncode == 0, "it would be committed"


def test_a_file_has_no_traces_of_when_and_where(tmp_path):
    first, _ = plotting.save(line_figure(), "a", {}, tmp_path)
    second, _ = plotting.save(line_figure(), "b", {}, tmp_path)
    assert first.read_bytes() == second.read_bytes()
    assert Image.open(first).info.keys() <= {"dpi"}


@pytest.mark.parametrize("name", ["", "Beta", "a-b", "../a", "a_", "a.png"])
def test_save_refuses_a_name(tmp_path, name):
    with pytest.raises(ValueError, match="lower-case words"):
        plotting.save(line_figure(), name, {}, tmp_path)


def test_numbers_that_are_not_json_leave_no_picture_behind(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        plotting.save(line_figure(), "a", {"loss": float("nan")}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_publish_shows_always_and_saves_outside_smoke(tmp_path, displayed):
    plotting.publish(line_figure(), "a", {"x": 1}, "smoke", tmp_path)
    assert list(tmp_path.iterdir()) == []
    plotting.publish(line_figure(), "a", {"x": 1}, "cpu", tmp_path)
    assert json.loads((tmp_path / "a.json").read_text()) == {"profile": "cpu", "x": 1}
    assert [decoded(content).size for content in displayed] == [(200, 100)] * 2


def test_published_numbers_do_not_say_how_fast_a_run_was(tmp_path, displayed):
    lived = [{"update": 1, "global": 2.5, "seconds": 1.3, "peak_memory": 9.0, "loader_share": 0.1}]
    plotting.publish(line_figure(), "a", {"clip-ft": lived}, "cpu", tmp_path)
    kept = json.loads((tmp_path / "a.json").read_text())
    assert kept == {"profile": "cpu", "clip-ft": [{"update": 1, "global": 2.5}]}


def measured_keys(value) -> set[str]:
    """Keys at any depth that say when or how fast something ran."""
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return set()
    own = MEASURED & value.keys() if isinstance(value, dict) else set()
    return set(own).union(*map(measured_keys, children))


def test_committed_figures_are_the_same_whenever_they_are_made():
    found = sorted(FIGURES.glob("*.json"))
    assert len(found) > 10
    for path in found:
        assert not measured_keys(json.loads(path.read_text(encoding="utf-8"))), path.name
    assert measured_keys({"a": [{"seconds": 1}], "b": {"date": 2}}) == {"seconds", "date"}


def test_an_unknown_profile_is_refused_before_anything_is_shown(tmp_path, displayed):
    with pytest.raises(ValueError, match="profile='nonsense': expected one of smoke"):
        plotting.publish(line_figure(), "a", {"x": 1}, "nonsense", tmp_path)
    assert displayed == []
    assert list(tmp_path.iterdir()) == []


def test_figures_follow_runs_that_go_elsewhere(tmp_path, monkeypatch, displayed):
    monkeypatch.setenv("BCLIP_RUNS", "")
    assert figures_folder() == FIGURES
    with monkeypatch.context() as read_only:
        read_only.setattr("bclip_core.plotting.files.os.access", lambda *_: False)
        assert figures_folder() == REPOSITORY / "results" / "runs" / "figures"
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    plotting.publish(line_figure(), "a", {"x": 1}, "cpu")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["a.json", "a.png"]


def test_show_keeps_a_notebook_small_and_rare_colours_true(displayed):
    plotting.show(noisy_figure())
    (content,) = displayed
    full = plotting.png(noisy_figure(), 100)
    assert len(content) < 0.6 * len(full)
    assert decoded(content).mode == "P"
    shown = np.array(decoded(content).convert("RGB"), dtype=int)
    patches = [shown[43, 10 * number + 3] for number in range(len(RARE))]
    np.testing.assert_allclose(patches, RARE, atol=24)


def test_show_leaves_a_small_figure_in_full_colour(displayed):
    plotting.show(line_figure())
    assert decoded(displayed[0]).mode == "RGB"


# Curves


def history(count: int, *, beta_cal: float | None = None) -> list[dict[str, float]]:
    """A loss that falls by 0.01 an update."""
    records = [{"update": n, "global": 4 - 0.01 * n} for n in range(1, count + 1)]
    if beta_cal is not None:
        records = [{**r, "beta_cal": beta_cal - 0.001 * r["update"]} for r in records]
    return records


def test_training_curves_have_a_panel_per_term():
    figure = plotting.training_curves({"clip-ft": history(8)}, 64)
    assert [panel.get_title() for panel in figure.axes] == ["global loss"]
    runs = {"clip-ft": history(8), "ce": history(8, beta_cal=5.0), "ce-2": history(8, beta_cal=4.0)}
    figure = plotting.training_curves(runs, 64)
    assert [panel.get_title() for panel in figure.axes] == ["global loss", "β-CAL loss"]
    drawn = [line.get_label() for line in figure.axes[1].lines]
    assert drawn == ["ce", "ce-2"]


def test_losses_of_different_size_do_not_share_an_axis():
    runs = {"ce": history(8, beta_cal=5.0), "bce": history(8, beta_cal=0.3)}
    runs["bce"][0]["beta_cal"] = 3.0  # BCE starts high and falls at once
    figure = plotting.training_curves(runs)
    drawn = [[line.get_label() for line in panel.lines] for panel in figure.axes]
    assert drawn == [["ce", "bce"], ["ce"], ["bce"]]
    colours = [panel.lines[-1].get_color() for panel in figure.axes]
    assert colours[0] == colours[2]  # a run keeps its colour


def test_short_curves_are_drawn_as_they_are_and_guessing_is_marked():
    figure = plotting.training_curves({"clip-ft": history(8)}, 64)
    curve, guess = figure.axes[0].lines
    np.testing.assert_allclose(curve.get_xydata(), [(r["update"], r["global"]) for r in history(8)])
    np.testing.assert_allclose(guess.get_ydata(), np.log(64))


def test_guessing_is_named_where_its_line_would_be_far_off():
    low = [{**record, "global": record["global"] / 4} for record in history(8)]
    (panel,) = plotting.training_curves({"clip-ft": low}, 64).axes
    assert panel.get_title() == "global loss (guessing, ln B: 4.16)"
    assert len(panel.lines) == 1


def test_the_running_mean_of_a_straight_line_is_that_line():
    figure = plotting.training_curves({"clip-ft": history(100)})
    raw, mean = figure.axes[0].lines
    assert len(raw.get_xdata()) == 100
    assert raw.get_alpha() < 0.5
    updates, values = mean.get_xydata().T
    assert len(updates) == 96  # the window of 5 is full
    np.testing.assert_allclose(values, 4 - 0.01 * updates)


def test_training_curves_need_a_term():
    with pytest.raises(ValueError, match="expected one that has any of global, beta_cal, "):
        plotting.training_curves({"clip": []})


TITLES = {
    "siglip": ["sigmoid loss"],
    "mulclip": ["global loss", "summary loss", "word loss (MulCLIP)", "sub-caption loss (MulCLIP)"],
    "flair": ["FLAIR, global loss", "FLAIR, local loss"],
    "beta-clip-ce": ["global loss", "β-CAL loss"],
}


@pytest.mark.parametrize("method", TITLES)
def test_every_term_of_a_history_has_a_panel_with_its_own_title(method):
    labels = get_method(method).labels
    lived = [{"update": n, "loss": 9.0, **dict.fromkeys(labels, 3 - 0.1 * n)} for n in range(1, 9)]
    figure = plotting.training_curves({method: lived})
    assert [panel.get_title() for panel in figure.axes] == TITLES[method]
    for panel in figure.axes:
        np.testing.assert_allclose(panel.lines[0].get_ydata(), [3 - 0.1 * n for n in range(1, 9)])


def test_all_terms_of_the_catalogue_can_be_drawn():
    for name, method in METHODS_OF_THE_CATALOGUE.items():
        if method.terms:
            lived = [{"update": n, **dict.fromkeys(method.labels, 2.0)} for n in (1, 2)]
            panels = plotting.training_curves({name: lived}).axes
            assert len({panel.get_title() for panel in panels}) == len(method.labels), name


def test_a_loss_that_falls_by_decades_has_a_logarithmic_axis():
    low = history(8, beta_cal=3.2)
    low[-1]["beta_cal"] = 0.05
    scales = [panel.get_yscale() for panel in plotting.training_curves({"bce": low}).axes]
    assert scales == ["linear", "log"]


def test_beta_ablation_draws_means_bars_baseline_and_chance():
    points = {1.0: {"m": estimate(0.4)}, 0.0: {"m": estimate(0.3)}}  # any order
    figure = plotting.beta_ablation(points, {"m": estimate(0.2)}, {"Title": "m"})
    (panel,) = figure.axes
    assert panel.get_title() == "Title"
    (container,) = panel.containers
    curve, _, (bars,) = container
    np.testing.assert_allclose(curve.get_xydata(), [(0, 30), (1, 40)])
    np.testing.assert_allclose([b[:, 1] for b in bars.get_segments()], [(28, 33), (38, 43)])
    levels = {line.get_label(): line.get_ydata()[0] for line in panel.lines[1:]}
    assert levels["global loss only"] == pytest.approx(20)
    assert levels["chance"] == pytest.approx(10)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(legend) == ["chance", "global loss only", "β-CAL"]


def test_beta_ablation_shows_what_all_runs_have():
    names = list(HEADLINES.values())
    points = {beta: {name: estimate(0.3) for name in names} for beta in (0.0, 0.5)}
    assert len(plotting.beta_ablation(points).axes) == 6
    del points[0.5]["regions/dense/hard"]
    visible = [panel for panel in plotting.beta_ablation(points).axes if panel.axison]
    assert len(visible) == 5
    with pytest.raises(ValueError, match="at least one in every run"):
        plotting.beta_ablation(points, panels={"Title": "unknown"})


# Targets


def test_targets_are_written_as_fractions_and_ones_are_framed():
    half = [[2 / 3, 1 / 3], [1 / 3, 2 / 3]]
    figure = plotting.beta_cal_targets(
        {0.5: half}, {0.5: [[1, 0.5], [0.5, 1]]}, [[1, 1], [1, 1]], ["A1", "A2"]
    )
    above, below = figure.axes
    assert [text.get_text() for text in above.texts] == ["2/3", "1/3", "1/3", "2/3"]
    assert [text.get_text() for text in below.texts] == ["1", "1/2", "1/2", "1"]
    assert above.get_title().startswith("β = 1/2")
    assert len(below.lines) == 8  # two cells on each of four sides
    assert len(above.lines) == 0


def test_targets_that_do_not_fit_are_refused():
    one = [[1.0]]
    with pytest.raises(ValueError, match="β of the two rows"):
        plotting.beta_cal_targets({0.0: one}, {1.0: one}, one, ["A1"])
    with pytest.raises(ValueError, match="not 2 by 2"):
        plotting.beta_cal_targets({0.0: one}, {0.0: one}, one, ["A1", "A2"])


def test_targets_on_a_circle_are_lines_as_thick_as_their_shares():
    shares = {0.0: [1.0, 0.0, 0.0], 0.5: [0.5, 0.5, 0.0]}
    figure = plotting.targets_on_a_circle(
        [0, 90, 180], ["A1", "A2", "B1"], 90, "A1", shares, {0.0: "loss 1", 0.5: "loss 2"}
    )
    none, half = figure.axes
    assert [panel.get_xlabel() for panel in (none, half)] == ["loss 1", "loss 2"]
    lines = [line for line in half.lines if len(line.get_xdata()) == 2]
    assert [line.get_linewidth() for line in lines] == [5.0, 5.0]
    np.testing.assert_allclose(
        [line.get_xydata()[1] for line in lines], [(1, 0), (0, 1)], atol=1e-9
    )
    assert len([line for line in none.lines if len(line.get_xdata()) == 2]) == 1
    (picture,) = (line for line in none.lines if line.get_marker() == "D")
    np.testing.assert_allclose(picture.get_xydata(), [(0, 0.86)], atol=1e-9)
    with pytest.raises(ValueError, match=r"\[2, 1, 2\]"):
        plotting.targets_on_a_circle([0, 90], ["A1"], 0, "A1", {0.0: [1.0, 0.0]}, {0.0: ""})


# Methods side by side

METHODS = {
    "clip": {"a": estimate(0.25, 0.125)},
    "beta-clip-ce": {"a": estimate(0.5, 0.125), "b": estimate(0.75)},
}


def test_the_overview_puts_each_method_where_its_numbers_are():
    figure = plotting.methods_overview(METHODS, {"First": "a", "Second": "b"})
    first, second = (panel for panel in figure.axes if panel.axison)
    assert [text.get_text() for text in first.get_yticklabels()] == list(METHODS)
    found = [(c[0].get_xdata()[0], c[0].get_ydata()[0]) for c in first.containers]
    np.testing.assert_allclose(found, [(25, 0), (50, 1)])
    assert [text.get_text().strip() for text in second.texts] == ["does not apply"]
    chance = [line for line in first.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in chance] == pytest.approx([12.5, 12.5])
    (only,) = [line for line in second.lines if line.get_linestyle() == ":"]
    assert list(only.get_ydata()) == [0.5, 1.5], "no chance through 'does not apply'"
    assert first.get_xlim() == second.get_xlim(), "one range for a row"
    assert first.get_xlim()[1] > 78
    with pytest.raises(ValueError, match="expected one that some method has"):
        plotting.methods_overview(METHODS, ["c"])


def test_table_markdown():
    assert plotting.table_markdown(METHODS, {"First": "a", "Second": "b", "Third": "c"}) == (
        "| % [95 % interval] | chance |              clip |      beta-clip-ce |\n"
        "| ----------------- | -----: | ----------------: | ----------------: |\n"
        "| First             |   12.5 | 25.0 [23.0, 28.0] | 50.0 [48.0, 53.0] |\n"
        "| Second            |   10.0 |                 – | 75.0 [73.0, 78.0] |"
    )
    assert "\n| b " in plotting.table_markdown(METHODS, ["b"])


def test_a_table_is_shown_as_markdown_and_cut_where_it_is_too_wide(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    rows = [["method", *(f"measure number {n}" for n in range(9))], ["mine", *map(str, range(9))]]
    plotting.show_table(rows)
    (output,) = shown
    tables = output.data.split("\n\n")
    assert len(tables) == 2
    assert all(table.startswith("| method | measure") for table in tables)
    assert max(map(len, output.data.splitlines())) <= 110
    cells = [cell.strip() for table in tables for cell in table.splitlines()[2].split("|")[2:-1]]
    assert cells == list(map(str, range(9))), "every column once, in order"
    plotting.show_table([["a", "x" * 200], ["b", "c"]])
    assert shown[1].data.count("\n") == 2, "a single column is not cut"
    plotting.show_table(rows, left=2, keys=2)
    heads = [line for line in shown[2].data.splitlines() if "method" in line]
    assert len(heads) == 2
    assert all(head.startswith("| method | measure number 0 | measure") for head in heads)


# Pictures

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
LONG = "a medium purple heart with a black outline in the bottom right corner and costs $5 or $6"


def drawn_boxes(figure: Figure) -> list[tuple[str, mpl.transforms.Bbox]]:
    figure.canvas.draw()
    return [(text.get_text(), text.get_window_extent()) for text in all_texts(figure)]


def test_gallery_keeps_every_word_on_the_page_and_apart():
    figure = plotting.scene_gallery([PICTURE] * 5, [LONG] * 5, [[LONG, LONG]] * 5, columns=4)
    found = drawn_boxes(figure)
    assert [" ".join(text.split()) for text, _ in found] == [LONG] * 15
    page = figure.bbox
    for _, box in found:
        assert page.x0 <= box.x0 <= box.x1 <= page.x1
        assert page.y0 <= box.y0 <= box.y1 <= page.y1
    areas = [box for _, box in found] + [
        panel.get_window_extent() for panel in figure.axes if panel.axison
    ]
    overlaps = [
        (i, j)
        for i, a in enumerate(areas)
        for j, b in enumerate(areas[:i])
        if a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1
    ]
    assert overlaps == []


def test_gallery_frames_an_object_in_the_colour_of_its_phrase():
    boxes = [[(2.0, 3.0, 5.0, 6.0), None, (0.0, 0.0, 4.0, 4.0)]]
    figure = plotting.scene_gallery([PICTURE], ["caption"], [["one", "two", "three"]], boxes, 1)
    (panel,) = figure.axes
    colours = {text.get_text(): to_rgb(text.get_color()) for text in panel.texts}
    assert len(set(colours.values())) == 4
    first, second = panel.patches
    assert first.get_edgecolor()[:3] == colours["one"]
    assert second.get_edgecolor()[:3] == colours["three"]
    assert (first.get_x(), first.get_y()) == (1.5, 2.5)  # pixel 2 begins at 1.5
    assert (first.get_width(), first.get_height()) == (5, 6)


def test_gallery_refuses_missing_captions():
    with pytest.raises(ValueError, match=r"\[2, 1, 2, 2\]"):
        plotting.scene_gallery([PICTURE] * 2, ["only one"])


def text_map(text: str, hit: bool | None) -> TextMap:
    mask = np.zeros((16, 16), dtype=bool)
    mask[4:9, 4:9] = True
    heat = np.arange(256.0).reshape(16, 16)
    return TextMap(text, heat, (8.0, 4.0, 4.0, 4.0), "1.3 × even", mask, hit)


def test_attention_grid_marks_patch_verdict_and_outline():
    first = [text_map("red $\\frac{ $ circle", True), text_map("star", False)]
    maps = [first, [text_map("dog", None)]]
    figure = plotting.attention_grid([PICTURE] * 2, maps, ["first", "second"])
    grid = np.array(figure.axes).reshape(2, 3)
    assert [panel.get_title() for panel in grid[:, 0]] == ["first", "second"]
    hit, miss, unknown = grid[0, 1], grid[0, 2], grid[1, 1]
    assert hit.get_title() == "red $\\frac{ $ circle\n(1.3 × even, hit)"
    assert miss.get_title().endswith("(1.3 × even, miss)")
    assert unknown.get_title() == "dog\n(1.3 × even)"
    assert not grid[1, 2].axison
    # What is drawn is the one definition of heat over a picture, verdict and frame included.
    for panel, item in zip((hit, miss, unknown), (*first, maps[1][0]), strict=True):
        expected = np.asarray(overlaid(PICTURE, item, side=384))
        np.testing.assert_array_equal(panel.images[0].get_array(), expected)
    drawn = [np.asarray(panel.images[0].get_array()) for panel in (hit, miss, unknown)]
    assert not any(np.array_equal(drawn[a], drawn[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    plotting.png(figure)  # dollar signs are no mathematics


def test_maps_that_are_compared_share_one_colour_scale_and_bar():
    def maps(times: float) -> list[TextMap]:
        item = text_map("star", True)
        return [item._replace(heat=times * item.heat)]

    rows = [maps(1.0), maps(2.0), maps(10.0)]
    figure = plotting.attention_grid([PICTURE] * 3, rows, scales=["cosine", "cosine", "× even"])
    grid = np.array(figure.axes[:6]).reshape(3, 2)
    drawn = [np.asarray(panel.images[0].get_array()) for panel in grid[:, 1]]
    for pixels, row, limits in zip(drawn, rows, [(0, 510), (0, 510), (0, 2550)], strict=True):
        expected = np.asarray(overlaid(PICTURE, row[0], side=384, limits=limits))
        np.testing.assert_array_equal(pixels, expected)
    assert not np.array_equal(drawn[0], drawn[1])  # half as hot looks half as hot
    bars = {bar.get_ylabel(): bar.get_ylim() for bar in figure.axes[6:]}
    assert bars == {"cosine": (0, 510), "× even": (0, 2550)}
    alone = plotting.attention_grid([PICTURE] * 3, rows)
    assert len(alone.axes) == 6
    np.testing.assert_array_equal(
        alone.axes[1].images[0].get_array(), np.asarray(overlaid(PICTURE, rows[0][0], side=384))
    )


def test_on_a_logarithmic_scale_little_attention_is_all_cold_and_ratios_are_steps():
    steps = np.repeat([[0.1, 0.4, 2.0, 8.0]], 16, axis=0).repeat(4, axis=1)
    rows = [[text_map("star", None)._replace(heat=steps, mask=None)]]
    figure = plotting.attention_grid(
        [PICTURE], rows, opacity=1.0, scales=["× even"], logarithmic=True
    )
    pixels = np.asarray(figure.axes[1].images[0].get_array())
    across = [pixels[-8, 384 * part // 8].tolist() for part in (1, 3, 5, 7)]  # middles of the steps
    cold, middle, hot = (palette()[place].astype(int) for place in (0, 128, 255))
    assert across[0] == across[1] == cold.tolist()
    np.testing.assert_allclose(across[2], middle, atol=3)  # 2 is half way from ½ to 8
    np.testing.assert_allclose(across[3], hot, atol=3)
    (bar,) = figure.axes[2:]
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["≤ 0.5", "1", "2", "5"]


def test_titles_of_three_lines_lie_on_the_page():
    for rows in ([[text_map(LONG, True)]], [[text_map(LONG, True)], [text_map("star", None)]]):
        figure = plotting.attention_grid([PICTURE] * len(rows), rows)
        plotting.png(figure, 100)  # lays the page out
        title = figure.axes[1].title
        assert title.get_text().count("\n") == 3
        assert title.get_window_extent().y1 <= figure.bbox.y1


def test_attention_grid_refuses_rows_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\[1, 2, 0, 0\]"):
        plotting.attention_grid([PICTURE], [[], []])
    with pytest.raises(ValueError, match=r"\[1, 1, 0, 2\]"):
        plotting.attention_grid([PICTURE], [[text_map("x", True)]], scales=["cosine", "cosine"])


def test_figures_stay_out_of_the_readers_session():
    before = dict(mpl.rcParams)
    plotting.training_curves({"clip-ft": history(3)})
    plotting.methods_overview(METHODS, ["a"])
    plotting.attention_grid([PICTURE], [[text_map("x", True)]])
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_a_readers_settings_do_not_change_a_figure():
    expected = plotting.png(plotting.methods_overview(METHODS, ["a"]))
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "axes.facecolor": "black"}):
        assert plotting.png(plotting.methods_overview(METHODS, ["a"])) == expected


def test_costs_draw_every_version_and_the_slopes_of_n_and_n_squared():
    costs = {"equations": 4.0, "autograd": 2.0, "bfloat16": 0.5, "streamed": 1.0}
    rows = [
        {
            "form": form,
            "images": images,
            "version": version,
            "cpu_seconds": cost * images**2,
            "peak_megabytes": cost * images,
        }
        for form in ("ce", "bce")
        for images in (16, 32)
        for version, cost in costs.items()
    ]
    figure = plotting.loss_costs(rows)
    assert [panel.get_title() for panel in figure.axes] == [
        *["cross-entropy"] * 2,
        *["sigmoid"] * 2,
    ]
    for panel, power in zip(figure.axes, (2, 1, 2, 1), strict=True):
        *versions, guide = panel.lines
        for line, cost in zip(versions, costs.values(), strict=True):
            assert list(line.get_xdata()) == [16, 32]
            assert list(line.get_ydata()) == [cost * 16**power, cost * 32**power]
        (x, y), (right, top) = zip(guide.get_xdata(), guide.get_ydata(), strict=True)
        assert (right, top) == (32, 32**power)  # through the streamed version's largest
        assert top / y == (right / x) ** power
    fewer = plotting.loss_costs([row for row in rows if row["version"] != "bfloat16"])
    assert [len(panel.lines) for panel in fewer.axes] == [4] * 4


def test_settings_are_pairs_of_bars_relative_to_the_first():
    rows = [
        {"setting": "as shipped", "seconds_per_update": 2.0, "peak_megabytes": 2000.0},
        {"setting": "fp32", "seconds_per_update": 3.0, "peak_megabytes": 1500.0},
    ]
    (panel,) = plotting.training_settings(rows).axes
    assert [bar.get_width() for bar in panel.patches] == [1.0, 1.0, 1.5, 0.75]
    assert [text.get_text().strip() for text in panel.texts] == [
        "2.00 s", "2,000 MB", "3.00 s", "1,500 MB"
    ]  # fmt: skip
    assert [label.get_text() for label in panel.get_yticklabels()] == ["as shipped", "fp32"]


def test_text_positions_are_bars_per_image_with_their_numbers():
    counts = {"Urban-1K": {"padded": 18_000, "encoded": 4_100, "distinct": 4_000, "passes": 9}}
    figure = plotting.text_positions(counts, 10)
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == [1800, 410, 400]
    assert {" 1,800", " 410", " 400"} <= {text.get_text() for text in figure.axes[0].texts}


def test_of_two_close_lengths_the_more_common_one_is_labelled():
    run = [{"m": {"mean": 0.5, "count": 10}}]
    points = {"a": {1000: run, 2000: run, 3000: run}, "b": {1000: run, 3000: run}}
    ticks = plotting.learning_curves(points, {"M": "m"}).axes[0]
    assert list(ticks.get_xticks()) == [1000, 2000, 3000]
    assert [tick.get_text() for tick in ticks.get_xticklabels()] == ["1,000", "", "3,000"]


def test_learning_curves_join_means_and_mark_own_runs():
    def runs(*means):
        return [{"a": estimate(mean)} for mean in means]

    points = {"one": {100: runs(0.2, 0.4), 300: runs(0.5)}, "two": {100: [{"b": estimate(0.9)}]}}
    figure = plotting.learning_curves(
        points, {"A": "a", "B": "b", "C": "c"}, {"one": {100: runs(0.25)}}
    )
    first, second = (axes for axes in figure.axes if axes.get_title())
    assert (first.get_title(), second.get_title()) == ("A", "B"), "nobody has c"
    lines = {line.get_label(): line for line in first.lines}
    assert lines["one"].get_xydata().tolist() == [[100, pytest.approx(30)], [300, 50]]
    assert lines["one, your own"].get_xydata().tolist() == [[100, 25]]
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["100", "300"]
    with pytest.raises(ValueError, match="expected at least one in some run"):
        plotting.learning_curves(points, {"C": "c"})
