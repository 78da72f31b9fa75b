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


def narrow_tables(rows: Sequence[Sequence[str]], width: int, keys: int = 1) -> list[list[int]]:
    """The columns of several tables that are at most `width` characters wide when aligned.

    Args:
        rows: the header, then the rows; cells as text.
        width: of an aligned table; where the keys and one column are wider, they stay together.
        keys: so many columns, the first, stand in every table.

    Returns:
        Numbers of columns, a list per table; every column that is no key stands in one of them.
    """
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    first = list(range(min(keys, len(widths))))
    parts = [list(first)]
    for number in range(len(first), len(widths)):
        used = sum(widths[n] + 3 for n in parts[-1]) + 1
        if len(parts[-1]) > len(first) and used + widths[number] + 3 > width:
            parts.append(list(first))
        parts[-1].append(number)
    return parts
