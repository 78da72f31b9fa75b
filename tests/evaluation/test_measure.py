"""The command: one checkpoint on one data set, from files to a result, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bclip_core.checkpoints import build_model, export_open_clip, import_open_clip, save
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.evaluation import measure
from bclip_core.records.files import sha256
from bclip_core.records.results import load_result
from tests.planted import draw

TINY = BackboneConfig("scene-tiny")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    return save(build_model(TINY, PoolerConfig()), path)


@pytest.fixture
def urban(tmp_path: Path) -> Path:
    """Four pictures of Urban-1K's list, three of them on disk."""
    rows = [
        {"image_id": n, "image": f"{n}.jpg", "caption": f"A street, number {n}. It rains."}
        for n in range(4)
    ]
    folder = tmp_path / "urban1k"
    for n in range(3):
        draw(folder / "image" / f"{n}.jpg", {(0, 0, 80, 60): n}, (80, 60))
    (folder / "annotations.json").write_text(json.dumps({"annotations": rows}))
    return folder


def test_a_subset_is_measured_and_named_a_subset(
    urban: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data-set", "urban1k", "--root", str(urban), "--checkpoint", str(checkpoint)]
    assert measure.main([*arguments, "--label", "mine", "--allow-missing"]) == 0
    assert "urban1k__mine__mini.json" in capsys.readouterr().out
    values = load_result("urban1k__mine", "mini")["values"]
    assert (values["data_set"], values["label"], values["complete"]) == ("urban1k", "mine", False)
    assert values["data"][0]["items"] == 3
    assert values["model"]["sha256"] == sha256(checkpoint)
    assert values["model"]["backbone"]["name"] == "scene-tiny"
    names = {name.split("/")[1] for name in values["metrics"]}
    assert names == {"global", "conditioned", "own_caption"}
    assert values["protocol"]["captions"]["cut"] == 0
    with pytest.raises(FileNotFoundError):
        load_result("urban1k__mine", "full")


def test_an_incomplete_folder_is_refused_by_default(
    urban: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data-set", "urban1k", "--root", str(urban), "--checkpoint", str(checkpoint)]
    assert measure.main([*arguments, "--label", "mine"]) == 1
    assert "image/3.jpg" in capsys.readouterr().err


def test_refusals_are_printed(
    urban: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**changes: str) -> str:
        given = {
            "data-set": "urban1k", "root": str(urban), "checkpoint": str(checkpoint), "label": "a"
        } | {name.replace("_", "-"): value for name, value in changes.items()}  # fmt: skip
        pairs = [part for name, value in given.items() for part in (f"--{name}", value)]
        assert measure.main(pairs) == 1
        return capsys.readouterr().err

    assert "data set 'urban': expected one of urban1k, " in refused(data_set="urban")
    assert "label='My Model': expected lower-case words" in refused(label="My Model")
    assert "weights.pt: no such file or folder" in refused(checkpoint="weights.pt")
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    assert "damaged or no torch file" in refused(checkpoint=str(tmp_path / "broken.pt"))


def test_every_kind_of_weights_is_told_apart(checkpoint: Path, tmp_path: Path) -> None:
    ours = measure.open_model(str(checkpoint))
    assert ours.pooler is not None
    folder = export_open_clip(ours, tmp_path / "exported")
    weights = ours.backbone.clip.state_dict()
    torch.save(weights, tmp_path / "open_clip.pt")
    for source in (folder, tmp_path / "open_clip.pt"):
        found = measure.open_model(str(source), architecture="scene-tiny", quick_gelu=True)
        assert torch.equal(found.backbone.clip.visual.proj, weights["visual.proj"])
    assert measure.open_model("scenes").backbone.config.name == "scene-small"
    fresh = measure.open_model("random", architecture="scene-tiny")
    torch.manual_seed(5)
    again = measure.open_model("random", architecture="scene-tiny")
    assert torch.equal(fresh.backbone.clip.visual.proj, again.backbone.clip.visual.proj)


def test_a_whole_set_of_ones_own_is_complete(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        draw(tmp_path / "mine" / f"{n}.png", {(0, 0, 64, 64): n}, (64, 64))
        (tmp_path / "mine" / f"{n}.txt").write_text(f"A picture, number {n}.")
    arguments = ["--data-set", "pairs", "--root", str(tmp_path / "mine"), "--label", "tiny"]
    assert measure.main([*arguments, "--checkpoint", str(checkpoint), "--conditioned", "none"]) == 0
    assert "pairs__tiny__full.json" in capsys.readouterr().out
    assert load_result("pairs__tiny", "full")["values"]["data"][0]["items"] == 3


def test_the_round_trip_through_open_clip_measures_the_same(
    urban: Path, checkpoint: Path, tmp_path: Path
) -> None:
    ours = measure.open_model(str(checkpoint))
    there = import_open_clip(export_open_clip(ours, tmp_path / "exported"))
    first, _, complete = measure.measure(ours, "urban1k", urban, allow_missing=True)
    second, _, _ = measure.measure(there, "urban1k", urban, allow_missing=True)
    assert first == second
    assert not complete
