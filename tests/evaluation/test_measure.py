"""The command: one checkpoint on one data set, from files to a result, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bclip_core.checkpoints import build_model, export_open_clip, import_open_clip, save
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.data import real
from bclip_core.evaluation import measure
from bclip_core.records.files import sha256
from bclip_core.records.results import load_result
from bclip_core.studies import papers
from tests.checkpoints.relatives import path as released
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


def docci(folder: Path, splits: dict[str, int]) -> Path:
    """DOCCI's layout with so many pictures of each split."""
    lines = []
    for split, count in splits.items():
        for n in range(count):
            name = f"{split}_{n}.png"
            draw(folder / "images" / name, {(0, 0, 8, 8): n}, (8, 8))
            row = {"split": split, "image_file": name, "description": f"Number {n} of {split}."}
            lines.append(json.dumps(row))
    (folder / "docci_descriptions.jsonlines").write_text("\n".join(lines))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs" / "tables"


def command(data_set: str, root: Path, checkpoint: Path, *more: str) -> int:
    given = ["--data-set", data_set, "--root", str(root), "--checkpoint", str(checkpoint)]
    return measure.main([*given, "--conditioned", "none", *more])


def test_two_splits_are_two_results_and_neither_is_the_papers(
    checkpoint: Path, tmp_path: Path, runs: Path
) -> None:
    root = docci(tmp_path / "docci", {"qual_dev": 100, "qual_test": 100})
    for split in ("qual_dev", "qual_test"):
        assert command("docci", root, checkpoint, "--label", "mulclip", "--split", split) == 0
    names = [f"docci__mulclip__{split}__full.json" for split in ("qual_dev", "qual_test")]
    assert sorted(path.name for path in runs.iterdir()) == names
    found = papers.measured("full", runs)
    assert [one["splits"] for one in found] == [["qual_dev"], ["qual_test"]]
    assert {one["folder"] for one in found} == {str(root)}
    assert [one["data"][0]["items"] for one in found] == [100, 100]
    assert not any(row[3] for row in papers.paper_rows(found)[1:])
    assert papers.other_splits(found) == found
    assert papers.subset_rows(found)[1][0] == "docci qual_dev"


def test_one_level_does_not_replace_all_four(checkpoint: Path) -> None:
    values = {"data_set": "fgovd", "label": "a", "folder": "x", "data": []}
    values["protocol"] = {"name": "ours"}
    assert measure._result_name(values, "", "full") == "fgovd__a"
    assert measure._result_name(values, "hard", "full") == "fgovd__a__hard"


@pytest.mark.parametrize(
    "there",
    ["{", "[]", '{"values": null}', '{"values": []}', '{"values": {"label": "a"}}',
     '{"values": {"data": null}}', '{"values": {"data": [5], "folder": null}}',
     '{"values": {"data": [{"sha256": null}]}}', '{"values": {"data": [], "r": NaN}}'],
)  # fmt: skip
def test_what_was_measured_is_kept_whatever_lies_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "pairs__a__full.json").write_text(there)
    values = {"data_set": "pairs", "label": "a", "folder": "/x", "protocol": {"name": "ours"}}
    values["data"] = [{"sha256": "1", "pictures_sha256": "2"}]
    assert measure._result_name(values, "", "full").startswith("pairs__a__6b51d431")
    (tmp_path / "tables" / "._docci__b__full.json").write_bytes(b"\0\5\x16\7")
    (tmp_path / "tables" / "pairs__a__full.json").unlink()
    assert papers.measured("full", tmp_path / "tables") == []


def test_another_folders_data_get_a_file_of_their_own(
    checkpoint: Path, tmp_path: Path, runs: Path
) -> None:
    for folder, shade in (("one", 1), ("two", 2), ("copy", 1)):
        draw(tmp_path / folder / "0.png", {(0, 0, 64, 64): shade}, (64, 64))
        (tmp_path / folder / "0.txt").write_text("A picture.")
        assert command("pairs", tmp_path / folder, checkpoint, "--label", "tiny") == 0
    first, second = sorted(runs.iterdir(), key=lambda path: len(path.name))
    assert first.name == "pairs__tiny__full.json"
    assert json.loads(first.read_text())["values"]["folder"] == str(tmp_path / "copy")
    other = json.loads(second.read_text())["values"]
    assert other["folder"] == str(tmp_path / "two")
    # The captions are the same, the pictures are not.
    kept = json.loads(first.read_text())["values"]
    assert other["data"][0]["sha256"] == kept["data"][0]["sha256"]
    assert other["data"][0]["pictures_sha256"] != kept["data"][0]["pictures_sha256"]


