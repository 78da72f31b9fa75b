"""Which texts of an image contain one another, and the method setting that reads it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, ConfigError, PoolerConfig, RunConfig, change
from bclip_core.data.batches import collate_texts
from bclip_core.model import METHODS, Reading
from bclip_core.model.nesting import nesting, says_where

WORDS = ("red", "green", "heart", "star", "under", "the")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=4))
def test_nested_is_a_subset_of_words_either_way(rows):
    batch = collate_texts(rows, Tokenizer())
    found = nesting(batch.tokens, batch.index)
    assert torch.equal(found, found.mT)
    for row, relation in zip(rows, found, strict=True):
        words = [set(text.split()) for text in row]
        assert relation.tolist() == [[a <= b or b <= a for b in words] for a in words]


def test_padding_says_nothing():
    batch = collate_texts([["a red star on the left", "red", "left star"]], Tokenizer())
    wider = torch.nn.functional.pad(batch.tokens, (0, 9))
    assert torch.equal(nesting(wider, batch.index), nesting(batch.tokens, batch.index))
    by_hand = [[True, True, True], [True, True, False], [True, False, True]]
    assert nesting(batch.tokens, batch.index)[0].tolist() == by_hand


PHRASES = (
    "circle", "above the circle", "red heart above the circle", "red heart",
    "red heart right of a disc", "disc", "red heart with a cyan border", "heart in the corner",
    "the cup next to a plate", "plate", "bottle of water on the table", "water", "table", "on the table",
)  # fmt: skip


def things(texts, kinds=()):
    batch = collate_texts([list(texts)], Tokenizer())
    return nesting(batch.tokens, batch.index, says_where(batch, kinds))[0]


def contained(phrase):
    """What of PHRASES is related to one of them, itself left out."""
    row = things(PHRASES)[PHRASES.index(phrase)]
    return [one for one, found in zip(PHRASES, row, strict=True) if found and one != phrase]


def test_a_phrase_contains_what_it_names_and_not_what_it_is_beside():
    assert (
        contained("circle") == contained("disc") == contained("plate") == contained("table") == []
    )
    assert contained("red heart above the circle") == ["above the circle", "red heart"]
    assert contained("above the circle") == ["red heart above the circle"]
    assert contained("red heart") == [
        "red heart above the circle", "red heart right of a disc", "red heart with a cyan border",
    ]  # fmt: skip
    assert contained("bottle of water on the table") == ["water", "on the table"]


def test_sentences_contain_all_that_they_name():
    texts = ["The heart is above the circle.", "circle", "heart", "above the circle", "star"]
    kinds = ("sentence", *("phrase",) * 4)
    assert things(texts, kinds)[0].tolist() == [True, True, True, True, False]
    assert things(texts)[0].tolist() == [True, False, True, True, False]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=4))
def test_what_phrases_name_against_words(rows):
    batch = collate_texts(rows, Tokenizer())
    found = nesting(batch.tokens, batch.index, says_where(batch))

    def parts(text):
        words = text.split()
        begins = words.index("under") if "under" in words else len(words)
        return set(words[:begins]), set(words[begins:])

    def inside(a, b):
        (names, places), (others, rest) = parts(a), parts(b)
        return names <= others and places <= others | rest

    for row, relation in zip(rows, found, strict=True):
        assert relation.tolist() == [[inside(a, b) or inside(b, a) for b in row] for a in row]


def test_where_is_told_of_phrases_that_are_there_alone():
    rows = [["a cup on a table", "on a table"], ["a cup on a table", None]]
    batch = collate_texts(rows, Tokenizer())
    where = says_where(batch, ("caption", "phrase"))
    by_text = {tuple(t[t > 0].tolist()): w for t, w in zip(batch.tokens, where, strict=True)}
    tokenizer = Tokenizer()
    caption, phrase = (by_text[tuple(tokenizer.encode(text))] for text in rows[0])
    assert not caption.any()
    assert phrase.tolist()[:5] == [False, True, True, True, False]
    wider = batch._replace(tokens=torch.nn.functional.pad(batch.tokens, (0, 5)))
    assert torch.equal(says_where(wider, ("caption", "phrase"))[:, :-5], where)


@torch.no_grad()
def test_a_step_computes_it_where_it_is_read():
    torch.manual_seed(0)
    spec = BackboneConfig("scene-tiny"), PoolerConfig()
    batch = collate_texts([["red star", "star"], ["blue disc", "red"]], Tokenizer())
    images = torch.randn(2, 3, 64, 64)
    assert build_model(*spec)(images, batch).nested is None
    model = build_model(*spec)
    model.reading = Reading(nested=True)
    expected = [[[True, True], [True, True]], [[True, False], [False, True]]]
    assert model(images, batch).nested.tolist() == expected
    placed = collate_texts([["star", "disc under a star"]], Tokenizer())
    assert model(images[:1], placed).nested.all()
    model.reading = Reading(things=True)
    assert not model(images[:1], placed).nested[0, 0, 1]


@pytest.mark.parametrize("method", ["beta-clip-ce", "beta-clip-bce", "beta-clip-ce-cross"])
@pytest.mark.parametrize("context", ["nested", "things"])
def test_methods_with_beta_read_the_setting(method, context):
    config = change(RunConfig(method), [f"loss.context={context}"])
    METHODS[method].check(config)
    plain, reading = (METHODS[method].reading(one) for one in (RunConfig(method), config))
    assert (reading.nested, reading.things) == (context == "nested", context == "things")
    assert not plain.nested
    assert not plain.things


def test_what_cannot_be_is_named():
    with pytest.raises(
        ConfigError, match=r"context='sentence': expected one of image, nested, things"
    ):
        change(RunConfig("beta-clip-ce"), ["loss.context=sentence"])
    with pytest.raises(ConfigError, match=r"loss.context='nested': not read by method 'mulclip'"):
        METHODS["mulclip"].check(change(RunConfig("mulclip"), ["loss.context=nested"]))
