"""Retrieval by late interaction: a plain loop over pairs, and only for methods made for it."""

import pytest
import torch
import torch.nn.functional as F

from bclip_core.backbone import Tokenizer
from bclip_core.config import BackboneConfig, RunConfig
from bclip_core.data.images import decode_images
from bclip_core.evaluation.encoding import encode_images
from bclip_core.studies.relatives.late_retrieval import late_retrieval, obtain_late
from bclip_core.studies.runs import obtain
from bclip_core.train import create_model, find


@torch.no_grad()
def test_every_pair_is_scored_as_a_plain_loop_scores_it(held_out_scenes):
    torch.manual_seed(0)
    model = create_model(RunConfig("filip", BackboneConfig("scene-tiny"))).eval()
    found = late_retrieval(model, held_out_scenes)
    assert len(found) == 6
    pixels, _ = decode_images(held_out_scenes, model.backbone.image_size[0])
    patches = F.normalize(encode_images(model, pixels)[1], dim=-1)
    tokenizer, count = Tokenizer(model.backbone.config.context_length), len(patches)
    to_text, to_image = torch.zeros(count, count), torch.zeros(count, count)  # image, text
    for j, caption in enumerate(held_out_scenes["caption"]):
        _, words, mask = model.backbone.encode_words(tokenizer([caption]))
        words = F.normalize(words[0, mask[0]], dim=-1)
        for i in range(count):
            cosines = patches[i] @ words.T
            to_text[i, j] = cosines.max(1).values.mean()
            to_image[i, j] = cosines.max(0).values.mean()
    for way, scores in (("i2t", to_text), ("t2i", to_image.T)):
        own = scores.diagonal()[:, None]
        for k in (1, 5, 10):
            hits = (scores >= own).sum(1) <= k
            metric = found[f"retrieval/late/long/{way}_R@{k}"]
            assert metric["mean"] == pytest.approx(hits.double().mean().item())
            assert metric["count"] == count
            assert metric["chance"] == pytest.approx(k / count)


def test_methods_without_late_interaction_have_none(tiny_config):
    settings = tiny_config.train.replace(steps=1, checkpoint_every=0)
    config = tiny_config.replace(train=settings)
    (filip,) = obtain([config.replace(method="filip")])
    (late,) = obtain_late([filip])
    assert set(late) == {
        f"retrieval/late/long/{w}_R@{k}" for w in ("t2i", "i2t") for k in (1, 5, 10)
    }
    (filip.folder / "model.safetensors").unlink()
    assert obtain_late([filip, find(config.replace(method="clip-ft"))]) == [late, {}]
