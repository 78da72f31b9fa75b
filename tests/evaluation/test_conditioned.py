"""The honest conditioned similarity against a loop over pairs, and the leak of the other one."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bclip_core.evaluation import (
    conditioned_caption_scores,
    conditioned_similarity,
    hits_from_scores,
    own_caption_similarity,
    recall_at_k,
)
from bclip_core.evaluation.conditioned import HasPooler
from bclip_core.poolers import TextConditionedPooler


def model_with_pooler(dim: int, seed: int = 0, noise: float = 0.0) -> HasPooler:
    """The real pooler from its identity start, plus noise on every parameter."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        pooler = TextConditionedPooler(dim).eval()
        for parameter in pooler.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return SimpleNamespace(pooler=pooler)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loop_over_pairs(model: HasPooler, patches: Tensor, text: Tensor) -> Tensor:
    similarity = torch.zeros(len(text), len(patches))
    for m in range(len(patches)):
        for q in range(len(text)):
            conditioned, _ = model.pooler(patches[m : m + 1], text[q : q + 1].unsqueeze(0))
            similarity[q, m] = F.cosine_similarity(conditioned[0, 0], text[q], dim=0)
    return similarity


# One pair a block, some texts of one image, all texts of some images, everything at once.
@pytest.mark.parametrize("memory_budget", [1, 30_000, 150_000, 2**30])
def test_equals_the_loop_over_pairs_at_any_budget(memory_budget: int) -> None:
    model = model_with_pooler(32, noise=0.2)
    patches, text = normal(7, 9, 32), normal(5, 32, seed=2)
    with torch.no_grad():
        expected = loop_over_pairs(model, patches, text)
    found = conditioned_similarity(model, patches, text, memory_budget=memory_budget)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.05  # a pooler that ignores its inputs would make this test empty


def test_no_gradient_is_kept_and_the_bar_is_silent_by_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, patches, text = model_with_pooler(16), normal(3, 4, 16), normal(2, 16)
    quiet = conditioned_similarity(model, patches, text.requires_grad_())
    assert not quiet.requires_grad
    assert capsys.readouterr().err == ""
    assert torch.equal(conditioned_similarity(model, patches, text, progress=True), quiet)
    assert "3/3" in capsys.readouterr().err


def test_order_of_images_and_texts_is_irrelevant() -> None:
    model, patches, text = model_with_pooler(16, noise=0.2), normal(6, 4, 16), normal(5, 16)
    images, texts = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([4, 2, 0, 1, 3])
    whole = conditioned_similarity(model, patches, text)
    moved = conditioned_similarity(model, patches[images], text[texts])
    torch.testing.assert_close(moved, whole[texts][:, images], atol=1e-6, rtol=0)


def test_a_planted_object_is_found_by_its_text() -> None:
    text = normal(40, 64, seed=3)
    patches = normal(40, 12, 64, seed=4)
    patches[:, 5] = text
    similarity = conditioned_similarity(model_with_pooler(64), patches, text)
    assert recall_at_k(similarity, torch.eye(40, dtype=torch.bool), 1) == 1.0


def test_own_caption_protocol_leaks_the_answer() -> None:
    """One identical picture for all items: nothing to retrieve, and yet one protocol succeeds."""
    items, dim, positions = 64, 512, 196
    model = model_with_pooler(dim)
    picture, text = normal(1, positions, dim, seed=5), normal(items, dim, seed=6)
    relevant = torch.eye(items, dtype=torch.bool)
    with torch.no_grad():
        conditioned, _ = model.pooler(picture, text.unsqueeze(0))
    leaked = recall_at_k(own_caption_similarity(conditioned[0], text), relevant, 1)
    honest = recall_at_k(
        conditioned_similarity(model, picture.expand(items, -1, -1), text), relevant, 1
    )
    assert leaked > 0.8
    assert honest <= 2 / items


# One pair a block, some pictures, everything at once; two pictures have equally many captions.
@pytest.mark.parametrize("memory_budget", [1, 10_000, 2**30])
def test_caption_scores_are_rows_of_the_similarity(memory_budget: int) -> None:
    model, patches = model_with_pooler(16, noise=0.2), normal(4, 4, 16)
    captions = [normal(n, 16, seed=n) for n in (3, 2, 5, 3, 6, 2)]
    image_index = torch.tensor([2, 0, 2, 1, 3, 3])
    scores = conditioned_caption_scores(
        model, patches, image_index, captions, memory_budget=memory_budget
    )
    for row, index, rows in zip(scores, image_index, captions, strict=True):
        expected = loop_over_pairs(model, patches[index : index + 1], rows).squeeze(1)
        torch.testing.assert_close(row, expected.detach(), atol=1e-5, rtol=0)
    assert hits_from_scores(scores).hits.tolist() == [int(row.argmax()) == 0 for row in scores]


def test_bad_input_is_named() -> None:
    model, patches, text = model_with_pooler(16), normal(3, 4, 16), normal(2, 16)
    with pytest.raises(ValueError, match="pooler is None"):
        conditioned_similarity(SimpleNamespace(pooler=None), patches, text)
    with pytest.raises(ValueError, match=r"expected \[M, P, D\] and \[Q, D\]"):
        conditioned_similarity(model, patches, text[:, :8])
    with pytest.raises(ValueError, match=r"image_index\[1\]=3: expected 0..2"):
        conditioned_caption_scores(model, patches, torch.tensor([0, 3]), [text, text])
    with pytest.raises(ValueError, match="sets of captions"):
        conditioned_caption_scores(model, patches, torch.tensor([0]), [text, text])
