"""Zero-shot classification: open_clip's classifier, and hits against a slow loop."""

import open_clip
import pytest
import torch
import torch.nn.functional as F

from bclip_core.backbone import Tokenizer, create_backbone
from bclip_core.config import BackboneConfig
from bclip_core.evaluation import TEMPLATES, bootstrap_interval, class_ranks, zero_shot_classifier

NAMES = ["tench", "goldfish", "great white shark"]
SHORT = ["a photo of a {}.", lambda name: f"art of the {name}."]


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return create_backbone(BackboneConfig("scene-tiny", context_length=40)).eval()


def test_is_open_clips_classifier_for_open_clips_model(backbone):
    ours = zero_shot_classifier(backbone, Tokenizer(40), NAMES)
    theirs = open_clip.build_zero_shot_classifier(
        backbone.clip, open_clip.SimpleTokenizer(context_length=40), NAMES, TEMPLATES
    )
    assert len(TEMPLATES) == 80
    torch.testing.assert_close(ours, theirs.T, atol=1e-5, rtol=0)


@pytest.mark.parametrize("template", SHORT)
def test_is_the_normalised_mean_of_normalised_embeddings(backbone, template):
    found = zero_shot_classifier(backbone, Tokenizer(40), NAMES, [template])
    with torch.no_grad():
        for name, row in zip(NAMES, found, strict=True):
            text = template(name) if callable(template) else template.format(name)
            expected = F.normalize(backbone.encode_text(Tokenizer(40)([text]))[0], dim=0)
            torch.testing.assert_close(row, expected, atol=1e-6, rtol=0)
    assert torch.allclose(found.norm(dim=1), torch.ones(3))


def test_ranks_equal_a_slow_loop():
    generator = torch.Generator().manual_seed(0)
    image, classes = torch.randn(40, 6, generator=generator), torch.randn(9, 6, generator=generator)
    labels = torch.randint(9, (40,), generator=generator)
    for row, rank in enumerate(class_ranks(image, classes, labels).tolist()):
        cosines = [F.cosine_similarity(image[row], one, dim=0).item() for one in classes]
        better = sum(cosine > cosines[labels[row]] for cosine in cosines)
        assert rank == 1 + better


def test_planted_classes_are_found_and_shuffled_labels_are_at_chance():
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(10, 32, generator=generator)
    labels = torch.arange(500) % 10
    image = 5 * classes[labels] + torch.randn(500, 32, generator=generator)
    assert (class_ranks(image, classes, labels) == 1).all()
    shuffled = labels[torch.randperm(500, generator=generator)]
    interval = bootstrap_interval(class_ranks(image, classes, shuffled) <= 1)
    assert interval.low <= 0.1 <= interval.high


def test_equal_classes_tie_and_a_tie_is_a_miss():
    classes = torch.eye(3)[[0, 0, 1]]
    assert class_ranks(torch.eye(3)[:1], classes, torch.tensor([0])).tolist() == [2]


def test_bad_input_is_named(backbone):
    with pytest.raises(ValueError, match="0 classes, 80 templates: expected some"):
        zero_shot_classifier(backbone, Tokenizer(40), [])
    image, classes = torch.rand(2, 4), torch.rand(3, 4)
    with pytest.raises(ValueError, match=r"labels \(3,\): expected one per image, \[2\]"):
        class_ranks(image, classes, torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=r"labels\[1\]=3: expected 0..2"):
        class_ranks(image, classes, torch.tensor([0, 3]))
