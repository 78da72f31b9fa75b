"""Pictures of ideas: what goes where, drawn with boxes and arrows. No result is in them.

Every drawing is made in a coordinate system of inches, so that texts keep their size.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from bclip_core.plotting.style import COLOURS, GUIDE, style

IMAGE, TEXT, LOSS, PLAIN = COLOURS[0], COLOURS[1], COLOURS[2], "0.55"
"""Colours of what comes from pictures, of what comes from texts, of losses, of the rest."""

Point = tuple[float, float]
_GRID = 4  # patches per side of a drawn picture
_LOOKED_AT = {(1, 1): 0.9, (1, 2): 0.65, (2, 1): 0.5, (2, 2): 0.3}  # weights by row, column


def _pale(colour: str, share: float = 0.82) -> tuple[float, ...]:
    return tuple(1 - (1 - channel) * (1 - share) for channel in to_rgb(colour))


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    panel = figure.add_axes((0, 0, 1, 1))
    panel.set_xlim(0, width)
    panel.set_ylim(0, height)
    panel.set_axis_off()
    return figure, panel


def _box(
    panel: Axes, centre: Point, text: str, colour: str, size: Point = (1.5, 0.5), points: float = 9
) -> None:
    x, y = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    shape = f"round,pad=0,rounding_size={min(0.09, size[1] / 3)}"
    panel.add_patch(
        FancyBboxPatch((x, y), *size, shape, facecolor=_pale(colour), edgecolor=colour, lw=1.4)
    )
    panel.text(*centre, text, ha="center", va="center", fontsize=points, linespacing=1.25)


def _arrow(panel: Axes, start: Point, end: Point, colour: str = "0.25", bend: float = 0.0) -> None:
    panel.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.4,
            shrinkA=2, shrinkB=2, connectionstyle=f"arc3,rad={bend}",
        )
    )  # fmt: skip


def _note(panel: Axes, place: Point, text: str, colour: str = "0.25", points: float = 8.5) -> None:
    panel.text(
        *place, text, ha="center", va="center", fontsize=points, color=colour, linespacing=1.25
    )


def _patches(
    panel: Axes, corner: Point, side: float, shown: dict[tuple[int, int], float] | None = None
) -> None:
    """A picture as a grid of patches; those that are looked at are darker."""
    cell = side / _GRID
    for row in range(_GRID):
        for column in range(_GRID):
            weight = (shown or {}).get((row, column), 0.0)
            place = (corner[0] + column * cell, corner[1] + side - (row + 1) * cell)
            colour = _pale(IMAGE, 0.9 - 0.75 * weight)
            panel.add_patch(Rectangle(place, cell, cell, facecolor=colour, edgecolor=IMAGE, lw=0.9))


def two_towers() -> Figure:
    """CLIP: one embedding of a whole picture, one of a whole caption, compared across a batch."""
    with style():
        figure, panel = _sheet(8.4, 3.0)
        _patches(panel, (0.3, 1.75), 1.0)
        _note(panel, (0.8, 1.6), "picture: P patches")
        _box(panel, (2.5, 2.25), "image tower\n(ViT)", IMAGE, (1.5, 0.7))
        _box(panel, (4.6, 2.25), "class token\n1 vector", IMAGE, (1.3, 0.7))
        _note(panel, (0.75, 0.72), "“a striped star\nabove a small\nblue circle”", TEXT, 8.5)
        _box(panel, (2.5, 0.72), "text tower\n(causal)", TEXT, (1.5, 0.7))
        _box(panel, (4.6, 0.72), "end token\n1 vector", TEXT, (1.3, 0.7))
        for height, start in ((2.25, 1.35), (0.72, 1.35)):
            _arrow(panel, (start, height), (1.75, height))
            _arrow(panel, (3.25, height), (3.95, height))
        _match_matrix(panel, (6.35, 0.75), 1.45, IMAGE, TEXT)
        _arrow(panel, (5.25, 2.25), (6.3, 1.75), IMAGE)
        _arrow(panel, (5.25, 0.72), (6.3, 1.2), TEXT)
        _note(panel, (7.1, 2.5), "whole pictures × whole captions:\nonly the diagonal matches")
        _note(panel, (7.1, 0.45), "where the star is,\nnobody asks", "0.35")
    return figure


def _match_matrix(panel: Axes, corner: Point, side: float, rows: str, columns: str) -> None:
    cell = side / 4
    for row in range(4):
        for column in range(4):
            place = (corner[0] + column * cell, corner[1] + side - (row + 1) * cell)
            colour = _pale(LOSS, 0.25) if row == column else "white"
            panel.add_patch(Rectangle(place, cell, cell, facecolor=colour, edgecolor=GUIDE, lw=0.8))
    panel.plot([corner[0] - 0.04] * 2, [corner[1], corner[1] + side], color=rows, lw=3)
    panel.plot([corner[0], corner[0] + side], [corner[1] - 0.04] * 2, color=columns, lw=3)


def text_conditioned_pooling() -> Figure:
    """The pooler: each text chooses patches; what it gets is made of patches alone."""
    with style():
        figure, panel = _sheet(8.4, 3.5)
        _patches(panel, (0.35, 0.55), 1.25, _LOOKED_AT)
        _note(panel, (0.97, 0.35), "patches = keys and values", IMAGE)
        _box(panel, (0.98, 2.75), "“the striped star”\none text vector", TEXT, (1.6, 0.62))
        _box(panel, (3.35, 1.95), "cross-attention\nsoftmax over the patches", PLAIN, (2.0, 0.7))
        _arrow(panel, (1.78, 2.75), (3.0, 2.32), TEXT)
        _note(panel, (2.75, 2.72), "query", TEXT)
        _arrow(panel, (1.62, 1.2), (2.7, 1.62), IMAGE)
        _box(panel, (5.45, 1.95), "weighted sum\nof patches", IMAGE, (1.35, 0.7))
        _arrow(panel, (4.35, 1.95), (4.77, 1.95))
        _box(panel, (7.35, 1.95), "c + MLP(LN(c))\nconditioned vector", IMAGE, (1.6, 0.7))
        _arrow(panel, (6.13, 1.95), (6.55, 1.95))
        _note(
            panel,
            (5.6, 2.95),
            "no residual from the query: a text chooses, it adds nothing",
            TEXT,
        )
        panel.plot([1.85, 7.3], [2.55, 2.55], color=TEXT, lw=1.1, ls=":")
        panel.plot([4.55], [2.55], marker="x", color=TEXT, ms=9, mew=2)
        _note(
            panel,
            (5.3, 0.75),
            "every text gets a vector of its own: K texts, K vectors",
        )
    return figure


def texts_of_a_caption(
    caption: str, sentences: Sequence[str], phrases: Sequence[Sequence[str]]
) -> Figure:
    """K texts: the caption, its sentences, and the phrases of each sentence.

    Args:
        caption: the whole text.
        sentences: of it, in order; at most three are drawn.
        phrases: for each of these sentences a few phrases; at most three of each are drawn.

    Raises:
        ValueError: not one list of phrases for every sentence.
    """
    if len(phrases) != len(sentences):
        raise ValueError(f"{len(sentences)} sentences, {len(phrases)} lists of phrases")
    shown, width = min(3, len(sentences)), 8.4
    with style():
        figure, panel = _sheet(width, 3.6)
        step = (width - 0.3) / max(1, shown)
        _box(panel, (width / 2, 3.15), _wrapped(caption, 92, 2), TEXT, (width - 0.4, 0.56), 8.5)
        _note(panel, (0.62, 2.68), "1 caption", "0.35")
        for number in range(shown):
            middle = 0.15 + step * (number + 0.5)
            _arrow(panel, (middle, 2.86), (middle, 2.38), TEXT)
            text = _wrapped(sentences[number], round(12 * step), 2)
            _box(panel, (middle, 2.08), text, COLOURS[3], (step - 0.16, 0.56), 8)
            for place, phrase in enumerate(phrases[number][:3]):
                height = 1.32 - 0.42 * place
                _box(panel, (middle, height), phrase, COLOURS[0], (step - 0.5, 0.33), 8)
            if phrases[number]:
                _arrow(panel, (middle, 1.8), (middle, 1.5), COLOURS[3])
        _note(panel, (0.66, 1.68), "+ S sentences", "0.35")
        _note(panel, (width / 2, 0.13), "+ N phrases  =  K texts of one picture", "0.35")
    return figure


def _wrapped(text: str, width: int, lines: int) -> str:
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))


def beta_bands() -> Figure:
    """β as bands of the target: a picture's own text, its other texts, texts of other pictures."""
    pictures, texts, side = 3, 4, 1.9
    with style():
        figure, panel = _sheet(8.4, 3.5)
        for number, (beta, words) in enumerate(_BETAS.items()):
            left, bottom = 0.55 + 2.7 * number, 0.75
            cell = side / (pictures * texts)
            for row in range(pictures * texts):
                for column in range(pictures * texts):
                    same = row // texts == column // texts
                    pale = 1 - 0.85 * (1.0 if row == column else beta * same)
                    place = (left + column * cell, bottom + side - (row + 1) * cell)
                    panel.add_patch(
                        Rectangle(place, cell, cell, ec="0.85", lw=0.5, fc=_pale(LOSS, pale))
                    )
            for block in range(pictures):
                place = (left + block * texts * cell, bottom + side - (block + 1) * texts * cell)
                wide = texts * cell
                panel.add_patch(Rectangle(place, wide, wide, fill=False, edgecolor=IMAGE, lw=1.6))
            _box(panel, (left + side / 2, 3.15), f"β = {_FRACTIONS[beta]}", LOSS, (0.9, 0.34))
            _box(panel, (left + side / 2, 0.36), words, PLAIN, (2.4, 0.5), 8)
        _note(panel, (0.25, 1.7), "↑\n\n4 texts\nof one\npicture\n\n↓", IMAGE, 7)
        _box(panel, (1.5, 2.78), "texts of the batch →", TEXT, (1.9, 0.2), 7.5)
    return figure


