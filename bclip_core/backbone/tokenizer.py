"""CLIP's byte-pair tokenizer with a cache of words; ids identical to `open_clip.tokenize`.

The tokenizer's pattern never matches across white space, so the ids of a text are the ids of its
words in order. Captions repeat their words, and looking a word up is much cheaper than merging
its bytes again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from bclip_core.records.texts import is_blank

# Printable ASCII and common white space without "&" and "<". Other texts go through the repair of
# encodings, control characters and HTML entities, which looks beyond single words.
_PLAIN = re.compile(r"[ \t\n\r!-%'-;=-~]*")


@functools.cache
def _byte_pair_encoder() -> SimpleTokenizer:
    """CLIP's encoder; reading its merges takes a while and it does not depend on settings."""
    return SimpleTokenizer()


class Tokenizer:
    """Texts to token ids: start token, byte pairs of the lower-cased text, end token, zeros.

    A text longer than `context_length` is cut but keeps its end token, on whose position CLIP's
    text embedding is read; without it all such texts would get one embedding. `count` tells how
    many tokens a text has before cutting.

    Args:
        context_length: the largest number of ids of one text, start and end included.

    Attributes:
        start_id, end_id: ids of the two special tokens; the end token is the highest id.
        vocab_size: number of ids.

    Raises:
        ValueError: `context_length` is below 3.
    """

    def __init__(self, context_length: int = 77) -> None:
        if context_length < 3:
            raise ValueError(f"context_length={context_length}: expected >= 3 (start, word, end)")
        self.context_length = context_length
        self._bpe = _byte_pair_encoder()
        self.start_id: int = self._bpe.sot_token_id
        self.end_id: int = self._bpe.eot_token_id
        self.vocab_size: int = self._bpe.vocab_size
        self._words: dict[str, list[int]] = {}

    def _ids(self, text: str) -> list[int]:
        """All ids of a text between start and end."""
        ids: list[int] = []
        if _PLAIN.fullmatch(text):
            for word in text.lower().split():
                known = self._words.get(word)
                if known is None:
                    known = self._words[word] = self._bpe.encode(word)
                ids += known
        else:
            ids = [] if is_blank(text) else self._bpe.encode(text)
        if not ids:
            raise ValueError(f"text={text!r}: expected at least one visible character")
        return ids

    def count(self, text: str) -> int:
        """Number of ids of a text, start and end included, before cutting.

        Raises:
            ValueError: the text is empty or white space.
        """
        return len(self._ids(text)) + 2

    def pieces(self, text: str) -> list[str]:
        """What each id of a text between start and end stands for; a rare word has several."""
        return [self._bpe.decode([number]).strip() for number in self.encode(text)[1:-1]]

    def encode(self, text: str, limit: int = 0) -> list[int]:
        """Ids of one text from start to end token, at most `context_length`, and `limit` if any.

        Raises:
            ValueError: the text is empty or white space.
        """
        longest = min(limit or self.context_length, self.context_length)
        return [self.start_id, *self._ids(text)[: longest - 2], self.end_id]

    def __call__(self, texts: Sequence[str], width: int = 0, limits: Sequence[int] = ()) -> Tensor:
        """Ids of many texts, zero-padded to the longest.

        Args:
            texts: U texts.
            width: pad to at least so many columns.
            limits: of each text, to how many ids it is cut, 0 for the context alone; (): all 0.

        Returns:
            Long tensor [U, L]; L is the number of ids of the longest text, or `width`.

        Raises:
            ValueError: a text is empty or white space, or `texts` is a bare string.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts={texts!r}: expected a sequence of texts, not one string")
        rows = [
            self.encode(text, limit)
            for text, limit in zip(texts, limits or [0] * len(texts), strict=True)
        ]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        columns = max(int(lengths.max(initial=0)), width)
        tokens = np.zeros((len(rows), columns), np.int64)
        flat = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
        tokens[np.arange(columns) < lengths[:, None]] = flat
        return torch.from_numpy(tokens)
