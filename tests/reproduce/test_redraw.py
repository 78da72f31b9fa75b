"""Figures are what the code draws of their numbers, and no figure is forgotten."""

import json

import numpy as np
import pytest
from PIL import Image

from bclip_core.plotting.files import FIGURES
from bclip_core.reproduce.redraw import DRAWN, MAPS, main, redraw


def test_every_committed_figure_is_drawn_from_numbers_or_by_a_model():
    committed = {path.stem for path in FIGURES.glob("*.png")}
    assert committed == {path.stem for path in FIGURES.glob("*.json")}
    assert committed == MAPS | set(DRAWN)
    assert not MAPS & set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_the_committed_figure_is_what_its_numbers_give(name, tmp_path):
    """Old looks beside new code is what this finds; letters may differ by their smoothing."""
    drawn = np.asarray(Image.open(redraw(name, tmp_path)).convert("L"), dtype=int)
    committed = np.asarray(Image.open(FIGURES / f"{name}.png").convert("L"), dtype=int)
    assert drawn.shape == committed.shape
    assert (abs(drawn - committed) > 64).mean() < 0.002, f"redraw {name}"


@pytest.mark.parametrize(
    ("name", "why"), [("explorer_view", "needs its model"), ("nothing", "no such figure")]
)
def test_what_cannot_be_drawn_is_refused(name, why, tmp_path):
    with pytest.raises(ValueError, match=f"figure '{name}': {why}.*expected one of .*leak"):
        redraw(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_draws_what_is_named_and_leaves_the_numbers(tmp_path, capsys):
    main(["--names", "training_settings", "--folder", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["training_settings.png"]
    assert capsys.readouterr().out.strip() == str(tmp_path / "training_settings.png")
    numbers = json.loads((FIGURES / "training_settings.json").read_text(encoding="utf-8"))
    assert numbers["rows"]
