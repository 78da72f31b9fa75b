"""What β-CAL asks of every pair of a small batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bclip_core.plotting.style import style

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
