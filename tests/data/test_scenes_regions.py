import pytest

from bclip_core.config import DataConfig
from bclip_core.data.scenes import (
    DIFFICULTIES,
    attribute_queries,
    describe,
    get_difficulty,
    load_scenes,
    region_queries,
)

SWAPS = {"hard": 1, "medium": 2, "easy": 3}


@pytest.fixture(scope="module", params=list(DIFFICULTIES))
def dataset(request, tmp_path_factory):
    config = DataConfig(difficulty=request.param, image_size=32, test=40)
    return load_scenes(config, "test", tmp_path_factory.mktemp("scenes"), progress=False)


def read_back(caption: str, name: str) -> dict[str, str]:
    """Attribute values named in a canonical caption, by looking for each value's word."""
    words = caption.replace("without a border", "none").replace(" with a ", " ").split()
    difficulty, found = get_difficulty(name), {}
    for attribute in difficulty.varying:
        part = words
        if attribute == "border":
            part = words[-1:] if words[-1] == "none" else words[-2:-1]
        (found[attribute],) = [value for value in difficulty.values(attribute) if value in part]
    return found


@pytest.mark.parametrize("level", ["hard", "medium", "easy", "trivial"])
def test_negatives_are_distinct_false_and_as_hard_as_said(dataset, level):
    queries = region_queries(dataset, level, seed=1, per_scene=2)
    assert len(queries) == 2 * len(dataset)
    for query in queries:
        row = dataset[query.row]
        item, name = row["objects"][query.object], row["difficulty"]
        varying = get_difficulty(name).varying
        assert list(query.box) == row["boxes"][query.object]
        assert len(set(query.captions)) == 11
        assert len(query.swapped) == 11
        assert query.swapped[0] == ()
        for caption, swapped in zip(query.captions, query.swapped, strict=True):
            values = read_back(caption, name)
            assert {k for k in varying if values[k] != item[k]} == set(swapped)
        false = query.swapped[1:]
        if level in SWAPS:
            assert all(len(swapped) == SWAPS[level] for swapped in false)
        else:
            assert all(len(swapped) >= 1 for swapped in false)


def test_trivial_negatives_are_captions_of_other_scenes(dataset):
    difficulty = get_difficulty(dataset[0]["difficulty"])
    owners: dict[str, set[int]] = {}
    for row, objects in enumerate(dataset["objects"]):
        for item in objects:
            owners.setdefault(describe(item, difficulty), set()).add(row)
    for query in region_queries(dataset, "trivial"):
        assert all(owners[caption] - {query.row} for caption in query.captions[1:])


def test_attribute_queries_offer_every_value_once(dataset):
    difficulty = get_difficulty(dataset[0]["difficulty"])
    for attribute in difficulty.varying:
        for query in attribute_queries(dataset, attribute):
            values = [read_back(caption, difficulty.name)[attribute] for caption in query.captions]
            assert sorted(values) == sorted(difficulty.values(attribute))
            assert values[0] == dataset[query.row]["objects"][query.object][attribute]
            assert all(swapped == (attribute,) for swapped in query.swapped[1:])


def test_queries_depend_on_the_seed_alone(dataset):
    assert region_queries(dataset, "hard") == region_queries(dataset, "hard")
    assert region_queries(dataset, "hard") != region_queries(dataset, "hard", seed=1)
    rows = [dataset[i] for i in range(len(dataset))]
    assert region_queries(rows, "easy") == region_queries(dataset, "easy")


def test_errors_name_what_is_known(dataset):
    with pytest.raises(ValueError, match=r"'harder'.*hard, medium, easy, trivial"):
        region_queries(dataset, "harder")
    with pytest.raises(ValueError, match=r"'weight'.*size"):
        attribute_queries(dataset, "weight")
    with pytest.raises(ValueError, match="expected at least 10"):
        region_queries(dataset.select(range(2)), "trivial")
