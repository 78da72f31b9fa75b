"""The protocols end to end: a planted perfect model scores 100, shuffled pairs score chance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bclip_core.data.real import (
    CaptionedImage,
    CaptionSet,
    LabelledImage,
    LabelledSet,
    PhotoRegion,
    RegionSet,
)
from bclip_core.evaluation.protocols.regions import measure_regions
from bclip_core.evaluation.protocols.retrieval import measure_classes, measure_retrieval
from bclip_core.studies.papers import at_chance
from tests.planted import Planted, draw, shuffled

COUNT = 60
WHOLE = (0, 0, 64, 64)
CAPTIONS = [f"Scene number {n}. It is a picture." for n in range(COUNT)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return [draw(folder / f"{n}.png", {WHOLE: n}, (64, 64)) for n in range(COUNT)]


@pytest.fixture(scope="module")
def model() -> Planted:
    meaning = {caption: number for number, caption in enumerate(CAPTIONS)}
    meaning |= {caption.partition(" It")[0]: number for caption, number in meaning.items()}
    meaning |= {f"a thing of kind {n}": n for n in range(COUNT)}
    meaning |= {f"seen again, {n}": n for n in range(COUNT)}
    return Planted(meaning)


def caption_set(pictures: list[Path], *columns: list[str]) -> CaptionSet:
    rows = zip(pictures, *columns, strict=True)
    return CaptionSet("pairs", "test", tuple(
        CaptionedImage(path.stem, path, captions) for path, *captions in
        ((path, *texts) for path, *texts in rows) for captions in [tuple(captions)]
    ))  # fmt: skip


@pytest.mark.parametrize("conditioned", ["all", "two-stage"])
def test_a_perfect_model_retrieves_everything(
    model: Planted, pictures: list[Path], conditioned: str
) -> None:
    found = measure_retrieval(
        model, caption_set(pictures, CAPTIONS), conditioned=conditioned, top_k=12
    )
    second = "conditioned" if conditioned == "all" else "conditioned_top12"
    protocols = ("global", second, "own_caption")
    assert set(found.metrics) == {
        f"retrieval/{protocol}/{kind}/{way}_R@{k}"
        for protocol in protocols for kind in ("captions", "summary")
        for way in ("t2i", "i2t") for k in (1, 5, 10)
    }  # fmt: skip
    for name, value in found.metrics.items():
        assert (name, value["mean"], value["count"]) == (name, 1.0, COUNT)
    assert found.metrics["retrieval/global/captions/t2i_R@5"]["chance"] == pytest.approx(5 / 60)
    assert found.protocol["captions"] == {
        "texts": 60, "cut": 0, "longest": 12, "context_length": 77
    }  # fmt: skip


def test_several_captions_per_picture_are_all_answers(model: Planted, pictures: list[Path]) -> None:
    again = [f"seen again, {n}" for n in range(COUNT)]
    found = measure_retrieval(model, caption_set(pictures, CAPTIONS, again))
    assert {name.split("/")[1] for name in found.metrics} == {"global", "conditioned"}
    assert all(value["mean"] == 1.0 for value in found.metrics.values())
    assert found.metrics["retrieval/global/captions/t2i_R@1"]["count"] == 2 * COUNT
    assert found.metrics["retrieval/global/captions/i2t_R@1"]["count"] == COUNT


def test_over_all_wrong_pairings_every_recall_is_exactly_chance(
    model: Planted, pictures: list[Path]
) -> None:
    """In turn each picture gets each caption: every candidate is right once, so the mean is k/N."""
    few = 12
    found = []
    for shift in range(few):
        captions = CAPTIONS[shift:few] + CAPTIONS[:shift]
        found.append(measure_retrieval(model, caption_set(pictures[:few], captions)).metrics)
    assert {value["mean"] for value in found[0].values()} == {1.0}  # unshifted
    assert all(value["mean"] == 0 for name, value in found[1].items() if "_R@1" in name[-4:])
    for name in found[0]:
        k = int(name.rpartition("@")[2])
        mean = sum(metrics[name]["mean"] for metrics in found) / few
        assert mean == pytest.approx(k / few), name
        assert found[0][name]["chance"] == pytest.approx(k / few), name


def test_without_pooler_or_wish_there_is_global_retrieval_alone(
    model: Planted, pictures: list[Path]
) -> None:
    found = measure_retrieval(model, caption_set(pictures, CAPTIONS), conditioned="none")
    assert {name.split("/")[1] for name in found.metrics} == {"global"}
    with pytest.raises(ValueError, match="conditioned='some': expected one of all, two-stage, non"):
        measure_retrieval(model, caption_set(pictures, CAPTIONS), conditioned="some")


# Quadrants of pictures of 128 x 96 pixels, which become squares of 32: patches lie within them.
QUADRANTS = [(0, 0, 64, 48), (64, 0, 64, 48), (0, 48, 64, 48), (64, 48, 64, 48)]


def region_set(folder: Path, right: bool = True, ties: int = 0, step: int = 1) -> RegionSet:
    items = []
    for number in range(0, COUNT, 4):
        numbers = [number + place for place in range(4)]
        path = folder / f"{number}.png"
        draw(path, dict(zip(QUADRANTS, numbers, strict=True)), (128, 96))
        for box, shown in zip(QUADRANTS, numbers, strict=True):
            names = [f"a thing of kind {(shown + step * other) % COUNT}" for other in range(5)]
            names = names if right else shuffled(names, shown)
            if len(items) < ties:
                names[-1] = names[0]
            items.append(PhotoRegion(path, box, tuple(names), (128, 96), str(shown), path.name))
    return RegionSet("fgovd", "hard", tuple(items))


def test_a_perfect_model_names_every_region(model: Planted, tmp_path: Path) -> None:
    levels = {"hard": region_set(tmp_path), "easy": region_set(tmp_path, ties=3)}
    found = measure_regions(model, levels)
    dense = {level: found.metrics[f"regions/dense/{level}"] for level in levels}
    assert (dense["hard"]["mean"], dense["hard"]["count"]) == (1.0, COUNT)
    assert dense["hard"]["chance"] == pytest.approx(1 / 5)
    assert dense["easy"]["mean"] == pytest.approx(1 - 3 / COUNT)  # a tie is a miss
    assert 0.1 < dense["hard"]["blind"] < 0.3  # in other pictures: names are alike, so 1 in 5
    assert found.protocol["missed by a tie"]["dense/hard"] == 0
    assert found.protocol["missed by a tie"]["dense/easy"] == 3
    assert (found.protocol["photos"], found.protocol["pixels"]) == (15, 64)
    # False expressions of other pictures: the whole picture, pooled, knows what it shows.
    elsewhere = measure_regions(model, {"hard": region_set(tmp_path, step=4)})
    assert {name: value["mean"] for name, value in elsewhere.metrics.items()} == {
        "regions/dense/hard": 1.0, "regions/pooled/hard": 1.0
    }  # fmt: skip


def test_shuffled_expressions_are_at_chance(model: Planted, tmp_path: Path) -> None:
    value = measure_regions(model, {"hard": region_set(tmp_path, right=False)}).metrics[
        "regions/dense/hard"
    ]
    assert at_chance(value)


class KnowsClasses(Planted):
    """Reads a class out of any template around its name."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__({name: n for n, name in enumerate(names)})
        self.backbone.encode_text = self.read  # type: ignore[method-assign]
        self.names = {row[1]: n for n, row in enumerate(
            [[0, *ids[1:2]] for ids in self.backbone.numbers]
        )}  # fmt: skip

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        found = [next(self.names[i] for i in row if i in self.names) for row in tokens.tolist()]
        return self.backbone.vectors[found]


def test_a_perfect_model_knows_every_class_and_shuffled_labels_are_at_chance(
    pictures: list[Path],
) -> None:
    names = ("cat", "dog", "horse", "bus", "tree", "ship")
    perfect = KnowsClasses(names)
    labels = [n % 6 for n in range(COUNT)]
    folder = pictures[0].parent / "classes"
    files = [draw(folder / f"{n}.png", {WHOLE: label}, (64, 64)) for n, label in enumerate(labels)]

    def labelled(order: list[int]) -> LabelledSet:
        rows = zip(files, order, strict=True)
        items = tuple(LabelledImage(path.stem, path, label) for path, label in rows)
        return LabelledSet("cifar10", "test", items, names)

    found = measure_classes(perfect, labelled(labels))
    assert found.metrics["classification/top1"]["mean"] == 1.0
    assert found.metrics["classification/top1"]["chance"] == pytest.approx(1 / 6)
    assert found.protocol["classes"] == 6
    mixed = [int(label) for label in shuffled([str(label) for label in labels])]
    value = measure_classes(perfect, labelled(mixed)).metrics["classification/top1"]
    assert at_chance(value)
