"""Views: settings in, numbers out, against the library's own functions and slow loops."""

import copy
import json
import os
import re
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core import checkpoints
from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import build_model, save
from bclip_core.checkpoints.own import SHIPPED
from bclip_core.config import BackboneConfig
from bclip_core.data.images import BrokenImageError
from bclip_core.evaluation import grounding_scores
from bclip_core.evaluation.maps import phrase_masks, picture_maps
from bclip_core.explorer import View, Workbench, export_view, find_models, readings
from bclip_core.explorer.catalogue import (
    best_model,
    given_models,
    named_apart,
    shipped_models,
    untouched,
)
from bclip_core.explorer.pictures import own_picture
from bclip_core.explorer.readings import patch_on_grid
from bclip_core.explorer.workbench import ENCODED_KEPT, MODELS_KEPT, PICTURES_KEPT
from bclip_core.plotting.files import FIGURES
from bclip_core.records.files import write_json
from bclip_core.train import create_model


@pytest.fixture(scope="module")
def view(workbench):
    return View("scene 1", workbench.picture("scene 1").suggestion, ("pooled",))


@pytest.fixture(scope="module")
def shown(workbench, view):
    return workbench.compute(view)


def test_panels_are_the_models_own_maps(workbench, shown, view, model, held_out_scenes):
    pixels = workbench.picture("scene 1").pixels(64)
    masks = [phrase_masks(held_out_scenes[1])[view.text]]
    assert [panel.kind for panel in shown.panels] == ["mean", "cosine"]
    for panel, each in zip(shown.panels, (model, checkpoints.load(SHIPPED["scenes"])), strict=True):
        maps = picture_maps(each, pixels, [view.text])
        values = maps.values(panel.kind)
        assert panel.hottest == divmod(int(values[0].argmax()), 8)
        hit = bool(grounding_scores(values, maps.grid, masks).pointing[0])
        assert panel.item.hit is hit
        if maps.pooled_score is not None:
            assert panel.pooled == pytest.approx(maps.pooled_score.item(), abs=1e-5)


def test_scores_are_in_order_and_the_text_is_among_them(workbench, shown, view, model):
    picture = workbench.picture("scene 1")
    everything = list(dict.fromkeys([view.text, *picture.texts, *picture.others]))
    cosines = {text: picture_maps(model, picture.pixels(64), [text]).score.item()
               for text in everything}  # fmt: skip
    ahead = sum(value > cosines[view.text] for value in cosines.values())
    assert (shown.rank, shown.compared) == (ahead + 1, len(everything))
    first = [score.values[0] for score in shown.scores]
    assert first == sorted(first, reverse=True)
    for score in shown.scores:
        assert score.values[0] == pytest.approx(cosines[score.text], abs=1e-5)
        own = "caption" if score.text in picture.texts else "other"
        assert score.group == ("text" if score.text == view.text else own)


@pytest.mark.parametrize("kind", ["mean", "head 2", "cosine"])
def test_a_patch_answers_by_the_maps_value_at_it(workbench, view, model, kind):
    picture = workbench.picture("scene 1")
    found = workbench.compute(view.replace(patch=(3, 5), kind=kind)).answers[0]
    values = {}
    for text in {*picture.words, *picture.phrases}:
        values[text] = picture_maps(model, picture.pixels(64), [text]).values(kind)[0, 3 * 8 + 5]
    best = sorted((float(value) for value in values.values()), reverse=True)[: len(found.ranking)]
    assert [value for _, value in found.ranking] == pytest.approx(best, abs=1e-5)
    for text, value in found.ranking:
        assert value == pytest.approx(float(values[text]), abs=1e-5)


def test_without_a_patch_the_hottest_one_is_asked(shown):
    assert shown.panels[0].patch == shown.panels[0].hottest
    assert shown.panels[1].patch == shown.panels[0].patch  # the same place for both


@pytest.mark.parametrize(
    ("patch", "grid", "other", "expected"),
    [((7, 0), (8, 8), (14, 14), (13, 0)), ((6, 13), (14, 14), (7, 7), (3, 6)),
     ((2, 1), (4, 2), (4, 2), (2, 1))],
)  # fmt: skip
def test_a_patch_finds_its_place_on_another_grid(patch, grid, other, expected):
    assert patch_on_grid(patch, grid, other) == expected


