"""Batches: which rows, which texts, and that nothing depends on what ran before."""

import collections
import io
import itertools

import datasets
import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bclip_core.backbone import Tokenizer
from bclip_core.captions import split_sentences
from bclip_core.config import TextConfig
from bclip_core.data.batches import (
    ImageTextDataset,
    StepSampler,
    collate_texts,
    draw_texts,
    item_generator,
    make_loader,
)
from bclip_core.data.images import (
    BrokenImageError,
    decode_images,
    image_to_pixels,
    normalise_images,
    resize_whole,
)

TEXTS = TextConfig(sentences=2, phrases=4)


def rows_of(sampler):
    return [[row for _, row in batch] for batch in sampler]


sizes = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 9)).filter(
    lambda size: size[1] <= size[0]
)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(sizes, st.integers(1, 5))
def test_every_row_is_seen_equally_often_and_never_twice_in_a_batch(size, epochs):
    count, batch_size, seed = size
    batches = rows_of(StepSampler(count, batch_size, count * epochs, seed))
    assert all(len(set(batch)) == len(batch) == batch_size for batch in batches)
    seen = collections.Counter(itertools.chain.from_iterable(batches))
    assert set(seen.values()) == {batch_size * epochs}
    flat = list(itertools.chain.from_iterable(batches))
    for start in range(0, len(flat) - count + 1, count):
        assert sorted(flat[start : start + count]) == list(range(count))


@settings(derandomize=True, deadline=None, max_examples=25)
@given(sizes, st.integers(0, 12))
def test_starting_later_gives_the_tail_of_the_whole_sequence(size, start):
    count, batch_size, seed = size
    whole = list(StepSampler(count, batch_size, 12, seed))
    later = StepSampler(count, batch_size, 12, seed, start)
    assert list(later) == whole[start:]
    assert len(later) == len(whole[start:])


@pytest.mark.parametrize(("batch_size", "shares"), [(12, [4, 4, 4]), (11, [4, 4, 3])])
def test_the_ranks_share_the_batch_of_one_process(batch_size, shares):
    whole = list(StepSampler(50, batch_size, 9, 3))
    ranks = [list(StepSampler(50, batch_size, 9, 3, 0, rank, 3)) for rank in range(3)]
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert [len(part) for part in parts] == shares
        assert sorted(itertools.chain(*parts)) == sorted(batch)


def test_epochs_and_seeds_differ():
    first, second = (rows_of(StepSampler(16, 16, 2, seed)) for seed in (0, 1))
    assert first[0] != first[1]
    assert first[0] != second[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 6, 1, 0), "batch_size=6: expected <= 5"),
        ((9, 2, 1, 0, 0, 0, 3), "batch_size=2: expected >= 3"),
    ],
)
def test_a_batch_that_cannot_be_filled_or_shared_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StepSampler(*arguments)


@pytest.mark.parametrize(
    ("workers", "started"),
    [(0, None), (2, "fork"), (1, "spawn")],  # how macOS and, from 3.14, Python itself starts them
)
def test_pictures_decoded_on_demand_are_those_decoded_ahead(tiny_scenes, workers, started):
    batches = []
    for ahead, processes in ((True, 0), (False, workers)):
        data = ImageTextDataset(tiny_scenes, TEXTS, 48, seed=1, ahead=ahead)
        sampler = StepSampler(len(data), 6, 5, 0)
        loader = make_loader(data, sampler, Tokenizer(), processes)
        if processes:
            loader.multiprocessing_context = started
        batches.append(list(loader))
    for decoded, on_demand in zip(*batches, strict=True):
        assert on_demand.ids == decoded.ids
        assert torch.equal(on_demand.images, decoded.images)
        for one, other in zip(on_demand.texts, decoded.texts, strict=True):
            assert torch.equal(one, other)


def test_text_draws_depend_on_seed_step_and_row_alone(tiny_scenes):
    data = ImageTextDataset(tiny_scenes, TEXTS, 64, seed=1)
    texts = {address: data[address][2] for address in itertools.product(range(4), range(5))}
    again = ImageTextDataset(tiny_scenes, TEXTS, 64, seed=1)
    for address in reversed(list(texts)):  # another order, after other draws
        assert again[address][2] == texts[address]
    other_seed = ImageTextDataset(tiny_scenes, TEXTS, 64, seed=2)
    assert [other_seed[address][2] for address in texts] != list(texts.values())
    assert len({tuple(texts[step, 0]) for step in range(4)}) > 1, "every step drew the same texts"


def test_item_generators_are_distinct():
    draws = {
        int(torch.randint(2**62, (), generator=item_generator(*key)))
        for key in itertools.product(range(4), repeat=3)
    }
    assert len(draws) == 64


