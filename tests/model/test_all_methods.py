"""Every method of the catalogue trains, is evaluated, resumes and is refused where it must be."""

import pytest
import torch

from bclip_core.backbone import Tokenizer, create_backbone
from bclip_core.checkpoints import load
from bclip_core.config import BackboneConfig, ConfigError
from bclip_core.evaluation.protocols import scenes
from bclip_core.model import METHODS
from bclip_core.train import train
from bclip_core.train.resume import read_history

TRAINED = [name for name, method in METHODS.items() if method.terms]


def run(config, scenes, folder, **arguments):
    return train(config, scenes, folder, device="cpu", progress=False, **arguments)


def short(tiny_config, name):
    settings = tiny_config.train.replace(steps=2, checkpoint_every=0)
    return tiny_config.replace(method=name, train=settings)


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_trains_and_its_file_is_loaded_as_its_own(
    name, tiny_config, tiny_scenes, tmp_path
):
    config = short(tiny_config, name)
    model = run(config, tiny_scenes, tmp_path)
    history = read_history(tmp_path / "history.jsonl")
    labels = METHODS[name].labels
    assert [record["update"] for record in history] == [1, 2]
    for record in history:
        assert record["loss"] == pytest.approx(sum(record[label] for label in labels))
        assert record["peak_memory"] > 50
    loaded = load(tmp_path / "model.safetensors", config)
    for (key, value), other in zip(
        model.state_dict().items(), loaded.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), key


@pytest.mark.parametrize("name", ["beta-clip-ce-cross", "flair"])
def test_a_method_that_draws_goes_on_where_it_was(name, tiny_config, tiny_scenes, tmp_path):
    config = short(tiny_config, name)
    whole = run(config, tiny_scenes, tmp_path / "whole")
    run(config, tiny_scenes, tmp_path / "parts", stop_after=1)
    again = run(config, tiny_scenes, tmp_path / "parts")
    for (key, value), other in zip(
        whole.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), key


def test_texts_that_a_method_needs_are_asked_for_before_anything_is_written(
    tiny_config, tiny_scenes, tmp_path
):
    texts = tiny_config.texts.replace(sentence_texts=False)
    config = short(tiny_config, "mulclip").replace(texts=texts)
    with pytest.raises(ConfigError, match="'mulclip': texts have no sentence"):
        run(config, tiny_scenes, tmp_path / "run")
    bare = tiny_scenes.map(lambda row: {"short_captions": []}, keep_in_memory=True,
                           load_from_cache_file=False)  # fmt: skip
    config = short(tiny_config, "long-clip")
    config = config.replace(texts=config.texts.replace(summary="given"))
    with pytest.raises(ValueError, match=r"row 0, id .*short_captions=\[\]: expected texts"):
        run(config, bare, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["flair", "sparc", "mulclip", "beta-clip-ce-cross"])
def test_the_protocol_takes_any_method(name, tiny_config, tiny_scenes, held_out_scenes, tmp_path):
    model = run(short(tiny_config, name), tiny_scenes, tmp_path)
    metrics = scenes.evaluate(model, held_out_scenes)
    conditioned = bool(METHODS[name].pooler)
    for metric in ("retrieval/conditioned/long/t2i_R@1", "regions/pooled/hard",
                   "grounding/attention/pointing"):  # fmt: skip
        assert (metric in metrics) == conditioned
    assert all(0 <= entry["mean"] <= 1 for entry in metrics.values())
    quick = scenes.validate(model, held_out_scenes)
    assert {k: metrics[k] for k in quick if k != "score"} == {
        k: v for k, v in quick.items() if k != "score"
    }
    both = sum(quick[f"retrieval/global/long/{way}_R@1"]["mean"] for way in ("t2i", "i2t")) / 2
    expected = (both + quick["regions/dense/medium"]["mean"]) / 2
    assert quick["score"]["mean"] == pytest.approx(expected)


@torch.no_grad()
def test_words_are_the_towers_output_at_each_token_whatever_else_is_encoded():
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig("scene-tiny")).eval()
    captions = ["a red circle", "a very long caption about a small blue square", "x"]
    tokens = Tokenizer()(captions)
    text, words, mask = backbone.encode_words(tokens)
    torch.testing.assert_close(text, backbone.encode_text(tokens), atol=1e-5, rtol=1e-4)
    assert mask.sum(1).tolist() == [3, 9, 1]
    assert not mask[:, 0].any()
    assert (words[~mask] == 0).all()
    for row, caption in enumerate(captions):
        alone, own, kept = backbone.encode_words(Tokenizer()([caption]))
        torch.testing.assert_close(words[row][mask[row]], own[kept], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(text[row], alone[0], atol=1e-5, rtol=1e-4)
    # a word is read as a text that ends there would be before its end token is added
    start = torch.cat([tokens[1:2, :4], torch.full((1, 1), 49407)], dim=1)
    _, prefix, _ = backbone.encode_words(start)
    torch.testing.assert_close(prefix[0, 1:4], words[1, 1:4], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="expected \\[U, L\\] with L <= 77"):
        backbone.encode_words(torch.ones(1, 78, dtype=torch.int64))
