"""What the papers' recipes ask of a training: epochs, rates, crops, cut phrases, kept models."""

from collections import Counter

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bclip_core.backbone import Tokenizer
from bclip_core.config import ConfigError, TextConfig, TrainConfig
from bclip_core.data.batches import ImageTextDataset, StepSampler, collate_texts, make_loader
from bclip_core.data.images import random_crop
from bclip_core.train import train
from bclip_core.train.optimization import learning_rate_factor
from bclip_core.train.resume import list_checkpoints, read_history


@pytest.fixture(scope="module")
def recipe(tiny_config):
    """Two passes over 20 scenes in batches of 6 with all that the papers' recipe has."""
    settings = tiny_config.train.replace(
        steps=0, epochs=2, warmup_steps=0, warmup_epochs=0.5, warmup_lr=1e-9, checkpoint_every=3,
        pooler_final_lr_fraction=0.1, pooler_warmup=False, keep_epochs=(1, 2), clip_norm=0.0,
    )  # fmt: skip
    return tiny_config.replace(
        train=settings,
        data=tiny_config.data.replace(crop=(0.5, 1.0)),
        texts=tiny_config.texts.replace(phrase_tokens=4),
    )


def run(config, scenes, folder, **arguments):
    return train(config, scenes, folder, device="cpu", progress=False, **arguments).state_dict()


@pytest.fixture(scope="module")
def whole(recipe, tiny_scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run(recipe, tiny_scenes, folder), folder


def test_a_run_by_epochs_takes_its_updates_at_its_two_rates(recipe, whole):
    history = read_history(whole[1] / "history.jsonl")
    assert [record["update"] for record in history] == list(range(1, 8))  # 2 x 20 / 6, filled
    factors = [record["lr_factor"] for record in history]
    assert factors[0] == pytest.approx(1e-9 / recipe.train.lr)
    assert factors[1] == pytest.approx(1.0)  # half a pass: two updates
    assert factors[-1] == pytest.approx(recipe.train.final_lr_fraction)
    own = [record["pooler_lr_factor"] for record in history]
    assert own[0] == 1.0
    assert own[-1] == pytest.approx(0.1)
    assert own == sorted(own, reverse=True)


def test_the_epochs_that_are_kept_are_whole_models(whole):
    state, folder = whole
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    assert names == ["epoch-01.safetensors", "epoch-02.safetensors", "model.safetensors"]
    first, second = (load_file(folder / name) for name in names[:2])
    assert all(torch.equal(second[name], value) for name, value in state.items())
    assert any(not torch.equal(first[name], value) for name, value in state.items())


def test_an_interrupted_recipe_goes_on_bit_for_bit(recipe, whole, tiny_scenes, tmp_path):
    run(recipe, tiny_scenes, tmp_path, stop_after=5)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "update-00000003", "update-00000005"
    ]  # fmt: skip
    moved = recipe.train.replace(keep_epochs=(2,), loader_workers=1)
    resumed = run(recipe.replace(train=moved), tiny_scenes, tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in whole[0].items())
    for change in ({"pooler_final_lr_fraction": 0.2}, {"warmup_lr": 0.0}, {"epochs": 3}):
        (name,) = change
        with pytest.raises(ConfigError, match=f"train.{name} is "):
            run(recipe.replace(train=recipe.train.replace(**change)), tiny_scenes, tmp_path)


def test_every_row_is_seen_so_often_and_the_last_batch_is_filled():
    updates = TrainConfig(steps=0, epochs=3, batch_size=6).updates(20)
    rows = [row for batch in StepSampler(20, 6, updates, 0) for _, row in batch]
    assert len(rows) == 6 * updates == 60
    assert set(Counter(rows).values()) == {3}
    rows = [row for batch in StepSampler(20, 6, 4, 0) for _, row in batch]
    assert set(Counter(rows[:20]).values()) == {1}
    assert len(rows) == 24


def test_the_warm_up_is_the_authors_and_their_pooler_has_none():
    config = TrainConfig(
        steps=0, epochs=10, batch_size=256, accumulation=8, lr=1e-5, warmup_steps=0,
        warmup_epochs=0.01, warmup_lr=1e-9, pooler_lr=1e-3, pooler_final_lr_fraction=0.1,
        pooler_warmup=False,
    )  # fmt: skip
    rows = 1_242_828
    expected = torch.linspace(1e-9, 1e-5, 6, dtype=torch.float64)
    found = [1e-5 * learning_rate_factor(n, config, rows) for n in range(6)]
    assert found == pytest.approx(expected.tolist())
    last = config.updates(rows) - 1
    assert 1e-5 * learning_rate_factor(last, config, rows) == pytest.approx(1e-7)
    assert learning_rate_factor(0, config, rows, pooler=True) == 1.0
    assert 1e-3 * learning_rate_factor(last, config, rows, pooler=True) == pytest.approx(1e-4)


def test_a_crop_keeps_so_much_of_a_picture():
    columns = Image.linear_gradient("L").rotate(90).resize((256, 200))
    rows = Image.linear_gradient("L").resize((256, 200))
    picture = Image.merge("RGB", (columns, rows, rows))
    shares = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        pixels = random_crop(picture, 64, (0.5, 1.0), generator).float()
        spans = [float(channel.max() - channel.min()) / 255 for channel in pixels[:2]]
        shares.append(spans[0] * spans[1])
        again = random_crop(picture, 64, (0.5, 1.0), torch.Generator().manual_seed(seed))
        assert torch.equal(pixels, again.float())
    assert 0.45 < min(shares) < 0.65
    assert 0.85 < max(shares) <= 1.0


def test_crops_are_of_the_step_and_row_alone(tiny_scenes):
    texts = TextConfig(sentences=2, phrases=4)
    data = ImageTextDataset(tiny_scenes, texts, 64, seed=1, crop=(0.5, 1.0))
    plain = ImageTextDataset(tiny_scenes, texts, 64, seed=1)
    assert torch.equal(data[3, 5].image, data[3, 5].image)
    assert not torch.equal(data[3, 5].image, data[4, 5].image)
    assert data[3, 5].texts == plain[3, 5].texts, "the texts are drawn as without crops"
    here, there = (
        [batch.images for batch in make_loader(data, StepSampler(20, 6, 2, 0), Tokenizer(), n)]
        for n in (0, 1)
    )
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


def test_phrases_alone_are_cut_and_keep_their_end():
    texts = TextConfig(sentences=1, phrases=2, phrase_tokens=5)
    long = "a large red star above a small blue circle"
    tokenizer = Tokenizer(77)
    batch = collate_texts([[long, long, long, "a red star"]], tokenizer, texts.limits)
    caption, sentence, phrase, short = batch.index[0].tolist()
    assert caption == sentence != phrase
    ids = batch.tokens[phrase]
    assert ids[:4].tolist() == tokenizer.encode(long)[:4]
    assert ids[4] == tokenizer.end_id
    assert int((ids > 0).sum()) == 5
    assert batch.tokens[caption].argmax() == len(tokenizer.encode(long)) - 1
    assert batch.tokens[short].tolist()[:5] == tokenizer.encode("a red star")
