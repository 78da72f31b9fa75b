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


def narrow_tables(rows: Sequence[Sequence[str]], width: int) -> list[list[list[str]]]:
    """A table as several that are at most `width` characters wide when they are aligned.

    Args:
        rows: the header, then the rows; cells as text.
        width: of the aligned table; a single column that is wider alone stays as it is.

    Returns:
        Tables that begin with the first column and share out the others in order.
    """
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    parts: list[list[int]] = [[]]
    for number, size in enumerate(widths[1:], 1):
        used = sum(widths[n] + 3 for n in (0, *parts[-1])) + 1
        if parts[-1] and used + size + 3 > width:
            parts.append([])
        parts[-1].append(number)
    return [[[row[n] for n in (0, *part)] for row in rows] for part in parts]
