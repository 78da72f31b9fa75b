"""What β-CAL asks of every pair of a small batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from bclip_core.plotting.style import COLOURS, style

Matrix = Sequence[Sequence[float]]


def beta_cal_targets(
    cross_entropy: Mapping[float, Matrix],
    weights: Mapping[float, Matrix],
    labels: Matrix,
    names: Sequence[str],
) -> Figure:
    """Targets of the cross-entropy form above the weights of the sigmoid form, a column per β.

    Rows of a matrix are conditioned images, columns are texts. Pairs that the sigmoid form labels
    1 are framed.

    Args:
        cross_entropy: for each β the targets [N][N]; a row sums to 1.
        weights: for each of the same β the sigmoid form's weights [N][N].
        labels: the sigmoid form's labels [N][N], 0 or 1, the same for every β.
        names: of the N pairs, such as "A1".

    Raises:
        ValueError: the two mappings have different β, or a matrix is not [N][N].
    """
    if cross_entropy.keys() != weights.keys():
        raise ValueError(f"β of the two rows: {list(cross_entropy)} and {list(weights)}")
    count = len(names)
    for matrix in (*cross_entropy.values(), *weights.values(), labels):
        if {len(matrix), *map(len, matrix)} != {count}:
            raise ValueError(f"a matrix is not {count} by {count}, one row and column per name")
    with style():
        figure = Figure(figsize=(2.6 * len(weights) + 0.3, 5.9), layout="constrained")
        axes = figure.subplots(2, len(weights), squeeze=False, sharex=True, sharey=True)
        for column, beta in enumerate(weights):
            _matrix(axes[0][column], cross_entropy[beta], names)
            _matrix(axes[1][column], weights[beta], names)
            _frame_ones(axes[1][column], labels)
            axes[0][column].set_title(f"β = {Fraction(beta).limit_denominator(100)}\nCE: target")
            axes[1][column].set_title("BCE: weight; label 1 in the frames")
        axes[0][0].set_ylabel("image pooled under text")
        axes[1][0].set_ylabel("image pooled under text")
        figure.supxlabel("text", fontsize=9)
    return figure


def targets_on_a_circle(
    text_angles: Sequence[float],
    names: Sequence[str],
    image_angle: float,
    image: str,
    shares: Mapping[float, Sequence[float]],
    notes: Mapping[float, str],
) -> Figure:
    """Texts on a circle, one pooled picture among them, and what its row asks for, a panel per β.

    A line from the picture to a text is as thick as the text's share of the target.

    Args:
        text_angles: of the texts, in degrees.
        names: of the texts.
        image_angle: where the pooled picture stands, in degrees.
        image: its name.
        shares: for each β the target of the picture's row, one share per text.
        notes: for each β a line below the panel.

    Raises:
        ValueError: not one angle, name and share per text, or no β.
    """
    counts = [len(text_angles), len(names), *map(len, shares.values())]
    if not shares or len(set(counts)) > 1:
        raise ValueError(f"texts, names, shares {counts}: expected equal counts, and some β")
    with style():
        figure = Figure(figsize=(2.7 * len(shares), 3.1), layout="constrained")
        for panel, (beta, row) in zip(
            figure.subplots(1, len(shares), squeeze=False)[0], shares.items(), strict=True
        ):
            panel.add_patch(Circle((0, 0), 1, fill=False, color="0.85"))
            place = _on_circle(image_angle)
            for angle, name, share in zip(text_angles, names, row, strict=True):
                x, y = _on_circle(angle)
                if share > 0:
                    panel.plot([0.86 * place[0], x], [0.86 * place[1], y], color=COLOURS[0],
                               lw=10 * share, alpha=0.6, solid_capstyle="round")  # fmt: skip
                panel.plot(x, y, "o", color=COLOURS[1] if share > 0 else "0.6", ms=8)
                panel.text(1.2 * x, 1.2 * y, name, ha="center", va="center")
                if share > 0:
                    part = str(Fraction(share).limit_denominator(60))
                    panel.text(1.56 * x, 1.5 * y, part, ha="center", va="center", color=COLOURS[0])
            panel.plot(0.86 * place[0], 0.86 * place[1], "D", color=COLOURS[0], ms=8)
            panel.text(0.6 * place[0], 0.6 * place[1], f"picture {image}", ha="center", fontsize=8)
            panel.set_title(f"β = {Fraction(beta).limit_denominator(100)}")
            panel.set(xlim=(-1.75, 1.75), ylim=(-1.65, 1.65), aspect="equal", xticks=[], yticks=[])
            panel.set_xlabel(notes[beta])
            for spine in panel.spines.values():
                spine.set_visible(False)
    return figure


def _on_circle(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _matrix(panel: Axes, values: Matrix, names: Sequence[str]) -> None:
    panel.imshow(values, cmap="Blues", vmin=0, vmax=1.7)  # dark ink stays readable on every cell
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            text = "0" if value == 0 else str(Fraction(value).limit_denominator(60))
            colour = "0.6" if value == 0 else "black"
            panel.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    panel.set_xticks(range(len(names)), names)
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _frame_ones(panel: Axes, labels: Matrix) -> None:
    """A line wherever a pair of label 1 borders on one of label 0, and around the matrix."""

    def label(row: int, column: int) -> float:
        inside = 0 <= row < len(labels) and 0 <= column < len(labels)
        return labels[row][column] if inside else 0.0

    for row in range(len(labels) + 1):
        for column in range(len(labels) + 1):
            x, y = column - 0.5, row - 0.5
            if label(row, column) != label(row, column - 1):
                panel.plot([x, x], [y, y + 1], color="#D55E00", linewidth=2, clip_on=False)
            if label(row, column) != label(row - 1, column):
                panel.plot([x, x + 1], [y, y], color="#D55E00", linewidth=2, clip_on=False)
