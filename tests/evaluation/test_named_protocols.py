"""Protocols by name: each choice changes a number, is recorded, and is part of the file's name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from bclip_core.checkpoints import build_model, open_model
from bclip_core.config import BackboneConfig, ConfigError, DataConfig
from bclip_core.data import real
from bclip_core.data.real import CaptionSet
from bclip_core.data.real.sets import CaptionedImage
from bclip_core.data.sources import load_split
from bclip_core.evaluation import measure, two_stage_retrieval
from bclip_core.evaluation.encoding import encode_texts
from bclip_core.evaluation.protocols.named import (
    OURS,
    PROTOCOLS,
    Protocol,
    get_protocol,
    protocol_rows,
)
from bclip_core.evaluation.protocols.regions import measure_regions
from bclip_core.evaluation.protocols.retrieval import measure_retrieval
from bclip_core.model import BClip
from bclip_core.records.results import load_result

COUNT = 12
R1 = "retrieval/global/captions/t2i_R@1"


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Image.Image, str]]:
    rows = load_split(DataConfig(test=COUNT, train=1, validation=1), "test")
    return [(row["image"].convert("RGB"), row["caption"]) for row in rows]


@pytest.fixture(scope="module")
def model() -> BClip:
    return open_model("scenes").eval()


def captioned(folder: Path, pictures: list[Image.Image], texts: list[list[str]]) -> CaptionSet:
    items = []
    for number, (picture, captions) in enumerate(zip(pictures, texts, strict=True)):
        path = folder / f"{number}.png"
        picture.save(path)
        items.append(CaptionedImage(path.name, path, tuple(captions)))
    return CaptionSet("coco", "test", tuple(items))


def urban(folder: Path, scenes: list[tuple[Image.Image, str]]) -> Path:
    """Long-CLIP's layout, whose first lines are all alike."""
    for part in ("image", "caption"):
        (folder / part).mkdir(parents=True)
    for number, (picture, text) in enumerate(scenes):
        picture.save(folder / "image" / f"{number}.jpg", quality=95)
        (folder / "caption" / f"{number}.txt").write_text(f"A picture.\n{text}\n")
    return folder


def test_the_first_line_is_another_text_than_the_whole_caption(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], model: BClip
) -> None:
    folder = urban(tmp_path / "urban1k", scenes)
    found = {}
    for name in ("ours", "long-clip", "beta-clip"):
        measured, _, _ = measure.measure(
            model, "urban1k", folder, allow_missing=True, protocol=get_protocol(name)
        )
        found[name] = measured.metrics[R1.replace("t2i", "i2t")]["mean"]
        assert measured.protocol["name"] == name
    assert found["ours"] > 0.3
    assert found["long-clip"] == found["beta-clip"] == 0.0  # equal texts tie


def test_a_crop_sees_the_middle_and_a_squash_sees_the_edges(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], model: BClip
) -> None:
    wide = []
    for picture, _ in scenes:
        canvas = Image.new("RGB", (3 * picture.width, picture.height), (128, 128, 128))
        canvas.paste(picture, (0, 0))
        wide.append(canvas)
    captions = captioned(tmp_path, wide, [[text] for _, text in scenes])
    cropped = measure_retrieval(model, captions, protocol=get_protocol("long-clip"))
    squashed = measure_retrieval(model, captions, protocol=get_protocol("fg-clip"))
    assert cropped.metrics[R1]["mean"] == 0.0  # the same grey, and a tie counts against
    assert squashed.metrics[R1]["mean"] > 0.0
    assert cropped.protocol["pictures"] != squashed.protocol["pictures"]
    assert cropped.protocol["choices"]["resize"] == "crop"


def test_captions_beyond_the_limit_are_not_asked(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], model: BClip
) -> None:
    texts = [[text, "A picture."] for _, text in scenes]
    captions = captioned(tmp_path, [picture for picture, _ in scenes], texts)
    both = measure_retrieval(model, captions)
    first = measure_retrieval(model, captions, protocol=PROTOCOLS["goal"])
    assert both.metrics[R1]["count"] == 2 * COUNT
    assert first.metrics[R1]["count"] == COUNT
    assert first.metrics[R1]["mean"] > both.metrics[R1]["mean"]


def test_goals_lengths_of_the_list_are_counted(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], model: BClip
) -> None:
    captions = captioned(tmp_path, [p for p, _ in scenes], [[text] for _, text in scenes])
    names = measure_retrieval(model, captions, protocol=PROTOCOLS["goal"]).metrics
    assert {name.partition("@")[2] for name in names} == {"1", "5", "25", "50"}


