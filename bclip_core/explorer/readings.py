"""From maps of many texts to what a reader reads: panels, scores in order, answers of a patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.captions import text_key
from bclip_core.evaluation.maps import PictureMaps, text_maps
from bclip_core.explorer.pictures import Picture
from bclip_core.explorer.view import Answers, Panel, Score

SCORES_SHOWN = {"caption": 7, "other": 4}  # besides the text itself
ANSWERS_SHOWN = 8
EVEN = 1.2  # times an even share: attention whose hottest patch has less singles out no place
_NAMED = 30  # characters of a text that a note is about
SPOKEN_SHOWN = 160  # words and phrases whose maps are at hand under the mouse


def grouped_texts(text: str, picture: Picture, also: Sequence[str] = ()) -> dict[str, str]:
    """Every text that a view needs, and its group: "text", "also", "caption", "other" or "word".

    Texts that a tokenizer cannot tell apart come once, under the first of these groups.
    """
    groups = [("text", (text,)), ("also", tuple(also)), ("caption", picture.texts),
              ("other", picture.others)]  # fmt: skip
    found: dict[str, tuple[str, str]] = {}
    for group, texts in (*groups, ("word", picture.words)):
        for each in texts:
            found.setdefault(text_key(each), (each, group))
    return dict(found.values())


def read_lengths(groups: Mapping[str, str], contexts: Mapping[str, int]) -> list[str]:
    """What of texts models do not read, since it is beyond their context; a note for each cut.

    Args:
        groups: as of `grouped_texts`.
        contexts: ids of a text that a model reads, by its label.
    """
    counts = {text: Tokenizer().count(text) for text, group in groups.items() if group != "word"}
    of_caption = [counts[text] for text, group in groups.items() if group in ("caption", "other")]
    notes = []
    for label, limit in contexts.items():
        for text, group in groups.items():
            if group in ("text", "also") and counts[text] > limit:
                which = "the text's" if group == "text" else f"“{text[:_NAMED]}…”'s"
                notes.append(f"{label} reads only {limit} of {which} {counts[text]} tokens")
        cut = [count for count in of_caption if count > limit]
        if cut:
            notes.append(
                f"{label} reads only {limit} tokens of each text of the caption; {len(cut)} of its "
                f"{len(of_caption)} have more, up to {max(cut)}"
            )
    return notes


def read_panel(
    label: str,
    kind: str,
    maps: PictureMaps,
    picture: Picture,
    pixels: npt.NDArray[np.uint8],
    patch: tuple[int, int] | None = None,
    number: int = 0,
) -> Panel:
    """One model's map of one text.

    Args:
        label: of the model.
        kind: one of `maps.kinds`.
        maps: of the texts.
        picture: what is looked at.
        pixels: what the model sees, uint8 [H, W, 3], at any resolution.
        patch: row and column of the patch that is asked about; None takes the hottest one.
        number: which of the texts is the one to show.

    Raises:
        ValueError: an unknown kind, or a patch outside the grid.
    """
    first = maps.keep(number + 1, number)
    mask = picture.mask(maps.texts[number], maps.size[0])
    [item] = text_maps(first, kind, None if mask is None else [mask])
    row, column = divmod(int(first.values(kind)[0].argmax()), maps.grid[1])
    asked = (row, column) if patch is None else patch
    if not all(0 <= part < count for part, count in zip(asked, maps.grid, strict=True)):
        rows, columns = maps.grid
        raise ValueError(f"patch={asked}: expected row < {rows} and column < {columns}, from 0")
    return Panel(
        label,
        kind,
        pixels,
        item,
        maps.grid,
        (row, column),
        asked,
        None if first.pooled_score is None else float(first.pooled_score[0]),
        tuple(first.values(kind)[0].tolist()),
        kind != "cosine" and float(first.values(kind)[0].max()) < EVEN,
    )


def common_limits(rows: Sequence[Sequence[Panel]]) -> dict[str, tuple[float, float]]:
    """Coldest and hottest value of all maps of a unit, by unit."""
    found: dict[str, tuple[float, float]] = {}
    for panel in (panel for row in rows for panel in row):
        ends = min(panel.values), max(panel.values)
        low, high = found.get(panel.unit, ends)
        found[panel.unit] = (min(low, ends[0]), max(high, ends[1]))
    return found


def read_spoken(
    panels: Sequence[Panel], maps: Sequence[PictureMaps], picture: Picture
) -> dict[str, tuple[Tensor, ...]]:
    """Words and phrases of the caption, each with its map [P] in every panel."""
    asked = dict.fromkeys(map(text_key, (*picture.phrases, *picture.words)))
    places = [
        (number, text) for number, text in enumerate(maps[0].texts) if text_key(text) in asked
    ][:SPOKEN_SHOWN]
    values = [each.values(panel.kind) for panel, each in zip(panels, maps, strict=True)]
    return {text: tuple(value[number] for value in values) for number, text in places}


def patch_on_grid(
    patch: tuple[int, int], grid: tuple[int, int], other: tuple[int, int]
) -> tuple[int, int]:
    """The patch of another grid that holds the centre of this one's patch."""
    row, column = (
        int((part + 0.5) * there / here)
        for part, here, there in zip(patch, grid, other, strict=True)
    )
    return row, column


def rank_scores(maps: Sequence[PictureMaps], groups: Mapping[str, str]) -> list[Score]:
    """Texts by their cosine with the whole picture, from high to low under the first model.

    Args:
        maps: one per model, of the same texts.
        groups: texts and their groups; words are left out.
    """
    values = zip(*(each.score.tolist() for each in maps), strict=True)
    scores = [
        Score(text, groups[text], row)
        for text, row in zip(maps[0].texts, values, strict=True)
        if groups[text] != "word"
    ]
    return sorted(scores, key=lambda score: -score.values[0])


def shorten_scores(scores: Sequence[Score]) -> tuple[Score, ...]:
    """The best texts of each group, and always the one asked for; order kept."""
    left = dict(SCORES_SHOWN)
    kept = []
    for score in scores:
        if score.group in ("text", "also") or left[score.group] > 0:
            kept.append(score)
            left[score.group] = left.get(score.group, 1) - 1
    return tuple(kept)


def read_answers(panel: Panel, maps: PictureMaps, picture: Picture) -> Answers:
    """Words and phrases of the caption by the map's value at the panel's patch.

    Attention is comparable between texts, since each text shares out the same whole; a cosine also
    holds how near a text is to all patches alike.
    """
    asked = {text_key(text) for text in (*picture.words, *picture.phrases)}
    place = panel.patch[0] * panel.grid[1] + panel.patch[1]
    values = maps.values(panel.kind)[:, place].tolist()
    found = [
        (text, value)
        for text, value in zip(maps.texts, values, strict=True)
        if text_key(text) in asked
    ]
    ranking = sorted(found, key=lambda pair: -pair[1])[:ANSWERS_SHOWN]
    average = sum(value for _, value in found) / max(len(found), 1)
    return Answers(panel.title, panel.unit, tuple(ranking), average, len(found))