def test_a_step_reads_caption_sentences_and_phrases_in_their_slots(tiny_scenes):
    row = tiny_scenes[0]
    texts = draw_texts(row, TextConfig(sentences=2, phrases=50), None)
    assert len(texts) == 53
    assert texts[1:3] == row["sentences"][:2]
    assert texts[0] == " ".join(row["sentences"][:2])
    assert split_sentences(texts[0]) == texts[1:3]
    phrases = list(dict.fromkeys(itertools.chain(*row["phrases"][:2])))
    assert texts[3:] == phrases + [None] * (50 - len(phrases))


def test_a_caption_with_fewer_sentences_is_padded(tiny_scenes):
    row = tiny_scenes[0]
    count = len(row["sentences"])
    texts = draw_texts(row, TextConfig(sentences=count + 3, phrases=0), None)
    assert texts == [row["caption"], *row["sentences"], None, None, None]


def test_short_captions_are_drawn_from_all(tiny_scenes):
    row = tiny_scenes[0]
    config = TextConfig(caption="short", sentence_texts=False, phrases=0)
    assert draw_texts(row, config, None) == [row["short_captions"][0]]
    drawn = {draw_texts(row, config, item_generator(0, step, 0))[0] for step in range(60)}
    assert drawn == set(row["short_captions"])


def test_distinct_texts_are_stored_once_without_case_and_spacing():
    rows = [["A red circle", "a  red\ncircle ", None], ["blue", "A RED CIRCLE", "Blue"]]
    texts = collate_texts(rows, Tokenizer())
    assert torch.equal(texts.tokens, Tokenizer()(["a red circle", "blue"]))
    assert texts.index.tolist() == [[0, 0, 0], [1, 0, 1]]
    assert texts.mask.tolist() == [[True, True, False], [True, True, True]]


def test_rows_of_different_width_are_refused():
    with pytest.raises(ValueError, match=r"\[1, 2\] texts: expected one width"):
        collate_texts([["a"], ["a", None]], Tokenizer())


def test_a_batch_of_padding_alone_is_refused():
    with pytest.raises(ValueError, match="the batch has no text"):
        collate_texts([[None, None], [None, None]], Tokenizer())


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="expected at least one visible character"):
        collate_texts([["a circle"], ["  "]], Tokenizer())


def test_a_loader_gives_the_pixels_and_texts_of_its_rows(tiny_scenes):
    data = ImageTextDataset(tiny_scenes, TEXTS, 64)
    sampler = StepSampler(len(data), 5, 3, seed=0)
    loader = make_loader(data, sampler, Tokenizer())
    for batch, addresses in zip(loader, sampler, strict=True):
        rows = [row for _, row in addresses]
        assert batch.ids == [tiny_scenes[row]["id"] for row in rows]
        for pixels, row in zip(batch.images, rows, strict=True):
            assert torch.equal(
                pixels, torch.tensor(np.array(tiny_scenes[row]["image"])).movedim(2, 0)
            )
        assert batch.texts.index.shape == (5, TEXTS.texts_per_image)
        for b, address in enumerate(addresses):
            expected = [text for text in data[address][2] if text is not None]
            tokens = batch.texts.tokens[batch.texts.index[b][batch.texts.mask[b]]]
            for ids, text in zip(tokens, expected, strict=True):
                assert ids[ids > 0].tolist() == Tokenizer().encode(text)


def edited(dataset, row, **values):
    rows = dataset.select(range(4)).cast_column("image", datasets.Image(decode=False)).to_list()
    rows[row] |= values
    features = dataset.features | {"image": datasets.Image()}
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


def png(image, cut=None):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue()[:cut], "path": None}


def test_missing_columns_are_named(tiny_scenes):
    with pytest.raises(ValueError, match=r"lacks columns \['short_captions'\]"):
        ImageTextDataset(tiny_scenes.remove_columns("short_captions"), TEXTS, 64)


@pytest.mark.parametrize("sentences", [[], ["  "], ["A circle.", ""]])
def test_an_empty_caption_names_its_row(tiny_scenes, sentences):
    broken = edited(tiny_scenes, 2, sentences=sentences, phrases=[[] for _ in sentences])
    with pytest.raises(ValueError, match=f"row 2, id {tiny_scenes[2]['id']!r}: sentences="):
        ImageTextDataset(broken, TEXTS, 64)
    short = TextConfig(caption="short", sentence_texts=False, phrases=0)
    assert len(ImageTextDataset(broken, short, 64)) == 4  # it does not read the sentences