def test_bfloat16_sees_no_difference_that_float32_sees(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], model: BClip
) -> None:
    """Each scene twice, one pixel changed: float32 tells one from the other, bfloat16 ties."""
    pictures, texts = [], []
    for picture, text in scenes:
        other = picture.copy()
        other.putpixel((3, 3), (0, 0, 0))
        pictures += [picture, other]
        texts += [[text], [text]]
    captioned(tmp_path, pictures, texts)
    for number, (text,) in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    half = Protocol("half", precision="bfloat16")
    found = [
        measure.measure(model, "pairs", tmp_path, conditioned="none", protocol=protocol)[0]
        for protocol in (OURS, half)
    ]
    assert found[0].metrics[R1]["mean"] > found[1].metrics[R1]["mean"]
    assert next(model.parameters()).dtype == torch.float32  # the caller's model stays as it is


def test_two_text_paths_are_chosen_by_the_protocol() -> None:
    torch.manual_seed(0)
    name = "vit-d8-v16x1h2m32p8s16-t16x1h2m32n49408"
    two = build_model(BackboneConfig(name, context_length=24, short_context=12), None).eval()
    for weight in two.backbone.short.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    texts = ["a red circle", "a blue square"]
    auto, short, long = (encode_texts(two, texts, path=path) for path in ("auto", "short", "long"))
    assert torch.equal(auto, short)
    assert not torch.allclose(short, long, atol=1e-3)
    over = ["a red circle above a blue square beside a green triangle and a star"]
    assert torch.equal(encode_texts(two, over), encode_texts(two, over, path="long"))
    cut = encode_texts(two, over, path="short")  # cut to what the short path holds
    assert not torch.allclose(cut, encode_texts(two, over), atol=1e-3)
    fg_clip = get_protocol("fg-clip")
    assert (fg_clip.path("coco"), fg_clip.path("dci"), fg_clip.path("urban1k")) == (
        "short", "long", "auto"
    )  # fmt: skip


def test_short_lists_per_image_lose_a_text_that_no_image_lists() -> None:
    """Text 1 is second for both images; its own list would still hold its image."""

    class Pooling:
        def pooler(self, patches, text, *_):  # type: ignore[no-untyped-def]
            return text.expand(len(patches), -1, -1), None

    similarity = torch.tensor([[0.9, 0.8], [0.1, 0.2]])
    given = (torch.ones(2, 1, 2), torch.eye(2), similarity, torch.eye(2, dtype=torch.bool), 1)
    each, image = (
        two_stage_retrieval(Pooling(), *given, ks=(1,), lists=lists).recall
        for lists in ("each way", "per image")
    )
    assert (each["t2i_R@1"], image["t2i_R@1"]) == (1.0, 0.0)
    assert each["i2t_R@1"] == image["i2t_R@1"] == 0.5
    with pytest.raises(ValueError, match="lists='both': expected 'each way' or 'per image'"):
        two_stage_retrieval(Pooling(), *given, ks=(1,), lists="both")


def fgovd(folder: Path, picture: Image.Image) -> Path:
    """One region of FG-OVD whose true expression is among the false ones."""
    (folder / "coco" / "val2017").mkdir(parents=True)
    picture.save(folder / "coco" / "val2017" / "1.jpg")
    row = {
        "img_path": "val2017/1.jpg", "bbox": [4.0, 4.0, 40.0, 40.0],
        "width": picture.width, "height": picture.height,
        "pos_expression": ["A red circle."], "neg_expression": ["A red circle."],
    }  # fmt: skip
    (folder / "fgovd").mkdir()
    (folder / "fgovd" / "h_attributes_llava.jsonl").write_text(json.dumps(row) + "\n")
    return folder / "fgovd"


def test_a_tie_is_a_miss_or_a_hit(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], model: BClip
) -> None:
    folder = fgovd(tmp_path, scenes[0][0])
    found = {
        name: measure.measure(
            model, "fgovd", folder, allow_missing=True, split="hard", protocol=PROTOCOLS[name]
        )[0]
        for name in ("ours", "fg-clip", "beta-clip")
    }
    hits = {name: one.metrics["regions/dense/hard"]["mean"] for name, one in found.items()}
    assert hits == {"ours": 0.0, "fg-clip": 1.0, "beta-clip": 1.0}
    assert found["ours"].protocol["missed by a tie"] == {"dense/hard": 1}
    assert found["fg-clip"].protocol["hit by a tie"] == {"dense/hard": 1}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCLIP_RUNS", str(tmp_path / "runs"))


def command(*more: str) -> int:
    return measure.main(["--checkpoint", "scenes", "--label", "mine", "--allow-missing", *more])


