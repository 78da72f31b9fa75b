"""Schematics: every text lies on the sheet, and those in boxes inside their box."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bclip_core.captions import decompose
from bclip_core.plotting.schematics import SCHEMATICS, texts_of_a_caption

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