def test_settings_make_the_same_view_again(workbench, shown, view):
    stored = json.loads(json.dumps(shown.numbers(), allow_nan=False))
    again = View(**stored["view"])
    assert again == view
    assert json.loads(json.dumps(workbench.compute(again).numbers())) == stored


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("text", " ", "text is empty"),
        ("picture", "scene 999", "scene 999.*expected scene 0 to scene 23"),
        ("picture", "no such.png", "no such.png: no such file"),
        ("models", ("nobody",), "model 'nobody': expected one of clip, .*pooled"),
        ("models", (), "expected 1 to 9 names"),
        ("models", ("clip", "clip"), "each of them once"),
        ("kind", "head 9", "kind='head 9': expected one of mean"),
        ("kind", "median", "kind='median'"),
        ("patch", (8, 0), r"patch=\(8, 0\): expected row < 8"),
        ("patch", (-1, 0), "expected row and column"),
        ("opacity", 1.5, "opacity=1.5"),
        ("threshold", float("nan"), "threshold=nan"),
    ],
)
def test_a_bad_setting_is_named(workbench, view, setting, value, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        workbench.compute(view.replace(**{setting: value}))


ODD_TEXTS = ["<script>alert(1)</script>", "🔴🔵", "دائرة حمراء", "a\x01b", "$x_1$"]


def test_any_text_is_looked_for_and_drawn(workbench, view, tmp_path):
    for text in ODD_TEXTS:
        shown = workbench.compute(view.replace(text=text, caption=". ".join(ODD_TEXTS)))
        assert shown.panels[0].item.hit is None
        assert text in [score.text for score in shown.scores]
    export_view(shown, "anything", tmp_path)


def test_ten_thousand_words_are_read_in_part_and_that_is_said(workbench, view):
    shown = workbench.compute(view.replace(text="word " * 10_000))
    cuts = [note.partition(" reads only ")[2] for note in shown.notes]
    assert cuts[:2] == ["77 of the text's 10002 tokens"] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a dog <end_of_text> a cat", "<end_of_text> is CLIP's own mark"),
        ("<Start_Of_Text> heart", "<Start_Of_Text> is CLIP's own mark"),
        ("dog &lt;end_of_text&gt;", "<end_of_text> is CLIP's own mark"),
        ("＜end_of_text＞ dog", "<end_of_text> is CLIP's own mark"),
        ("a \ud83d dog", "half a character"),
        ("a\0dog", "a zero character"),
        ("&nbsp;", "expected a text that is not empty"),
    ],
)
def test_what_the_tokenizer_reads_as_another_text_is_refused(workbench, view, text, message):
    for name, asked in (("text", text), ("also", (text,)), ("caption", text)):
        with pytest.raises(ValueError, match=rf"^{name}=.*{re.escape(message)}"):
            workbench.compute(view.replace(**{name: asked}))


def test_whatever_is_cut_is_said_of_every_text(workbench, view):
    long = "heart " * 100
    notes = workbench.compute(view.replace(also=(long,))).notes
    label = workbench.entries[view.models[0]].label
    assert f"{label} reads only 77 of “{long[:30]}…”'s 102 tokens" in notes
    notes = workbench.compute(view.replace(caption=f"A {long}. A dog.")).notes
    told = f"{label} reads only 77 tokens of each text of the caption; 3 of its "
    assert any(note.startswith(told) for note in notes), notes
    notes = workbench.compute(view.replace(text="x" * 5_000)).notes
    assert max(map(len, notes)) < 200


def test_what_a_model_cannot_know_is_said(workbench, view, tmp_path):
    assert workbench.compute(view.replace(text="red circle", models=("clip",))).notes == ()
    notes = workbench.compute(view.replace(text="a dog", also=("a sofa",))).notes
    assert any("pooled and clip (untouched) saw: “dog”, “sofa”" in note for note in notes)
    Image.new("RGB", (80, 60), "red").save(tmp_path / "photo.png")
    notes = workbench.compute(view.replace(picture=str(tmp_path / "photo.png"))).notes
    assert any("trained on drawn scenes alone" in note for note in notes)


