"""Two ways for texts: which one each goes, and that the other texts of a batch do not decide it."""

import pytest
import torch

from bclip_core.backbone import Tokenizer, create_backbone
from bclip_core.backbone.text_paths import take_short
from bclip_core.config import BackboneConfig, ConfigError
from bclip_core.evaluation.encoding import encode_texts
from bclip_core.model import BClip, TextBatch

SHORT, LONG = "a red circle", "a red circle left of a small blue square " * 3
ENDS = torch.tensor([3, 7, 8, 30])


@pytest.mark.parametrize(
    ("choice", "columns", "expected"),
    [
        ("auto", 9, [False] * 4),
        ("auto", 31, [False] * 4),
        ("each", 31, [True, True, False, False]),
        ("long", 5, [False] * 4),
    ],
)
def test_which_way(choice, columns, expected):
    assert take_short(choice, columns, ENDS, 8).tolist() == expected


def test_all_the_short_way():
    assert take_short("auto", 8, ENDS[:2], 8).tolist() == [True, True]
    assert take_short("short", 31, ENDS[:2], 8).tolist() == [True, True]
    with pytest.raises(ValueError, match="a text of 31 ids: expected at most 8"):
        take_short("short", 31, ENDS, 8)
    with pytest.raises(ValueError, match="text_path='both': expected one of auto, each"):
        take_short("both", 8, ENDS, 8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig("scene-tiny", context_length=64, short_context=16))
    for parameter in backbone.short.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return BClip(backbone).eval()


def own_ways(model):
    """Each of the two texts computed by open_clip itself, with its way's weights in place."""
    clip, short = model.backbone.clip, model.backbone.short
    tokens = Tokenizer(64)([SHORT, LONG], 64)
    long = clip.encode_text(tokens)
    kept = clip.positional_embedding.data.clone(), clip.text_projection.data.clone()
    clip.positional_embedding.data[:16] = short.positional_embedding
    clip.text_projection.data[:] = short.text_projection
    both = clip.encode_text(tokens)
    clip.positional_embedding.data[:], clip.text_projection.data[:] = kept
    return both[0], long[0], long[1]


@torch.no_grad()
def test_a_text_is_encoded_by_its_ways_own_weights(model):
    short, stretched, long = own_ways(model)
    tokens, close = Tokenizer(64)([SHORT, LONG]), {"atol": 1e-5, "rtol": 1e-4}
    encode = model.backbone.encode_text
    torch.testing.assert_close(encode(tokens), torch.stack([stretched, long]), **close)
    torch.testing.assert_close(encode(tokens, "each"), torch.stack([short, long]), **close)
    torch.testing.assert_close(encode(Tokenizer(64)([SHORT]))[0], short, **close)
    words = model.backbone.encode_words(tokens, "each")
    torch.testing.assert_close(words[0], torch.stack([short, long]), **close)
    assert (short - stretched).abs().max() > 0.1


@torch.no_grad()
def test_a_training_batch_sends_each_text_its_own_way(model):
    tokens = Tokenizer(64)([SHORT, LONG])
    texts = TextBatch(tokens, torch.tensor([[0], [1]]), torch.ones(2, 1, dtype=torch.bool))
    features = model(torch.zeros(2, 3, 64, 64), texts)
    short, _, long = own_ways(model)
    torch.testing.assert_close(
        features.text[:, 0], torch.stack([short, long]), atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_a_whole_set_goes_one_way_however_it_is_cut_into_batches(model):
    short, stretched, long = own_ways(model)
    close = {"atol": 1e-5, "rtol": 1e-4}
    for size in (1, 2):
        found = encode_texts(model, [SHORT, LONG], batch_size=size)
        torch.testing.assert_close(found, torch.stack([stretched, long]), **close)
    torch.testing.assert_close(encode_texts(model, [SHORT])[0], short, **close)


def test_two_ways_have_one_length(model):
    with pytest.raises(ConfigError, match="context_length=248: expected 64, as these weights have"):
        model.backbone.stretch_context(248)
    with pytest.raises(ConfigError, match="short_context=64: expected 0, or 8 <="):
        BackboneConfig(context_length=64, short_context=64)
