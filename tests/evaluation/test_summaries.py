"""Hits with several captions per picture: chance, groups and counts."""

import pytest
import torch

from bclip_core.evaluation import (
    HEADLINES,
    chance_recall,
    metric_title,
    percent,
    plus_minus,
    reach,
    region_metric,
    retrieval_from_ranks,
    retrieval_metric,
    retrieval_metrics,
    summarise_items,
    summarise_retrieval,
)
from bclip_core.records.results import load_result


def test_five_captions_per_picture_by_eye():
    # Two pictures with two captions each; text 1 prefers the wrong picture.
    relevant = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]]).bool()
    similarity = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.4], [0.1, 0.6]])
    metrics = summarise_retrieval("name", retrieval_metrics(similarity, relevant, (1,)), relevant)
    assert set(metrics) == {"name/t2i_R@1", "name/i2t_R@1"}
    by_text, by_image = metrics["name/t2i_R@1"], metrics["name/i2t_R@1"]
    assert (by_text["mean"], by_text["count"], by_text["chance"]) == (0.75, 4, 0.5)
    # Picture 1's best text is text 1, which is picture 0's; picture 0's best is its own text 0.
    assert (by_image["mean"], by_image["count"], by_image["chance"]) == (0.5, 2, 0.5)


def test_chance_differs_by_direction_with_several_captions():
    relevant = torch.eye(20).repeat_interleave(5, dim=0).bool()
    similarity = torch.rand(100, 20, generator=torch.Generator().manual_seed(0))
    metrics = summarise_retrieval("x", retrieval_metrics(similarity, relevant, (1, 5)), relevant)
    assert metrics["x/t2i_R@5"]["chance"] == pytest.approx(5 / 20)
    assert metrics["x/i2t_R@5"]["chance"] == pytest.approx(chance_recall(relevant.T, 5))
    assert 0.2 < metrics["x/i2t_R@5"]["chance"] < 0.25


def test_texts_of_a_picture_are_drawn_together():
    # All texts of half of the pictures hit: as uncertain as ten pictures, not as fifty texts.
    hits = (torch.arange(10) % 2 == 0).repeat_interleave(5)
    owners = torch.arange(10).repeat_interleave(5)
    together, apart = summarise_items(hits, 0.1, owners), summarise_items(hits, 0.1)
    assert together["high"] - together["low"] > 1.8 * (apart["high"] - apart["low"])


def test_ranks_of_two_directions_need_not_come_from_one_matrix():
    found = retrieval_from_ranks({"t2i": torch.tensor([1, 4]), "i2t": torch.tensor([2])}, (1, 5))
    assert found.recall == {"t2i_R@1": 0.5, "t2i_R@5": 1.0, "i2t_R@1": 0.0, "i2t_R@5": 1.0}
    with pytest.raises(ValueError, match="k=0"):
        retrieval_from_ranks({"t2i": torch.tensor([1])}, (0,))


def test_an_estimate_is_written_in_percent():
    value = {"mean": 0.255, "low": 0.2, "high": 0.3}
    assert percent(value) == "25.5 [20.0, 30.0]"
    assert percent({"mean": -0.01, "low": -0.02, "high": 0.005}, signed=True) == "-1.0 [-2.0, +0.5]"
    assert plus_minus(value) == "25.5 ±5.0"
    assert plus_minus(dict.fromkeys(("mean", "low", "high"), 0.5)) == "50.0"
    mean, (below, above) = reach(value)
    assert (mean, below, above) == pytest.approx((25.5, 5.5, 4.5))
    assert reach({"mean": 0.2, "low": 0.21, "high": 0.3})[1][0] == 0.0  # no bar of negative length


def test_headlines_are_names_that_the_functions_make():
    assert HEADLINES["regions, hard"] == region_metric("hard") == "regions/dense/hard"
    assert HEADLINES["image → long caption, R@1"] == "retrieval/global/long/i2t_R@1"
    assert retrieval_metric("late", "short", "i2t", 5) == "retrieval/late/short/i2t_R@5"
    assert HEADLINES["pointing game, attention"] == "grounding/attention/pointing"


def test_titles_are_the_fields_terms_and_tell_metrics_apart():
    kept = load_result("method_comparison", "cpu", reference=True)["values"]["methods"]
    names = {name for metrics in kept.values() for name in metrics}
    titles = {metric_title(name) for name in names}
    assert len(titles) == len(names) > 40
    assert not [title for title in titles if "/" in title or "_" in title]
    for title, name in HEADLINES.items():
        assert metric_title(name) == title or "conditioned" in name


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("retrieval/conditioned/short/i2t_R@5", "conditioned, image → short caption, R@5"),
        ("retrieval/own_caption/long/t2i_R@1", "own caption (leaks), long caption → image, R@1"),
        ("retrieval/global/captions/t2i_R@10", "caption → image, R@10"),
        ("regions/pooled/easy", "regions, easy, pooled picture"),
        ("attributes/dense/size", "regions, size alone"),
        ("grounding/cosine/iou", "intersection over union, patch cosine"),
        ("a metric of my own", "a metric of my own"),
        ("grounding/other/pointing", "grounding/other/pointing"),
    ],
)
def test_a_title(name, title):
    assert metric_title(name) == title