def test_an_attention_no_better_than_even_is_said(workbench, view, model, monkeypatch):
    shown = workbench.compute(view)
    hottest = max(shown.panels[0].values)
    for limit, expected in ((hottest - 0.001, False), (hottest + 0.001, True)):
        monkeypatch.setattr(readings, "EVEN", limit)
        again = workbench.compute(view)
        assert [panel.even for panel in again.panels] == [expected, False]  # no cosine is even
        assert any("no better than even" in note for note in again.notes) is expected


def test_what_is_cut_of_a_caption_is_said(workbench, view):
    long = " ".join(f"A red circle number {number} is here." for number in range(900))
    notes = workbench.compute(view.replace(caption=long)).notes
    assert f"Of the caption's {len(long):,} characters the first 20,000 are read" in notes
    assert any("sentences the first 120 are on offer" in note for note in notes)


def test_a_photograph_is_drawn_at_its_own_resolution(workbench, view, tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    shown = workbench.compute(view.replace(picture=str(tmp_path / "photo.png")))
    np.testing.assert_array_equal(shown.panels[0].image, noise[:, 50:350])  # what the model sees


def test_rows_of_photographs_are_no_scenes_and_bring_no_model_of_scenes(model, tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    rows = datasets.Dataset.from_dict({"image": [Image.fromarray(noise)], "caption": ["a red mug"]})
    bench = Workbench({"own": model}, rows.cast_column("image", datasets.Image()), tmp_path)
    shown = bench.compute(View("scene 0", "a red mug", ("own",)))
    assert shown.picture.title == "picture 0"
    assert len(shown.panels) == 1
    asked = bench.compute(View("scene 0", "a red mug", ("own", "clip")))
    assert len(asked.panels) == 2
    page = export_view(asked, "view", tmp_path)
    texts = [one.read_text("utf-8") for one in page if one.suffix == ".html"]
    assert texts
    assert all("picture 0" in text for text in texts)


def test_a_shipped_model_with_a_pooler_is_opened_first(model, tmp_path):
    save(model, tmp_path / "scenes-beta-clip.safetensors")
    model_without = build_model(BackboneConfig("scene-tiny"), None)
    save(model_without, tmp_path / "a-plain-one.safetensors")
    found = {entry.name: entry for entry in (untouched(), *shipped_models(tmp_path))}
    assert [entry.pooler for entry in found.values()] == [False, False, True]
    assert best_model(found) == "scenes-beta-clip"
    assert found["scenes-beta-clip"].load().pooler is not None
    del found["scenes-beta-clip"]
    assert best_model(found) == "a-plain-one"  # as before: the last where nothing is known


def test_a_picture_file_is_opened_and_its_caption_typed(workbench, view, tmp_path):
    path = tmp_path / "a picture.png"
    Image.new("RGB", (100, 70), "red").save(path)
    shown = workbench.compute(view.replace(picture=str(path), text="red"))
    assert shown.answers[0].ranking == ()
    assert any("Without a caption" in note for note in shown.notes)
    captioned = view.replace(picture=str(path), text="red", caption="A red wall.")
    assert ("wall" in dict(workbench.compute(captioned).answers[0].ranking)) is True
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(BrokenImageError, match="a picture.png cannot be decoded"):
        Workbench({}, workbench.scenes, tmp_path).picture(str(path))


def test_a_picture_that_is_saved_again_is_read_again(workbench, view, tmp_path):
    path = tmp_path / "a.bmp"
    Image.new("RGB", (80, 60), "red").save(path)
    asked = view.replace(picture=str(path), text="red")
    before, state = workbench.compute(asked), path.stat()
    assert workbench.picture(str(path)) is before.picture
    Image.new("RGB", (80, 60), "blue").save(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    after = workbench.compute(asked)
    assert after.picture.image.getpixel((0, 0)) == (0, 0, 255)
    assert (after.panels[0].image == [0, 0, 255]).all()
    assert after.numbers()["picture_sha256"] != before.numbers()["picture_sha256"]
    assert after.scores != before.scores
    _, record, _ = export_view(after, "again", tmp_path)
    blue = own_picture(Image.new("RGB", (80, 60), "blue"), "any")
    assert json.loads(record.read_text())["picture_sha256"] == blue.key
    path.unlink()
    with pytest.raises(FileNotFoundError):
        workbench.compute(asked)


def test_an_added_picture_stays_what_was_added(workbench, tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), "red").save(path)
    green = workbench.add(own_picture(Image.new("RGB", (8, 8), "green"), str(path)))
    assert workbench.picture(str(path)) is green


def test_a_checkpoint_that_is_saved_again_is_read_again(model, held_out_scenes, tmp_path):
    path = checkpoints.save(model, tmp_path / "mine.safetensors")
    bench = Workbench({"mine": path}, held_out_scenes, tmp_path / "none")
    asked = View("scene 0", "red", ("mine",))
    before = bench.compute(asked)
    assert bench.model("mine") is bench.model("mine")
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.backbone.clip.visual.proj.mul_(-1)
    checkpoints.save(other, path)
    after = bench.compute(asked)
    values = [{s.text: s.values for s in shown.scores}["red"] for shown in (before, after)]
    assert values[0][0] == pytest.approx(-values[1][0])  # the picture's embedding is turned round
    assert values[0][1] == values[1][1]  # of the untouched model


def test_everything_that_is_kept_is_bounded(model, held_out_scenes, tmp_path):
    models = {f"model {number}": model for number in range(MODELS_KEPT + 2)}
    bench = Workbench(models, held_out_scenes, tmp_path)
    for name in models:
        for row in range(16):
            bench.maps(name, bench.picture(f"scene {row}"), ["red"])
    kept = {name: len(getattr(bench, name)) for name in ("_models", "_pictures", "_features")}
    assert kept == {
        "_models": MODELS_KEPT, "_pictures": PICTURES_KEPT, "_features": ENCODED_KEPT,
    }  # fmt: skip


def test_a_picture_is_encoded_once(model, held_out_scenes, tmp_path, monkeypatch):
    bench = Workbench({"pooled": model}, held_out_scenes, tmp_path)
    calls, encode = [], model.backbone.encode_image

    def counted(images):
        calls.append(len(images))
        return encode(images)

    monkeypatch.setattr(model.backbone, "encode_image", counted)
    for text in ("red", "blue", "red"):
        bench.compute(View("scene 0", text, ("pooled",)))
    assert calls == [1]


def fake_run(folder: Path, config, model, pointing: float) -> None:
    folder.mkdir()
    write_json(folder / "config.json", config.to_dict())
    write_json(folder / "metrics.json", {"grounding/attention/pointing": {"mean": pointing}})
    checkpoints.save(model, folder / "model.safetensors")


def test_runs_on_disk_can_be_chosen_and_a_bad_one_says_so(
    model, tiny_config, held_out_scenes, tmp_path
):
    config = tiny_config.replace(train=tiny_config.train.replace(seed=4))
    fake_run(tmp_path / "good", config, model, 0.4)
    fake_run(tmp_path / "same-label", config, model, 0.3)
    longer = config.replace(backbone=config.backbone.replace(context_length=88))
    fake_run(tmp_path / "misfit", longer.replace(method="beta-clip-bce"), model, 0.1)
    (tmp_path / "unfinished").mkdir()
    shutil.copytree(tmp_path / "good", tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_text("{")
    entries = find_models(tmp_path)
    assert list(entries)[0] == "clip"
    shipped = {entry.name for entry in shipped_models()}
    assert set(entries) - shipped == {"clip", "good", "same-label", "misfit", "damaged"}
    assert len({entry.label for entry in entries.values()}) == len(entries)
    runs = {name: entry for name, entry in entries.items() if name not in shipped}
    assert best_model(runs) == "good"
    bench = Workbench({}, held_out_scenes, tmp_path)
    view = View("scene 0", "red", ("good",))
    assert "β=0.5, 6 updates, seed 4" in bench.compute(view).panels[0].model
    with pytest.raises(CheckpointError, match="context_length is 77, but 88"):
        bench.compute(view.replace(models=("misfit",)))
    with pytest.raises(CheckpointError, match="damaged: .*broken JSON"):
        bench.compute(view.replace(models=("damaged",)))
    with pytest.raises(ValueError, match="name 'clip': expected a name other than"):
        Workbench({"clip": model}, held_out_scenes, tmp_path)


@pytest.mark.parametrize(("method", "heads"), [("sparc", 1), ("flair", 8), ("beta-clip-ce", 8)])
def test_a_run_of_every_pooler_can_be_looked_through(
    method, heads, tiny_config, held_out_scenes, tmp_path
):
    config = tiny_config.replace(method=method)
    fake_run(tmp_path / method, config, create_model(config), 0.2)
    bench = Workbench({}, held_out_scenes, tmp_path)
    kinds = ("mean", *(f"head {number + 1}" for number in range(heads)), "cosine")
    assert bench.kinds([method]) == kinds
    loaded = checkpoints.load(tmp_path / method / "model.safetensors").eval()
    pixels, text = bench.picture("scene 0").pixels(64), "red"
    for kind in kinds:
        panel = bench.compute(View("scene 0", text, (method,), kind=kind)).panels[0]
        values = picture_maps(loaded, pixels, [text]).values(kind)
        assert panel.kind == kind
        assert panel.hottest == divmod(int(values[0].argmax()), 8)


def test_an_export_overwrites_nothing(shown, tmp_path):
    first, again = (export_view(shown, "my_view", tmp_path) for _ in range(2))
    assert [path.name for path in (*first, *again)] == [
        "my_view.png", "my_view.json", "my_view.html",
        "my_view_2.png", "my_view_2.json", "my_view_2.html",
    ]  # fmt: skip
    assert json.loads(first[1].read_text())["rank"] == [shown.rank, shown.compared]
    with pytest.raises(ValueError, match=r"name='\.\./x'"):
        export_view(shown, "../x", tmp_path)


@pytest.mark.parametrize("path", sorted(FIGURES.glob("explorer_*.json")), ids=lambda p: p.stem)
def test_a_gallery_figure_is_made_again_from_its_settings(path, tmp_path_factory):
    """The untouched model's part, which needs no trained run, from the committed settings."""
    stored = json.loads(path.read_text())
    view = View(**stored["view"])
    if not view.picture.startswith("scene ") or "panels" not in stored:
        pytest.skip("the picture is drawn in the notebook")
    bench = Workbench({}, runs=tmp_path_factory.mktemp("none"))
    shown = bench.compute(view.replace(models=("clip",), patch=(0, 0)))
    numbers = json.loads(json.dumps(shown.numbers()))
    assert numbers["picture_sha256"] == stored["picture_sha256"]
    assert numbers["panels"][0] == stored["panels"][-1]
    mine = {score[0]: score[2] for score in numbers["scores"]}
    theirs = {score[0]: score[-1] for score in stored["scores"]}
    common = mine.keys() & theirs.keys()
    assert len(common) > 3
    torch.testing.assert_close([mine[text] for text in common], [theirs[text] for text in common],
                               atol=2e-4, rtol=0)  # fmt: skip


def test_given_models_are_named_by_the_ends_of_their_paths_that_tell_them_apart():
    assert named_apart([]) == {}
    assert named_apart(["/runs/a/last.safetensors"]) == {
        "last.safetensors": "/runs/a/last.safetensors"
    }
    two = ["/runs/a/last.safetensors", "/runs/b/last.safetensors"]
    assert named_apart(two) == dict(
        zip(("a/last.safetensors", "b/last.safetensors"), two, strict=True)
    )
    assert list(named_apart(["/x/a/", "OWNER/a"])) == ["x/a", "OWNER/a"]
    with pytest.raises(ValueError, match="expected each model once"):
        named_apart([two[0], two[0]])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("models", "clip", "models='clip': expected texts in a tuple"),
        ("also", "a dog", "also='a dog': expected texts in a tuple"),
        ("models", None, "models=None: expected texts"),
        ("also", (5,), r"also\[0\]=5: expected a text"),
        ("models", (5,), r"models\[0\]=5: expected a text"),
        ("picture", 3, "picture=3: expected a text"),
        ("text", None, "text=None: expected a text"),
        ("caption", 5, "caption=5: expected a text"),
        ("kind", None, "kind=None: expected a text"),
        ("opacity", "0.5", "opacity='0.5': expected a number"),
        ("threshold", None, "threshold=None: expected a number"),
    ],
)
def test_a_setting_of_another_type_is_named(name, value, expected):
    with pytest.raises(ValueError, match=expected):
        View("scene 1", "a heart").replace(**{name: value})


def test_a_picture_may_be_a_path_and_models_need_names():
    assert View(Path("a.png"), "a heart") == View("a.png", "a heart")
    for given in ("clip", ["clip"], {5: "scenes"}):
        with pytest.raises(ValueError, match=r"models=|model name 5: expected a name"):
            given_models(given)