_FRACTIONS = {0.0: "0", 0.5: "½", 1.0: "1"}
_BETAS = {
    0.0: "each text for itself: the picture's\nother texts are as wrong as any",
    0.5: "one's own text most, the\npicture's others half as much",
    1.0: "one picture, one group:\nall of its texts alike",
}
"""What the target asks for, by β."""


def three_levels() -> Figure:
    """MulCLIP: caption, sentences and words are aligned with three forms of the same patches."""
    with style():
        figure, panel = _sheet(8.4, 3.7)
        _patches(panel, (0.25, 1.25), 1.2, _LOOKED_AT)
        _note(panel, (0.85, 1.05), "patches", IMAGE)
        rows = (
            (3.1, "class token", "caption, summary", "InfoNCE over the batch", "global"),
            (1.95, "patches that resemble\na sentence, averaged", "sentence",
             "InfoNCE over the batch", "sentence"),
            (0.78, "calibrated to\na few tokens", "words, calibrated\nto a few tokens",
             "each token rebuilt from\nthe other side’s, and\nrecognised among its own", "word"),
        )  # fmt: skip
        for height, image, text, loss, level in rows:
            _note(panel, (5.15, height + 0.46), f"{level} level", "0.35")
            _box(panel, (2.95, height), image, IMAGE, (1.75, 0.6), 8.5)
            _arrow(panel, (1.5, 1.85 + 0.3 * (height - 1.85)), (2.07, height), IMAGE)
            _box(panel, (5.15, height), loss, LOSS, (1.85, 0.66), 8)
            _arrow(panel, (3.83, height), (4.22, height), IMAGE)
            _box(panel, (7.35, height), text, TEXT, (1.6, 0.6), 8.5)
            _arrow(panel, (6.55, height), (6.08, height), TEXT)
        _note(
            panel,
            (4.2, 0.14),
            "in use the class token and the caption are compared, nothing is pooled",
        )
    return figure


