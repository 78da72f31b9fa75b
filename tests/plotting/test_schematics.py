"""Schematics: every text lies on the sheet, and those in boxes inside their box."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from bclip_core.captions import decompose
from bclip_core.plotting.schematics import SCHEMATICS, texts_of_a_caption
from bclip_core.reproduce.notebooks import find_notebooks, read_notebook

CAPTION = (
    "A small striped star sits above a large blue circle. To the left of the circle there is a red "
    "ring with a dark border. The background is plain grey."
)


def caption_figure() -> Figure:
    texts = decompose(CAPTION)
    return texts_of_a_caption(texts.caption, texts.sentences, texts.sentence_phrases)


@pytest.mark.parametrize("draw", [*SCHEMATICS.values(), caption_figure])
def test_texts_lie_on_the_sheet_and_in_their_boxes(draw):
    figure = draw()
    FigureCanvasAgg(figure).draw()
    panel, sheet = figure.axes[0], figure.bbox
    boxes = [
        patch.get_window_extent() for patch in panel.patches if isinstance(patch, FancyBboxPatch)
    ]
    assert len(panel.texts) > len(boxes) > 3
    for text in panel.texts:
        words, extent = text.get_text(), text.get_window_extent()
        assert sheet.x0 <= extent.x0 < extent.x1 <= sheet.x1, words
        assert sheet.y0 <= extent.y0 < extent.y1 <= sheet.y1, words
        for box in boxes:
            if box.contains((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2):
                assert box.x0 <= extent.x0 < extent.x1 <= box.x1, words
                assert box.y0 <= extent.y0 < extent.y1 <= box.y1, words


def test_the_caption_that_is_drawn_is_the_one_given():
    drawn = [text.get_text() for text in caption_figure().axes[0].texts]
    assert "a large blue circle" in drawn
    assert " ".join(drawn[0].split()) == CAPTION


def test_sentences_without_their_phrases_are_refused():
    with pytest.raises(ValueError, match="2 sentences, 1 lists of phrases"):
        texts_of_a_caption("a. b.", ["a.", "b."], [["a"]])


def test_all_six_ideas_stand_in_a_notebook():
    drawn = {"texts_of_a_caption": texts_of_a_caption, **SCHEMATICS}
    assert len(drawn) == 6
    code = "\n".join(
        cell.source
        for path in find_notebooks()
        for cell in read_notebook(path).cells
        if cell.cell_type == "code"
    )
    for name, draw in drawn.items():
        assert f"schematics.{draw.__name__}(" in code, name


def test_bands_are_darker_the_larger_beta():
    panel = SCHEMATICS["beta_bands"]().axes[0]
    cells = [p for p in panel.patches if isinstance(p, Rectangle) and p.get_fill()]
    assert len(cells) == 3 * 12 * 12
    light = [sum(cells[144 * number + 1].get_facecolor()[:3]) for number in range(3)]
    assert light[0] == 3, "at β = 0 another text of the picture is as white as a stranger's"
    assert light[0] > light[1] > light[2]
    assert light[2] == pytest.approx(sum(cells[0].get_facecolor()[:3])), "at β = 1 all are alike"