BROKEN = {
    "cut": png(Image.effect_noise((64, 64), 50).convert("RGB"), 2000),
    "noise": {"bytes": b"no picture at all", "path": None},
    "empty": {"bytes": b"", "path": None},
    "missing": {"bytes": None, "path": "/nowhere/photo.jpg"},
    "none": None,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_picture_that_cannot_be_decoded_is_named(tiny_scenes, kind):
    broken = edited(tiny_scenes, 1, image=BROKEN[kind])
    named = f"row 1, id {tiny_scenes[1]['id']!r}, file"
    with pytest.raises(BrokenImageError, match=named):
        ImageTextDataset(broken, TEXTS, 64)
    on_demand = ImageTextDataset(broken, TEXTS, 64, ahead=False)
    assert on_demand[0, 0][0] == tiny_scenes[0]["id"]
    with pytest.raises(BrokenImageError, match=named):
        on_demand[0, 1]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_skipped_and_counted_only_when_asked(tiny_scenes, kind, capsys):
    broken = edited(tiny_scenes, 1, image=BROKEN[kind])
    data = ImageTextDataset(broken, TEXTS, 64, on_error="skip")
    assert "skipped 1 of 4 images: image cannot be decoded: row 1, id" in capsys.readouterr().out
    ids = [data[0, row][0] for row in range(len(data))]
    assert ids == [tiny_scenes[row]["id"] for row in (0, 2, 3)]
    kept, rows = decode_images(tiny_scenes.select(range(4)), 64)
    assert rows == [0, 1, 2, 3]
    assert torch.equal(data.pixels, kept[[0, 2, 3]])


def test_nothing_left_is_an_error_also_when_skipping(tiny_scenes):
    broken = edited(tiny_scenes, 0, image=BROKEN["noise"]).select([0])
    with pytest.raises(BrokenImageError, match="none of the 1 images"):
        decode_images(broken, 64, on_error="skip")
    with pytest.raises(ValueError, match="on_error='ignore': expected 'raise' or 'skip'"):
        decode_images(broken, 64, on_error="ignore")


@pytest.mark.parametrize("size", [(80, 40), (33, 57), (64, 64), (16, 16), (9, 20)])
def test_pixels_are_those_of_open_clip(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    expected = open_clip.image_transform(16, is_train=False)(Image.fromarray(noise))
    pixels = image_to_pixels(Image.fromarray(noise), 16)
    torch.testing.assert_close(normalise_images(pixels[None])[0], expected, atol=1e-6, rtol=0)


def test_a_picture_of_the_right_size_is_unchanged():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert np.array_equal(image_to_pixels(Image.fromarray(noise), 16).movedim(0, 2), noise)


def test_pictures_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned by 90 degrees clockwise
    buffer = io.BytesIO()
    top_left = np.zeros((16, 16, 3), np.uint8)
    top_left[:8, :8] = 255
    Image.fromarray(top_left).save(buffer, "PNG", exif=exif)
    turned = image_to_pixels(Image.open(buffer), 16)
    assert torch.equal(turned[0], torch.tensor(np.rot90(top_left[..., 0], -1).copy()))


def test_the_whole_picture_is_squashed_where_regions_are_asked_for():
    array = np.zeros((40, 80, 3), np.uint8)
    array[:, :40] = 255
    pixels = resize_whole(Image.fromarray(array), 16)
    assert pixels.shape == (3, 16, 16)
    assert (pixels[:, :, :7] == 255).all()
    assert (pixels[:, :, 9:] == 0).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_three_channels(mode):
    assert image_to_pixels(Image.new(mode, (20, 30)), 16).shape == (3, 16, 16)


def test_normalised_pixels_are_those_of_clip():
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    mean = (0.48145466, 0.4578275, 0.40821073)  # openai/CLIP, clip/clip.py
    deviation = (0.26862954, 0.26130258, 0.27577711)
    expected = [(v / 255 - m) / d for v, m, d in zip((0, 128, 255), mean, deviation, strict=True)]
    torch.testing.assert_close(normalise_images(pixels).flatten(), torch.tensor(expected))


@pytest.mark.parametrize("kind", BROKEN)
def test_skipping_gives_the_same_batches_with_any_number_of_workers(tiny_scenes, kind, capsys):
    broken = edited(tiny_scenes, 1, image=BROKEN[kind])
    batches = []
    for workers in (0, 1, 2) if kind == "cut" else (0, 1):
        data = ImageTextDataset(broken, TEXTS, 64, 0, "skip", workers == 0, workers)
        said = capsys.readouterr().out
        assert said.count("skipped 1 of 4 images: image cannot be decoded: row 1, id") == 1
        batches.append(
            list(make_loader(data, StepSampler(len(data), 2, 6, 0), Tokenizer(), workers))
        )
    names = {tiny_scenes[row]["id"] for row in (0, 2, 3)}
    assert {name for batch in batches[0] for name in batch.ids} == names
    for others in batches[1:]:
        for one, other in zip(batches[0], others, strict=True):
            assert one.ids == other.ids
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.texts.tokens, other.texts.tokens)
