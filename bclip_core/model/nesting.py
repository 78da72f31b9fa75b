"""Which texts of an image contain one another, and may so be about one thing."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.captions.lexicon import BESIDE, PLACE_PREPOSITIONS
from bclip_core.model.features import TextBatch


def nesting(tokens: Tensor, index: Tensor, where: Tensor | None = None) -> Tensor:
    """Which texts of an image contain one another: all tokens of one are among the other's.

    "heart", "green heart" and a sentence with both words are; "green heart" and "red heart" are
    not. Order and repetitions do not count. Start and end tokens are in every text alike.

    With `where` a phrase contains only what it names: "green heart above the star" contains "green
    heart" and "above the star", and not "star", which is another thing.

    Args:
        tokens: distinct texts [U, L], padded with 0.
        index: their places, [B, K].
        where: which tokens say where a thing is and not what, see `says_where`, [U, L] bool.

    Returns:
        [B, K, K] bool, symmetric and true of each text with itself. Of padded slots arbitrary.
    """
    everything = torch.ones_like(tokens, dtype=torch.bool)
    known, place = torch.unique(tokens, return_inverse=True)

    def bags(chosen: Tensor) -> Tensor:
        """Which of the known tokens are among the chosen ones of each text, [B, K, V]."""
        has = torch.zeros(len(tokens), len(known), device=tokens.device)
        has.scatter_reduce_(1, place, chosen.float(), "amax")
        has[:, known == 0] = 0  # padding
        return has[index]

    whole = bags(everything)
    within = (
        _among(whole, whole)
        if where is None
        else _among(bags(~where), bags(~where)) & _among(bags(where), whole)
    )
    return within | within.mT


def _among(parts: Tensor, wholes: Tensor) -> Tensor:
    """Whether all tokens of text l's part are in text k's whole: [B, K, V] twice to [b, k, l]."""
    with torch.autocast(parts.device.type, enabled=False):  # counts have to be exact
        return (wholes @ parts.mT) == parts.sum(-1)[:, None]


def says_where(texts: TextBatch, kinds: Sequence[str] = ()) -> Tensor:
    """Which tokens of phrases say where a thing is: those from the first preposition of place on.

    "green heart above the star" says what it is until "above"; "above the star" says nothing else.
    Captions and sentences name every thing that they hold, those behind a preposition too. Known
    are English words.

    Args:
        texts: of a batch.
        kinds: of its K slots, of `TEXT_KINDS`; empty: phrases all.

    Returns:
        [U, L] bool; False of the start token, and of the end token of every text.
    """
    prepositions, sides, of, end = _words_of_place()
    tokens, device = texts.tokens, texts.tokens.device
    follow = torch.nn.functional.pad(tokens[:, 1:], (0, 1))
    beside = torch.isin(tokens, sides.to(device)) & torch.isin(follow, of.to(device))
    begins = torch.isin(tokens, prepositions.to(device)) | beside
    where = (begins.cumsum(1) > 0) & (tokens != 0) & (tokens != end)
    if kinds:
        slots = torch.tensor([kind == "phrase" for kind in kinds], device=device)
        phrases = torch.zeros(len(tokens), dtype=torch.bool, device=device)
        phrases[texts.index[texts.mask & slots]] = True
        where &= phrases[:, None]
    return where


@functools.cache
def _words_of_place() -> tuple[Tensor, Tensor, Tensor, int]:
    """Ids of prepositions of place, of sides, of "of" and "to"; the end token's."""
    tokenizer = Tokenizer()
    ids = {
        word: tokenizer.encode(word)[1:-1] for word in (*PLACE_PREPOSITIONS, *BESIDE, "of", "to")
    }
    several = sorted(word for word, found in ids.items() if len(found) > 1)
    assert not several, f"{several}: words of place are one token each"
    groups = (PLACE_PREPOSITIONS, BESIDE, ("of", "to"))
    one, two, three = (torch.tensor(sorted(ids[word][0] for word in group)) for group in groups)
    return one, two, three, tokenizer.end_id