def test_what_cannot_be_used_stops_or_is_left_out_named_and_never_complete(
    checkpoint: Path, tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rows = tmp_path / "mine", []
    for n in range(6):
        draw(folder / f"{n}.png", {(0, 0, 64, 64): n}, (64, 64))
        rows.append({"image": f"{n}.png", "caption": f"A picture, number {n}."})
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    rows[2]["caption"] = "&nbsp;"
    rows[3]["caption"] = " "
    (folder / "4.png").unlink()
    (folder / "table.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{broken\n")
    assert command("pairs", folder / "table.jsonl", checkpoint, "--label", "tiny") == 1
    assert capsys.readouterr().err
    more = ("--label", "tiny", "--bad-rows", "skip")
    assert command("pairs", folder / "table.jsonl", checkpoint, *more) == 0
    assert [path.name for path in runs.iterdir()] == ["pairs__tiny__mini.json"]
    values = load_result("pairs__tiny", "mini")["values"]
    (data,) = values["data"]
    assert (data["items"], data["left_out"], values["complete"]) == (2, 5, False)
    reasons = " ".join(f"{place}: {reason}" for place, reason in data["left_out_items"])
    for name in ("1.png", "&nbsp;", "4.png", "broken JSON"):
        assert name in reasons
    assert values["metrics"]["retrieval/global/captions/t2i_R@1"]["count"] == 2


def test_a_broken_picture_of_regions_is_left_out_too(tmp_path: Path) -> None:
    draw(tmp_path / "good.png", {(0, 0, 64, 64): 3}, (64, 64))
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    items = tuple(
        real.PhotoRegion(tmp_path / name, (0, 0, 8, 8), ("a dog", "a cat"), (64, 64), name, name)
        for name in ("good.png", "cut.png")
    )
    found = real.RegionSet("fgovd", "hard", items)
    rest = measure.usable_items(
        found, measure.tokenizer_of(measure.open_model("scenes")), 64, "skip"
    )
    assert [item.id for item in rest.items] == ["good.png"]
    assert "cut.png" in rest.left_out[0].reason


def caption_set(name: str, count: int, *left_out: tuple[str, str]) -> real.CaptionSet:
    items = tuple(real.CaptionedImage(f"{n}.jpg", Path(f"{n}.jpg"), ("a",)) for n in range(count))
    return real.CaptionSet(name, "test", items, tuple(real.LeftOut(*one) for one in left_out))


def with_readme(found: real.CaptionSet) -> real.CaptionSet:
    unused = real.UnusedFile("file README.md", "no .txt file: it is not read")
    return replace(found, left_out=(*found.left_out, unused))


KNOWN = ("row 548", "picture '592.jpg': caption='': expected a text that is not empty "
         "(row 548 of FLAIR's list has an empty caption)")  # fmt: skip


@pytest.mark.parametrize(
    ("found", "complete"),
    [
        (caption_set("urban1k", 1000), True),
        (caption_set("urban1k", 999, KNOWN), True),
        (caption_set("urban1k", 999), False),
        (caption_set("urban1k", 999, ("row 7", "no picture '7.jpg'")), False),
        (caption_set("urban1k", 999, ("row 548", "no picture '592.jpg'")), False),
        (caption_set("urban1k", 998, KNOWN), False),
        (caption_set("urban1k", 1000, ("row 7", "no picture '7.jpg'")), False),
        (caption_set("urban1k", 1001), False),
        (with_readme(caption_set("urban1k", 1000)), True),
        (with_readme(caption_set("urban1k", 999, KNOWN)), True),
        (with_readme(caption_set("urban1k", 999)), False),
        (with_readme(caption_set("urban1k", 1000, ("row 7", "no picture '7.jpg'"))), False),
        (with_readme(caption_set("pairs", 3)), False),
        (caption_set("pairs", 3), True),
        (caption_set("pairs", 3, ("row 7", "no picture '7.jpg'")), False),
        (caption_set("pairs", 3).first(2), False),
        (caption_set("pairs", 3).first(3), True),
        (caption_set("urban1k", 1001).first(1000), False),
    ],
)
def test_complete_is_every_item_but_for_known_faults_that_occurred(
    found: real.CaptionSet, complete: bool
) -> None:
    assert measure.is_complete(found) is complete


def test_a_full_disk_is_said_in_one_line(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "file"))
    draw(tmp_path / "mine" / "0.png", {(0, 0, 64, 64): 1}, (64, 64))
    (tmp_path / "mine" / "0.txt").write_text("A picture.")
    assert command("pairs", tmp_path / "mine", checkpoint, "--label", "tiny") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("measure: ")
    assert f"$BCLIP_RUNS='{tmp_path / 'file'}'" in line
    assert "$BCLIP_RUNS" in line


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for n in range(3):
        draw(tmp_path / "mine" / f"{n}.png", {(0, 0, 64, 64): n}, (64, 64))
        (tmp_path / "mine" / f"{n}.txt").write_text(f"A picture, number {n}.")
    return tmp_path / "mine"


@pytest.mark.parametrize(("name", "quick"), [("longclip", True), ("goal", True), ("flair", False)])
def test_a_released_file_is_measured_with_its_activation_and_with_no_other(
    name: str, quick: bool, own: Path
) -> None:
    given = {"data_set": "pairs", "checkpoint": str(released(name)), "root": own}
    plain = measure.run(measure.Options(**given, label="plain", conditioned="none"))  # type: ignore
    named = measure.run(
        measure.Options(**given, label="named", conditioned="none", quick_gelu=quick)  # type: ignore
    )
    columns = [json.loads(path.read_text())["values"] for path in (plain, named)]
    assert columns[0]["metrics"] == columns[1]["metrics"]
    with pytest.raises(
        ValueError, match=rf"quick_gelu={not quick}: expected {quick}, the activation of"
    ):
        measure.run(measure.Options(**given, label="other", quick_gelu=not quick))  # type: ignore


@pytest.mark.parametrize(
    ("name", "quick"),
    [
        ("hf_clip_77", True), ("hf_clip_248", True), ("longclip_smallvocab", True),
        ("fgclip", True), ("flair_multihead", False),
    ],
)  # fmt: skip
def test_another_vocabulary_is_refused_before_a_picture_is_read(
    name: str, quick: bool, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"vocabulary of (512|600) ids: expected CLIP's 49,408"):
        measure.run(
            measure.Options(
                data_set="pairs", checkpoint=str(released(name)), root=own, label="small",
                quick_gelu=quick,
            )
        )  # fmt: skip
    assert "pairs test" not in capsys.readouterr().out
