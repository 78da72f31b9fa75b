"""Rows of text to a Markdown table: README's blocks and the notebooks' tables."""

from __future__ import annotations

from collections.abc import Sequence


def aligned_markdown(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose columns are aligned, so that it reads well as plain text too.

    Args:
        rows: the header, then the rows; cells as text.
        left: so many columns are aligned to the left, the others, numbers, to the right.
    """
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines = []
    for row in (rows[0], rule, *rows[1:]):
        sides = [str.ljust] * left + [str.rjust] * (len(widths) - left)
        cells = (side(c, w) for side, c, w in zip(sides, row, widths, strict=True))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
