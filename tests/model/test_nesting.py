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
from bclip_core.model.bclip import nesting

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


@pytest.mark.parametrize("method", ["beta-clip-ce", "beta-clip-bce", "beta-clip-ce-cross"])
def test_methods_with_beta_read_the_setting(method):
    config = change(RunConfig(method), ["loss.context=nested"])
    METHODS[method].check(config)
    assert METHODS[method].reading(config).nested
    assert not METHODS[method].reading(RunConfig(method)).nested


def test_what_cannot_be_is_named():
    with pytest.raises(ConfigError, match=r"context='sentence': expected one of image, nested"):
        change(RunConfig("beta-clip-ce"), ["loss.context=sentence"])
    with pytest.raises(ConfigError, match=r"loss.context='nested': not read by method 'mulclip'"):
        METHODS["mulclip"].check(change(RunConfig("mulclip"), ["loss.context=nested"]))
