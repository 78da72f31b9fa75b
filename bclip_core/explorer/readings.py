"""From maps of many texts to what a reader reads: panels, scores in order, answers of a patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from bclip_core.captions import text_key
from bclip_core.evaluation.maps import PictureMaps, text_maps
from bclip_core.explorer.pictures import Picture
from bclip_core.explorer.view import Answers, Panel, Score

SCORES_SHOWN = {"caption": 7, "other": 4}  # besides the text itself
ANSWERS_SHOWN = 8


def grouped_texts(text: str, picture: Picture) -> dict[str, str]:
    """Every text that a view needs, and its group: "text", "caption", "other" or "word".

    Texts that a tokenizer cannot tell apart come once, under the first of these groups.
    """
    groups = [("text", (text,)), ("caption", picture.texts), ("other", picture.others)]
    found: dict[str, tuple[str, str]] = {}
    for group, texts in (*groups, ("word", picture.words)):
        for each in texts:
            found.setdefault(text_key(each), (each, group))
    return dict(found.values())


def read_panel(
    label: str,
    kind: str,
    maps: PictureMaps,
    picture: Picture,
    pixels: Tensor,
    patch: tuple[int, int] | None = None,
) -> Panel:
    """One model's map of the first text.

    Args:
        label: of the model.
        kind: one of `maps.kinds`.
        maps: whose first text is the one to show.
        picture: what is looked at.
        pixels: as the model sees it, uint8 [3, S, S].
        patch: row and column of the patch that is asked about; None takes the hottest one.

    Raises:
        ValueError: an unknown kind, or a patch outside the grid.
    """
    first = maps.keep(1)
    mask = picture.mask(maps.texts[0], maps.size[0])
    [item] = text_maps(first, kind, None if mask is None else [mask])
    row, column = divmod(int(first.values(kind)[0].argmax()), maps.grid[1])
    asked = (row, column) if patch is None else patch
    if not all(0 <= part < count for part, count in zip(asked, maps.grid, strict=True)):
        rows, columns = maps.grid
        raise ValueError(f"patch={asked}: expected row < {rows} and column < {columns}, from 0")
    return Panel(
        label,
        kind,
        pixels.permute(1, 2, 0).numpy(),
        item,
        maps.grid,
        (row, column),
        asked,
        None if first.pooled_score is None else float(first.pooled_score[0]),
    )


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
        if score.group == "text" or left[score.group] > 0:
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
    unit = "cosine" if panel.kind == "cosine" else "× even"
    ranking = sorted(found, key=lambda pair: -pair[1])[:ANSWERS_SHOWN]
    return Answers(panel.title, unit, tuple(ranking))
