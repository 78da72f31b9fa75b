"""Published numbers are exact, ours fill their own cells only, subsets never meet full sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bclip_core.data.real import DATA_SETS
from bclip_core.evaluation.protocols.named import PROTOCOLS
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER
from bclip_core.studies.papers import (
    PUBLISHED,
    SHAREGPT4V_LENGTHS,
    at_chance,
    measured,
    other_splits,
    outside_chance,
    paper_rows,
    subset_rows,
)

# Model, data set, I2T / T2I or hard, medium, easy, trivial: as the papers and the card print them.
STATED = {
    ("beta-clip-bce", "urban1k"): [92.3, 91.8],
    ("beta-clip-bce", "sv1k"): [94.1, 94.4],
    ("beta-clip-bce", "fgovd"): [20.1, 38.5, 34.2, 71.3],
    ("beta-clip-ce", "urban1k"): [88.6, 89.0],
    ("beta-clip-ce", "sv1k"): [94.0, 93.7],
    ("beta-clip-ce", "fgovd"): [30.9, 55.4, 60.4, 80.3],
    ("beta-clip", "dci"): [63.6, 65.1],
    ("mulclip", "dci"): [76.83, 78.83],
    ("mulclip", "docci"): [97.88, 98.1],
    ("mulclip", "flickr30k"): [89.6, 74.68],
    ("mulclip", "coco"): [62.86, 44.25],
    ("mulclip", "imagenet-v2"): [63.37],
    # github.com/beichenzbc/Long-CLIP, checkpoints/model_zoo.md; ExplainableML/flair, README.md
    ("longclip-b", "coco"): [57.2, 40.4],
    ("longclip-b", "flickr30k"): [47.2, 33.1],
    ("longclip-l", "coco"): [58.3, 45.1],
    ("longclip-l", "flickr30k"): [48.8, 39.4],
    ("flair-cc3m-recap", "coco"): [51.6, 37.7],
    ("flair-cc3m-recap", "flickr30k"): [78.7, 65.7],
    ("flair-cc12m-recap", "coco"): [64.1, 47.8],
    ("flair-cc12m-recap", "flickr30k"): [90.8, 75.4],
    ("flair-yfcc15m-recap", "coco"): [67.3, 51.2],
    ("flair-yfcc15m-recap", "flickr30k"): [93.3, 79.2],
    ("flair-merged30m", "coco"): [68.0, 53.3],
    ("flair-merged30m", "flickr30k"): [94.7, 81.1],
}


def result(label: str, data_set: str, metric: str, mean: float, **more: Any) -> dict[str, Any]:
    value = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "chance": 0.001, "count": 1000}
    metrics = {metric: value | more}
    return {"label": label, "data_set": data_set, "complete": True, "metrics": metrics}


def test_the_published_numbers_are_the_stated_ones() -> None:
    found: dict[tuple[str, str], list[float]] = {}
    for row in PUBLISHED:
        found.setdefault((row.model, row.data_set), []).append(row.value)
        assert row.source
        assert row.data_set in DATA_SETS
        assert row.protocol in PROTOCOLS
    assert found == STATED


def test_directions_and_levels_are_not_swapped() -> None:
    by_name = {(row.model, row.data_set, row.metric): row.value for row in PUBLISHED}
    name = "retrieval/global/captions"
    assert by_name["beta-clip-bce", "urban1k", f"{name}/i2t_R@1"] == 92.3
    assert by_name["mulclip", "docci", f"{name}/t2i_R@5"] == 98.1
    assert by_name["beta-clip-ce", "fgovd", "regions/dense/hard"] == 30.9
    assert by_name["beta-clip-bce", "fgovd", "regions/dense/trivial"] == 71.3


def test_ours_are_empty_until_measured_and_then_fill_one_cell() -> None:
    header, *rows = paper_rows([])
    assert header[2:6] == ["published", "ours (protocol)", "items", "published protocol"]
    assert len(rows) == len(PUBLISHED)
    assert {row[3] for row in rows} == {""}
    ours = result("beta-clip-bce", "urban1k", "retrieval/global/captions/i2t_R@1", 0.9)
    filled = [row for row in paper_rows([ours])[1:] if row[3]]
    assert [row[:6] for row in filled] == [[
        "beta-clip-bce", "Urban-1K, image → text, R@1", "92.3",
        "90.0 [89.0, 91.0] (ours)", "1,000", "beta-clip",
    ]]  # fmt: skip


def test_a_cell_says_by_which_protocol_it_was_measured() -> None:
    metric = "retrieval/global/captions/i2t_R@1"
    named = {"protocol": {"name": "long-clip"}, "data": [{"split": "all"}]}
    whole = result("longclip-b", "flickr30k", metric, 0.47) | named
    small = result("longclip-b", "flickr30k", metric, 0.9) | {"data": [{"split": "test"}]}
    other = result("longclip-b", "flickr30k", metric, 0.5) | {"data": [{"split": "all"}]}
    (row,) = [row for row in paper_rows([whole, small, other])[1:] if row[3]]
    assert (row[2], row[5]) == ("47.2", "long-clip")
    assert row[3] == "47.0 [46.0, 48.0] (long-clip); 90.0 [89.0, 91.0] (ours)"
    assert subset_rows([whole])[1][0] == "flickr30k (long-clip)"
    assert other_splits([whole, small, other]) == [other]


def test_a_relatives_row_is_filled_by_the_score_that_its_authors_print() -> None:
    metrics = {row.model: row.metric for row in PUBLISHED if row.data_set == "coco"}
    assert metrics["flair-merged30m"].startswith("retrieval/conditioned/captions/")
    assert metrics["longclip-b"].startswith("retrieval/global/captions/")


def test_either_list_of_dci_counts_and_other_models_do_not() -> None:
    metric = "retrieval/global/captions/i2t_R@1"
    several = [
        result("mulclip", "dci-1999", metric, 0.7, count=1999),
        result("mulclip", "dci", metric, 0.6, count=7805),
        result("mine", "dci", metric, 0.5),
    ]
    (row,) = [row for row in paper_rows(several)[1:] if row[3]]
    assert (row[0], row[3], row[4]) == (
        "mulclip", "70.0 [69.0, 71.0] (ours); 60.0 [59.0, 61.0] (ours)", "1,999; 7,805"
    )  # fmt: skip


def test_a_file_of_the_other_size_is_refused(tmp_path: Path) -> None:
    values = result("a", "coco", "x", 0.5)
    write_json(tmp_path / "coco__a__full.json", {"values": values})
    write_json(tmp_path / "coco__b__mini.json", {"values": values | {"complete": False}})
    assert [found["complete"] for found in measured("full", tmp_path)] == [True]
    assert [found["complete"] for found in measured("mini", tmp_path)] == [False]
    write_json(tmp_path / "coco__c__mini.json", {"values": values})
    with pytest.raises(ValueError, match="coco__c__mini.json: complete=True: expected False"):
        measured("mini", tmp_path)


def test_subsets_show_items_and_chance() -> None:
    header, row = subset_rows([result("random-vit-b-16", "coco", "x", 0.0012)])
    assert header[3:] == ["items", "chance", "not looking", "% [95 % interval]"]
    assert row == ["coco", "random-vit-b-16", "x", "1,000", "0.1", "0.1", "0.1 [-0.9, 1.1]"]
    blind = result("random-vit-b-16", "fgovd", "x", 0.03, blind=0.026)
    assert subset_rows([blind])[1][4:6] == ["0.1", "2.6"]


def test_chance_inside_and_outside() -> None:
    inside, outside = result("a", "b", "x", 0.005), result("a", "b", "y", 0.5)
    assert at_chance(inside["metrics"]["x"])
    assert outside_chance([inside, outside]) == ["b y"]
    assert at_chance(outside["metrics"]["y"] | {"blind": 0.5})
    assert not at_chance(inside["metrics"]["x"] | {"blind": 0.5})


def test_no_hit_at_all_has_an_exact_bound_instead_of_no_width() -> None:
    nothing = {"mean": 0.0, "low": 0.0, "high": 0.0, "count": 300}
    # All of 300 miss with probability 2.5 % at a hit rate of 1.2 %.
    assert at_chance(nothing | {"chance": 0.0122})
    assert not at_chance(nothing | {"chance": 0.0123})
    assert (1 - 0.0122) ** 300 > 0.025 > (1 - 0.0123) ** 300
    everything = {"mean": 1.0, "low": 1.0, "high": 1.0, "count": 300}
    assert at_chance(everything | {"chance": 0.99})
    assert not at_chance(everything | {"chance": 0.98})


def test_random_weights_on_real_photos_are_at_chance() -> None:
    """The sanity rows that are committed: both subsets, every protocol that looks at pictures."""
    rows = [one for one in measured("mini", REFERENCE_FOLDER) if one["label"] == "random-vit-b-16"]
    assert {row["data_set"] for row in rows} == {"coco", "fgovd"}
    # One interval misses its level, which comes from four other pictures alone: named here, so
    # that no other may.
    assert [name for name in outside_chance(rows) if "regions, medium, pooled" not in name] == []
    assert len(outside_chance(rows)) == 1


def test_lengths_of_sharegpt4v_are_the_printed_ones() -> None:
    assert round(SHAREGPT4V_LENGTHS.phrases_mean) == 42
    assert SHAREGPT4V_LENGTHS.phrase_tokens_median == 4


def test_another_split_never_stands_as_the_test_split() -> None:
    metric = "retrieval/global/captions/i2t_R@5"
    for split, shown in (("test", True), ("qual_test", False), ("train", False)):
        ours = result("mulclip", "docci", metric, 0.9) | {"data": [{"split": split}]}
        assert any(row[3] for row in paper_rows([ours])[1:]) is shown
        assert bool(other_splits([ours])) is not shown
    part = result("mulclip", "docci", metric, 0.9) | {"complete": False}
    assert not any(row[3] for row in paper_rows([part])[1:])
    level = result("beta-clip-ce", "fgovd", "regions/dense/hard", 0.3)
    level |= {"data": [{"split": "hard"}]}
    assert [row[1] for row in paper_rows([level])[1:] if row[3]] == ["FG-OVD hard"]


@pytest.mark.parametrize("text", ["[]", "{}", '{"values": []}', '{"values": {"label": 1}}', "{"])
def test_a_broken_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "coco__a__full.json").write_text(text)
    with pytest.raises(ValueError, match=r"coco__a__full\.json: "):
        measured("full", tmp_path)