def test_the_file_says_whose_protocol_it_was(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], runs: None
) -> None:
    given = ["--data-set", "urban1k", "--root", str(urban(tmp_path / "urban1k", scenes))]
    assert command(*given) == command(*given, "--protocol", "long-clip") == 0
    ours = load_result("urban1k__mine", "mini")["values"]
    theirs = load_result("urban1k__mine__long-clip", "mini")["values"]
    assert ours["protocol"]["name"] == "ours"
    told = theirs["protocol"]
    assert told["choices"]["lines"] == "first"
    assert told["unknown"] == ["ties", "precision"]
    assert "float16" in told["not_done"][0]
    assert ours["metrics"] != theirs["metrics"]


def test_one_name_stands_for_the_list_that_the_authors_use(
    tmp_path: Path, scenes: list[tuple[Image.Image, str]], runs: None
) -> None:
    (tmp_path / "dci" / "photos").mkdir(parents=True)
    (tmp_path / "flickr30k" / "flickr30k-images").mkdir(parents=True)
    rows, lines = [], []
    for number, (picture, text) in enumerate(scenes):
        picture.save(tmp_path / "dci" / "photos" / f"sa_{number}.jpg")
        picture.save(tmp_path / "flickr30k" / "flickr30k-images" / f"{number}.jpg")
        rows.append({"filename": f"sa_{number}.jpg", "caption": text})
        lines += [f"{number}.jpg#{k}\t{text}" for k in range(5)]
    (tmp_path / "dci" / "DCI_test.json").write_text(json.dumps(rows))
    (tmp_path / "flickr30k" / "results_20130124.token").write_text("\n".join(lines))
    assert command("--data-set", "dci", "--root", str(tmp_path / "dci"), "--protocol", "goal") == 0
    assert load_result("dci-1999__mine__goal", "mini")["values"]["data_set"] == "dci-1999"
    given = ["--data-set", "flickr30k", "--root", str(tmp_path / "flickr30k")]
    assert command(*given, "--protocol", "long-clip") == 0
    whole = load_result("flickr30k__mine__all__long-clip", "full")["values"]
    assert whole["data"][0]["split"] == "all"
    assert whole["metrics"][R1]["count"] == 5 * COUNT
    (tmp_path / "flickr30k" / "results_20130124.token").write_text("1.jpg a caption\n")
    assert command(*given, "--protocol", "long-clip", "--bad-rows", "raise") == 1


def test_an_unknown_protocol_lists_the_known(
    runs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--data-set", "coco", "--protocol", "clip") == 1
    known = "ours, beta-clip, long-clip, flair, fg-clip, goal, mulclip"
    assert f"protocol='clip': expected one of {known}" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"protocol 'a': ties='maybe': expected one of miss, hit"):
        Protocol("a", ties="maybe")
    with pytest.raises(ConfigError, match=r"protocol 'a': unknown=\['size'\]: expected of"):
        Protocol("a", unknown=("size",))


def test_the_table_tells_choices_and_what_is_not_known() -> None:
    header, *rows = protocol_rows()
    assert [row[0] for row in rows] == [f"`{name}`" for name in PROTOCOLS]
    by_name = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert "ties hit" in by_name["`fg-clip`"]["otherwise than ours"]
    assert by_name["`ours`"]["otherwise than ours"] == "-"
    assert by_name["`goal`"]["reads"] == "dci: dci-1999, docci: docci-5100"
    assert "resize" in by_name["`mulclip`"]["not known"]
    assert all(entry.source for entry in PROTOCOLS.values())


def test_ties_of_the_real_fg_ovd_move_its_medium_level(model: BClip) -> None:
    """Four items of the official file list their true expression among the false ones."""
    folder = real_folder()
    levels = {"medium": real.load_regions("fgovd", folder, "medium", missing="skip")}
    same = [one for one in levels["medium"].items if one.captions[0] in one.captions[1:]]
    ours = measure_regions(model, levels)
    theirs = measure_regions(model, levels, protocol=PROTOCOLS["fg-clip"])
    name = "regions/dense/medium"
    ties = ours.protocol["missed by a tie"]["dense/medium"]
    gained = (theirs.metrics[name]["mean"] - ours.metrics[name]["mean"]) * len(levels["medium"])
    assert round(gained) == ties <= len(same)


def real_folder() -> Path:
    folder = Path(os.environ.get("BCLIP_DATA", "")) / "fgovd"
    if not os.environ.get("BCLIP_DATA") or not folder.is_dir():
        pytest.skip("no FG-OVD below $BCLIP_DATA")
    return folder
