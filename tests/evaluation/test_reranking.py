"""Two stages against the slow way to do the same, and against conditioned retrieval itself."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bclip_core.evaluation import (
    bootstrap_interval,
    chance_recall,
    conditioned_similarity,
    listed_similarity,
    retrieval_metrics,
    similarity_matrix,
    two_stage_retrieval,
)
from bclip_core.evaluation.conditioned import HasPooler
from bclip_core.poolers import TextConditionedPooler


def model_with_pooler(dim: int) -> HasPooler:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        pooler = TextConditionedPooler(dim).eval()
        for parameter in pooler.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return SimpleNamespace(pooler=pooler)


def problem(images: int = 12, texts_each: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Patches [M, 5, 16], text [Q, 16], first-stage similarity [Q, M] and the right answers."""
    generator = torch.Generator().manual_seed(3)
    patches = torch.randn(images, 5, 16, generator=generator)
    owners = torch.arange(images).repeat_interleave(texts_each)
    text = patches.mean(1)[owners] + 0.6 * torch.randn(len(owners), 16, generator=generator)
    relevant = F.one_hot(owners, images).bool()
    return patches, text, similarity_matrix(text, patches.mean(1)), relevant


def slow_hits(scores: Tensor, first: Tensor, relevant: Tensor, top_k: int, k: int) -> list[bool]:
    """Sort every row by the first stage, keep a list, sort that by the second stage."""
    hits = []
    for row in range(len(scores)):
        listed = sorted(range(scores.shape[1]), key=lambda i: -first[row, i].item())[:top_k]
        order = sorted(listed, key=lambda i: -scores[row, i].item())
        hits.append(any(bool(relevant[row, item]) for item in order[:k]))
    return hits


@pytest.mark.parametrize("top_k", [3, 5, 24])
def test_equals_sorting_by_hand_in_both_directions(top_k: int) -> None:
    model, (patches, text, first, relevant) = model_with_pooler(16), problem()
    second = conditioned_similarity(model, patches, text)
    found = two_stage_retrieval(model, patches, text, first, relevant, top_k, ks=(1, 3))
    for k in (1, 3):
        by_text = slow_hits(second, first, relevant, top_k, k)
        by_image = slow_hits(second.T, first.T, relevant.T, top_k, k)
        assert found.hits[f"t2i_R@{k}"].tolist() == by_text
        assert found.hits[f"i2t_R@{k}"].tolist() == by_image
    assert 0 < found.recall["t2i_R@1"] < 1  # else the comparison would say little


def test_lists_of_everything_are_conditioned_retrieval() -> None:
    model, (patches, text, first, relevant) = model_with_pooler(16), problem()
    found = two_stage_retrieval(model, patches, text, first, relevant, 24)
    whole = retrieval_metrics(conditioned_similarity(model, patches, text), relevant)
    assert found.recall == whole.recall


def test_only_listed_pairs_are_computed() -> None:
    patches, text, _, relevant = problem()
    model, pairs = model_with_pooler(16), []
    pooler = model.pooler

    def counting(maps: Tensor, queries: Tensor) -> tuple[Tensor, None]:
        pairs.append(queries.shape[0] * queries.shape[1])
        return pooler(maps, queries)

    scores = listed_similarity(SimpleNamespace(pooler=counting), patches, text, relevant)
    assert sum(pairs) == int(relevant.sum())
    assert torch.equal(scores > -torch.inf, relevant)
    whole = conditioned_similarity(model, patches, text)
    torch.testing.assert_close(scores[relevant], whole[relevant], atol=1e-6, rtol=0)


def test_an_answer_off_the_list_is_a_miss_and_a_planted_one_is_found() -> None:
    patches, _, _, relevant = problem(texts_each=1)
    text = patches.mean(1)
    model = SimpleNamespace(pooler=lambda maps, q: (maps.mean(1, True).expand(*q.shape), None))
    perfect, worst = relevant.float(), -relevant.float()
    found = two_stage_retrieval(model, patches, text, perfect, relevant, 3, ks=(1,))
    assert found.recall == {"t2i_R@1": 1.0, "i2t_R@1": 1.0}
    found = two_stage_retrieval(model, patches, text, worst, relevant, 3, ks=(1, 3))
    assert set(found.recall.values()) == {0.0}


def test_shuffled_pairs_are_at_chance() -> None:
    patches, text, _, relevant = problem(images=120, texts_each=1)
    text = text[torch.randperm(120, generator=torch.Generator().manual_seed(1))]
    first = similarity_matrix(text, patches.mean(1))
    found = two_stage_retrieval(model_with_pooler(16), patches, text, first, relevant, 30, ks=(10,))
    for hits in found.hits.values():
        interval = bootstrap_interval(hits)
        assert interval.low <= chance_recall(relevant, 10) <= interval.high


def test_a_list_shorter_than_k_is_refused() -> None:
    patches, text, first, relevant = problem()
    with pytest.raises(ValueError, match="top_k=5: expected at least 10"):
        two_stage_retrieval(model_with_pooler(16), patches, text, first, relevant, 5)
