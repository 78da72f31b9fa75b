from __future__ import annotations

import json
import os
from pathlib import Path

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bclip_core.backbone import Tokenizer

TOKENIZER = Tokenizer(context_length=4096)  # longer than any text here: nothing is cut
ODD_TEXTS = [
    "A photo of a dog.",
    "  two\tspaces \n and  a line\r\nbreak\x0bhere ",
    "it's we've I'll THEY'RE don't o'clock 'quoted' '''",
    "12,345.67 km/h at 3:45pm -- 100% (really?!) [x] {y} #hash @home $5 50€",
    "fish &amp; chips &lt;b&gt; &eacute;t&eacute; &amp;amp; R&D AT&T",
    "a<start_of_text>b <end_of_text> <b>bold</b> <unk>",
    "naïve café — “curly” ‘quotes’ … ½ ﬁne ﬂow",
    "schÃ¶n and â€œmojibakeâ€\x9d",
    "猫が座っている 강아지 собака",
    "كلب أسود כלב שחור mixed with English",
    "🐶🐱 family 👨‍👩‍👧 flag 🇫🇷 skin 👍🏽",
    "zero\u200bwidth non\u00a0breaking \u3000ideographic e\u0301 combining",
    "control \x00\x01\x1b[31mred\x1b[0m \x7f \x1c separators \x1f end",
    "snake_case-and-dashes __init__ ... !!! ?!?",
    "supercalifragilisticexpialidocious" * 3,
    "İstanbul ẞ ΑΣ Å K",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_get_open_clips_ids(text: str) -> None:
    ours = TOKENIZER.encode(text)
    stock = open_clip.tokenize(text, context_length=4096)[0].tolist()
    assert ours == stock[: len(ours)]
    assert not any(stock[len(ours) :])
    assert TOKENIZER.encode(text) == ours  # from the cache


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=30))
def test_any_ascii_text_gets_open_clips_ids(text: str) -> None:
    stock = open_clip.tokenize(text, context_length=4096)[0].tolist()
    try:
        ours = TOKENIZER.encode(text)
    except ValueError:
        ours = [TOKENIZER.start_id, TOKENIZER.end_id]
    assert ours == stock[: len(ours)]
    assert not any(stock[len(ours) :])


def real_captions() -> list[str]:
    folder = os.environ.get("BCLIP_DATA", "")
    if not folder:
        pytest.skip("BCLIP_DATA is not set: no real captions here")
    long = json.loads((Path(folder) / "urban1k" / "annotations.json").read_text())["annotations"]
    coco = Path(folder) / "coco" / "annotations" / "captions_val2017.json"
    short = json.loads(coco.read_text())["annotations"]
    return [row["caption"] for row in long[:150] + short[:1500]]


def test_real_captions_get_open_clips_ids() -> None:
    captions = real_captions()
    stock = open_clip.tokenize(captions, context_length=4096)
    ours = TOKENIZER(captions)
    assert torch.equal(ours, stock[:, : ours.shape[1]])
    assert not stock[:, ours.shape[1] :].any()


def test_a_long_text_is_cut_as_open_clip_cuts_it_and_keeps_its_end_token() -> None:
    tokenizer = Tokenizer(context_length=8)
    text = "a small red circle on the left of a large blue square"
    ids = tokenizer.encode(text)
    assert len(ids) == 8
    assert ids[-1] == tokenizer.end_id
    assert ids == open_clip.tokenize(text, context_length=8)[0].tolist()
    assert tokenizer.count(text) == len(Tokenizer(77).encode(text)) == 14
    exact = "red circle on a wide mat"
    assert tokenizer.count(exact) == 8
    assert tokenizer.encode(exact) == Tokenizer(77).encode(exact)


def test_two_different_overlong_texts_stay_different() -> None:
    tokenizer = Tokenizer(context_length=6)
    first, second = tokenizer(["a b c d e f g", "a x c d e f g"])
    assert not torch.equal(first, second)
    assert first.argmax() == second.argmax() == 5


def test_a_batch_is_zero_padded_to_its_longest_text() -> None:
    tokenizer = Tokenizer()
    tokens = tokenizer(["dog", "a brown dog"])
    assert tokens.dtype == torch.long
    assert tokens.tolist() == [[*tokenizer.encode("dog"), 0, 0], tokenizer.encode("a brown dog")]
    assert tokenizer([]).shape == (0, 0)


def test_special_ids_are_clips() -> None:
    tokenizer = Tokenizer()
    assert tokenizer.encode("dog")[0] == tokenizer.start_id == tokenizer.vocab_size - 2
    assert tokenizer.end_id == tokenizer.vocab_size - 1


@pytest.mark.parametrize("text", ["", " \n\t", "&nbsp;", "\u3000"])
def test_a_text_without_visible_characters_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at least one visible character"):
        Tokenizer().encode(text)
    with pytest.raises(ValueError, match="at least one visible character"):
        Tokenizer().count(text)
    with pytest.raises(ValueError, match="at least one visible character"):
        Tokenizer()(["dog", text])


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="context_length=2"):
        Tokenizer(2)
    with pytest.raises(ValueError, match="expected a sequence of texts"):
        Tokenizer()("dog")
