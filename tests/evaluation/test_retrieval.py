"""Recall against brute force, by hand, and its properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bclip_core.evaluation import (
    bootstrap_interval,
    chance_recall,
    ranks,
    recall_at_k,
    retrieval_metrics,
    similarity_matrix,
)
from bclip_core.evaluation import retrieval as retrieval_module


def brute_force_recall(similarity: Tensor, relevant: Tensor, k: int) -> float:
    """Sort each row with irrelevant items first among equals and look at the first k."""
    hits = 0
    for scores, answers in zip(similarity.tolist(), relevant.tolist(), strict=True):
        order = sorted(range(len(scores)), key=lambda item: (-scores[item], answers[item]))
        hits += any(answers[item] for item in order[:k])
    return hits / len(similarity)


def random_problem(seed: int, queries: int, items: int, levels: int) -> tuple[Tensor, Tensor]:
    """Similarities on few levels, so that ties are common, and at least one answer per row."""
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randint(levels, (queries, items), generator=generator).float()
    relevant = torch.rand(queries, items, generator=generator) < 0.3
    relevant[torch.arange(queries), torch.randint(items, (queries,), generator=generator)] = True
    return similarity, relevant


problems = st.builds(
    random_problem,
    st.integers(0, 10_000),
    st.integers(1, 7),
    st.integers(1, 9),
    st.sampled_from([1, 2, 3, 1000]),
)
few = settings(derandomize=True, deadline=None, max_examples=40)


def test_two_images_and_four_texts_by_eye() -> None:
    relevant = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]]).bool()
    similarity = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.4], [0.5, 0.5]])
    # Text 0 and text 2 find their image; text 1 prefers the other; text 3 ties, which is a miss.
    assert ranks(similarity, relevant).tolist() == [1, 2, 1, 2]
    assert recall_at_k(similarity, relevant, 1) == 0.5
    found = retrieval_metrics(similarity, relevant, ks=(1, 2))
    # Image 0 has its text 0 (0.9) on top; image 1 has text 1 (0.8), which is not its own.
    assert found.recall == {"t2i_R@1": 0.5, "t2i_R@2": 1.0, "i2t_R@1": 0.5, "i2t_R@2": 1.0}
    assert found.hits["t2i_R@1"].tolist() == [True, False, True, False]
    assert found.hits["i2t_R@1"].tolist() == [True, False]


def test_any_of_several_relevant_items_is_a_hit() -> None:
    similarity = torch.tensor([[0.1, 0.9, 0.5, 0.9]])
    relevant = torch.tensor([[True, False, True, True]])
    # Item 3 ties with the irrelevant item 1, which is put first: rank 2.
    assert ranks(similarity, relevant).tolist() == [2]


@few
@given(problems, st.integers(1, 10))
def test_equals_brute_force(problem: tuple[Tensor, Tensor], k: int) -> None:
    similarity, relevant = problem
    assert recall_at_k(similarity, relevant, k) == pytest.approx(
        brute_force_recall(similarity, relevant, k), abs=1e-12
    )


@few
@given(problems, st.integers(0, 10_000))
def test_order_of_items_and_queries_is_irrelevant(
    problem: tuple[Tensor, Tensor], seed: int
) -> None:
    similarity, relevant = problem
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(similarity), generator=generator)
    columns = torch.randperm(similarity.shape[1], generator=generator)
    moved = ranks(similarity[rows][:, columns], relevant[rows][:, columns])
    assert torch.equal(moved, ranks(similarity, relevant)[rows])


@few
@given(problems)
def test_recall_grows_with_k_to_one(problem: tuple[Tensor, Tensor]) -> None:
    recalls = [recall_at_k(*problem, k) for k in range(1, problem[0].shape[1] + 1)]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1.0


def test_a_constant_similarity_finds_nothing() -> None:
    relevant = torch.eye(5, dtype=torch.bool)
    constant = torch.full((5, 5), 0.7)
    assert recall_at_k(constant, relevant, 4) == 0.0
    assert recall_at_k(constant, relevant, 5) == 1.0
    assert recall_at_k(constant, torch.ones_like(relevant), 1) == 1.0


def test_chunks_do_not_change_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    similarity, relevant = random_problem(3, 23, 6, 4)
    whole = ranks(similarity, relevant)
    monkeypatch.setattr(retrieval_module, "_CHUNK_ELEMENTS", 13)
    assert torch.equal(ranks(similarity, relevant), whole)
    with pytest.raises(ValueError, match="query 22 has no relevant item"):
        ranks(similarity, relevant & (torch.arange(23) < 22)[:, None])


def test_perfect_and_shuffled_models() -> None:
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(400, 16, generator=generator)
    relevant = torch.eye(400, dtype=torch.bool)
    text = 3 * image  # the cosine does not see the length
    assert recall_at_k(similarity_matrix(text, image), relevant, 1) == 1.0
    shuffled = text[torch.randperm(400, generator=generator)]
    found = retrieval_metrics(similarity_matrix(shuffled, image), relevant, ks=(20,))
    interval = bootstrap_interval(found.hits["t2i_R@20"])
    assert interval.low < chance_recall(relevant, 20) < interval.high


def test_chance_equals_the_mean_over_all_orders() -> None:
    relevant = torch.tensor([[True, False, True, False], [False, False, True, False]])
    orders = torch.cartesian_prod(*[torch.arange(4.0)] * 4)
    orders = orders[[len(set(row.tolist())) == 4 for row in orders]]
    assert len(orders) == math.factorial(4)
    for k in (1, 2, 3, 9):
        mean = sum(recall_at_k(row.repeat(2, 1), relevant, k) for row in orders) / len(orders)
        assert chance_recall(relevant, k) == pytest.approx(mean, abs=1e-12)


def test_bad_input_is_named() -> None:
    similarity, relevant = torch.rand(3, 2), torch.ones(3, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="k=0"):
        recall_at_k(similarity, relevant, 0)
    with pytest.raises(ValueError, match="query 1 is NaN"):
        recall_at_k(torch.where(torch.arange(3)[:, None] == 1, torch.nan, similarity), relevant, 1)
    with pytest.raises(ValueError, match="query 2 has no relevant item"):
        recall_at_k(similarity, relevant & (torch.arange(3) < 2)[:, None], 1)
    with pytest.raises(ValueError, match="image 1 has no relevant item"):
        retrieval_metrics(similarity, relevant & (torch.arange(2) < 1))
    with pytest.raises(ValueError, match="dtype"):
        recall_at_k(similarity, relevant.float(), 1)
    with pytest.raises(ValueError, match="same non-empty"):
        recall_at_k(similarity, relevant.T, 1)
    with pytest.raises(ValueError, match="expected"):
        similarity_matrix(torch.rand(2, 3), torch.rand(2, 4))
