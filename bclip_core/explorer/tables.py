"""What a view shows in words and numbers, as HTML in which every text is escaped."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence

from bclip_core.explorer.view import Panel, Shown
from bclip_core.plotting.style import COLOURS

_SHORT, _LONGEST = 70, 600  # characters in a table, and in what appears under the mouse
_CELL = "padding:1px 8px 1px 0;vertical-align:middle"
_BAR_WIDTH = 90  # pixels


def plain(text: str, longest: int = _SHORT) -> str:
    """A text on one line, without characters that cannot be shown, cut with an ellipsis."""
    kept = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter) in ("Cc", "Cs") else letter
        for letter in " ".join(text[: 4 * _LONGEST].split())
    )
    return kept if len(kept) <= longest else kept[: longest - 1].rstrip() + "…"


def escaped(text: str, longest: int = _SHORT) -> str:
    """A text of anybody's as HTML: escaped, isolated from the direction of its surroundings."""
    whole = html.escape(plain(text, _LONGEST))
    return f'<bdi dir="auto" title="{whole}">{html.escape(plain(text, longest))}</bdi>'


def error_html(error: BaseException) -> str:
    """An error in place."""
    name = html.escape(type(error).__name__)
    return f'<div role="alert"><b>{name}:</b> {escaped(str(error), _LONGEST)}</div>'


def message_html(shown: Shown) -> str:
    """What is looked for, where, and what a reader should know."""
    where = escaped(shown.picture.title, _LONGEST)  # a path's last part matters most
    texts = " and ".join(f"<i>{escaped(text)}</i>" for text in (shown.view.text, *shown.view.also))
    parts = [f"Looking for {texts} in {where}"]
    notes = "".join(f"<li>{html.escape(plain(note, _LONGEST))}.</li>" for note in shown.notes)
    notes = f'<ul class="bclip-notes" style="margin:0 0 0 1.2em">{notes}</ul>' if notes else ""
    return f'<div role="status">{". ".join(parts)}.{notes}</div>'


def panel_words(panel: Panel) -> str:
    """A panel in words, for its caption and for readers who do not see it."""
    verdict = {True: "hit", False: "miss", None: ""}[panel.item.hit]
    row, column = panel.hottest
    words = [f"hottest patch: row {row + 1}, column {column + 1}", panel.item.note, verdict]
    if panel.even:
        words.append("no better than even")
    if panel.pooled is not None:
        words.append(f"pooled under the text: cosine {panel.pooled:.3f}")
    return "; ".join(word for word in words if word)


def panel_html(panel: Panel, text: str | tuple[str, ...] = "") -> str:
    """The caption of a panel; with the text, where there are several."""
    title, words = escaped(panel.title), html.escape(panel_words(panel))
    of = f"<i>{escaped(text)}</i><br>" if isinstance(text, str) and text else ""
    return f'<div style="line-height:1.3">{of}<b>{title}</b><br>{words}</div>'


def scores_html(shown: Shown) -> str:
    """The text against other texts: a row per text, a bar and a number per model."""
    ends = _ends([value for score in shown.scores for value in score.values])
    rows = []
    for score in shown.scores:
        asked = score.group == "text"
        cells = [f'<td style="{_CELL}">{"&#9654; asked for" if asked else score.group}</td>']
        cells += [
            f'<td style="{_CELL}">{_bar(value, ends, _colour(number))} {value:.3f}</td>'
            for number, value in enumerate(score.values)
        ]
        rows.append((score.text, cells, asked))
    caption = (
        "Cosine of texts with the whole picture: the text asked for is number "
        f"{shown.rank} of {shown.compared} under the first model."
    )
    return _table(caption, ["text", "from", *shown.scored], rows)


def answers_html(shown: Shown) -> str:
    """Which words and phrases the chosen patch answers to, one table per panel."""
    tables = []
    for number, (panel, answers) in enumerate(zip(shown.panels, shown.answers, strict=True)):
        row, column = panel.patch
        ends = _ends([value - answers.average for _, value in answers.ranking])
        digits = 3 if answers.unit == "cosine" else 2
        rows = [
            (
                text,
                [
                    f'<td style="{_CELL}">'
                    f"{_bar(value - answers.average, ends, _colour(number))} "
                    f"{value:.{digits}f}</td>"
                ],
                False,
            )
            for text, value in answers.ranking
        ]
        caption = f"Patch in row {row + 1}, column {column + 1}. {answers.title}"
        if answers.asked:
            caption += (
                f". Bars: above the mean of all {answers.asked}, {answers.average:.{digits}f}"
            )
        tables.append(_table(caption, ["word or phrase", answers.unit], rows))
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px 32px">{"".join(tables)}</div>'


def _table(
    caption: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str], bool]]
) -> str:
    head = "".join(
        f'<th scope="col" style="{_CELL};text-align:left">{escaped(h)}</th>' for h in heads
    )
    body = []
    for text, cells, strong in rows:
        weight = "bold" if strong else "normal"
        start = f'<th scope="row" style="{_CELL};text-align:left;font-weight:{weight}">'
        body.append(f"<tr>{start}{escaped(text)}</th>{''.join(cells)}</tr>")
    return (
        '<table style="border-collapse:collapse;line-height:1.35">'
        f'<caption style="text-align:left;padding:4px 0">{escaped(caption, _LONGEST)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a scale that holds the values and zero."""
    low, high = min([0.0, *values]), max([0.0, *values])
    return low, high if high > low else low + 1.0


def _bar(value: float, ends: tuple[float, float], colour: str) -> str:
    """A bar from zero to the value; the number beside it says the same in words."""
    low, high = ends
    left, right = ((min(value, 0.0) - low) / (high - low), (max(value, 0.0) - low) / (high - low))
    return (
        f'<span aria-hidden="true" style="display:inline-block;width:{_BAR_WIDTH}px;height:0.7em">'
        f'<span style="display:block;height:100%;background:{colour};'
        f'margin-left:{100 * left:.1f}%;width:{100 * (right - left):.1f}%"></span></span>'
    )


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
