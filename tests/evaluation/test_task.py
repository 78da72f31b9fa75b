"""Retrieval with several captions per picture: which answers are right, and what is cut."""

import pytest
import torch

from bclip_core.backbone import Tokenizer
from bclip_core.data.real import CaptionedImage, CaptionSet
from bclip_core.evaluation import chance_recall, retrieval_metrics, similarity_matrix
from bclip_core.evaluation.task import count_cut, relevant_matrix, retrieval_task


def made(counts):
    items = tuple(
        CaptionedImage(f"{i}", b"", tuple(f"Text {k} of {i}. More." for k in range(count)))
        for i, count in enumerate(counts)
    )
    return CaptionSet("made", "test", items)


def test_each_text_belongs_to_its_own_picture():
    task = retrieval_task(made([2, 1, 3]))
    assert task.relevant.tolist() == [
        [i == owner for i in range(3)] for owner in (0, 0, 1, 2, 2, 2)
    ]
    assert task.texts[3] == "Text 0 of 2. More."
    assert task.cut is None
    assert retrieval_task(made([2, 1, 3]), limit=1).relevant.tolist() == (
        torch.eye(3, dtype=torch.bool).tolist()
    )
    short = retrieval_task(made([2, 1, 3]), summary=True)
    assert short.texts == ["Text 0 of 0.", "Text 0 of 1.", "Text 0 of 2."]
    assert retrieval_task(made([2, 1, 3]), rows=[2, 0]).texts[2:] == [
        "Text 2 of 2. More.",
        "Text 0 of 0. More.",
        "Text 1 of 0. More.",
    ]


@pytest.mark.parametrize("per_image", [1, 5])
def test_a_perfect_model_scores_all_and_shuffled_pairs_chance(per_image):
    images = 400
    task = retrieval_task(made([per_image] * images))
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(images, 64, generator=generator)
    text = image.repeat_interleave(per_image, dim=0)
    found = retrieval_metrics(similarity_matrix(text, image), task.relevant)
    assert set(found.recall.values()) == {1.0}
    shuffled = image[torch.randperm(images, generator=generator)]
    found = retrieval_metrics(similarity_matrix(text, shuffled), task.relevant, ks=(10,))
    chance = {
        "t2i_R@10": chance_recall(task.relevant, 10),
        "i2t_R@10": chance_recall(task.relevant.T, 10),
    }
    assert chance["t2i_R@10"] == pytest.approx(10 / images)
    # Equal captions of one picture stand together: only 10 / K pictures' texts fill the first ten.
    chance["i2t_R@10"] = 10 / per_image / images
    for name, expected in chance.items():
        spread = (expected / images) ** 0.5  # of one independent trial per picture
        assert abs(found.recall[name] - expected) < 3 * spread, name


def test_any_of_a_pictures_captions_is_an_answer():
    task = retrieval_task(made([2, 2]))
    similarity = torch.tensor([[0.9, 0.8], [0.1, 0.2], [0.3, 0.7], [0.5, 0.0]])
    found = retrieval_metrics(similarity, task.relevant, ks=(1, 2)).recall
    assert found["t2i_R@1"] == 2 / 4  # texts 0 and 2
    assert found["i2t_R@1"] == 1 / 2  # picture 1 prefers text 0, and then its own text 2
    assert found["i2t_R@2"] == 1.0


def test_owners_have_to_be_pictures_with_texts():
    with pytest.raises(ValueError, match=r"owners from 0 to 2: expected 0\.\.1"):
        relevant_matrix(torch.tensor([0, 2]), 2)
    with pytest.raises(ValueError, match="image 1 has no text"):
        relevant_matrix(torch.tensor([0, 2]), 3)


@pytest.mark.parametrize("context", [8, 77, 248])
def test_what_the_context_cuts_is_counted(context):
    texts = ["word " * n for n in (1, 6, 7, 75, 76, 300)]
    cut = count_cut(texts, Tokenizer(context))
    assert cut == (6, sum(n + 2 > context for n in (1, 6, 7, 75, 76, 300)), 302, context)
    captions = CaptionSet("made", "test", (CaptionedImage("a", b"", ("word " * 80,)),))
    assert retrieval_task(captions, Tokenizer(77)).cut == (1, 1, 82, 77)
    with pytest.raises(ValueError, match=r"texts=\[\]: expected at least one text"):
        count_cut([], Tokenizer())