def leak() -> Figure:
    """The leak: pooled with the answer, one and the same picture looks different for each text."""
    with style():
        figure, panel = _sheet(8.4, 3.6)
        texts = ("“a red ring”", "“a grey square”", "“two stars”")
        looks = ({(0, 0): 0.9}, {(2, 3): 0.9}, {(3, 1): 0.9})
        for number, (text, shown) in enumerate(zip(texts, looks, strict=True)):
            height = 2.74 - 1.1 * number
            _patches(panel, (0.3, height - 0.42), 0.84, shown)
            _box(panel, (2.25, height), text, TEXT, (1.3, 0.42))
            _arrow(panel, (1.58, height), (1.2, height), TEXT)
            _box(panel, (4.4, height), f"vector {number + 1}", IMAGE, (1.0, 0.42))
            _arrow(panel, (1.2, height - 0.28), (3.88, height - 0.1), IMAGE, 0.12)
            _arrow(panel, (4.93, height), (5.55, height))
            _box(panel, (6.05, height), text.strip("“”"), TEXT, (0.98, 0.42), 8)
            panel.plot([6.72], [height], marker="$✓$", color=LOSS, ms=11)
        _note(panel, (0.98, 3.4), "one picture, three times", IMAGE)
        _note(panel, (2.75, 3.4), "its own text pools it", TEXT)
        _note(panel, (5.4, 3.4), "and is found again")
        _note(
            panel, (7.55, 1.6),
            "100 % retrieval, and\nnothing was seen:\nWHERE a text looks\nspells out the text.\n\n"
            "Honest: every text\npools every picture.", "0.2", 9,
        )  # fmt: skip
    return figure


SCHEMATICS: dict[str, Callable[[], Figure]] = {
    "two_towers": two_towers,
    "text_conditioned_pooling": text_conditioned_pooling,
    "beta_bands": beta_bands,
    "three_levels": three_levels,
    "leak_idea": leak,
}
"""Name -> what draws it, for those that need nothing. `texts_of_a_caption` needs a caption."""
