"""The explorer, driven as a reader would: every control redraws, and nothing breaks it."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from bclip_core.evaluation.maps import phrase_masks
from bclip_core.explorer import AttentionExplorer, View
from bclip_core.explorer.display import SIDE, fitted
from bclip_core.plotting.heat import overlaid
from bclip_core.records.results import runs_folder


@pytest.fixture
def explorer(model, held_out_scenes):
    return AttentionExplorer(model, held_out_scenes)


def pixels(source: str) -> np.ndarray:
    content = source.partition("base64,")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def state(explorer) -> dict:
    return explorer.display.stage.state


def drawing(explorer) -> np.ndarray:
    return pixels(state(explorer)["panels"][0]["source"])


def said(explorer) -> str:
    return explorer.display.message.value


def test_it_opens_with_a_phrase_of_the_first_picture(explorer, held_out_scenes):
    assert explorer.view.text in phrase_masks(held_out_scenes[0])
    assert explorer.controls.text.value == explorer.view.text == explorer.controls.phrases.value
    assert explorer.view.text in said(explorer)
    assert explorer.shown is not None
    panels = state(explorer)["panels"]
    assert len(panels) == state(explorer)["columns"] == 2
    assert "pooled under the text" in panels[0]["html"]
    assert explorer.display.stage.failed is False


@pytest.mark.parametrize(
    ("control", "value"),
    [("scene", 1), ("text", "a dog"), ("kind", "head 8"), ("kind", "cosine"), ("opacity", 0.2),
     ("threshold", 0.5), ("model", "clip")],
)  # fmt: skip
def test_every_control_redraws(explorer, control, value):
    before = drawing(explorer)
    getattr(explorer.controls, control).value = value
    assert not np.array_equal(before, drawing(explorer))
    assert "Error" not in said(explorer)


def test_bare_pictures_are_sent_once_per_picture(explorer):
    sent = []
    explorer.display.stage.observe(lambda change: sent.append(change["new"]), "photos")
    explorer.controls.opacity.value = 0.2
    explorer.controls.text.value = "a dog"
    assert sent == []
    explorer.controls.scene.value = 1
    assert [list(photos) for photos in sent] == [["64 x 64"]]


def test_maps_of_a_photograph_are_sent_small_and_those_of_a_scene_exact(explorer, tmp_path):
    assert state(explorer)["panels"][0]["source"].startswith("data:image/png")
    noise = np.random.default_rng(0).integers(256, size=(60, 80, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize((800, 600), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "photo.png")
    explorer.controls.path.value = str(tmp_path / "photo.png")
    source = state(explorer)["panels"][0]["source"]
    assert source.startswith("data:image/jpeg")
    panel = explorer.shown.panels[0]
    exact = overlaid(fitted(panel.image, SIDE), panel.item, limits=explorer.shown.limits_of(panel))
    assert np.abs(pixels(source).astype(int) - np.asarray(exact)).mean() < 4


def test_two_models_stand_side_by_side(explorer):
    explorer.controls.second.value = "clip"
    assert [panel.kind for panel in explorer.shown.panels] == ["mean", "cosine"]
    explorer.controls.model.value = "clip"  # the same one twice is one
    assert explorer.view.models == ("clip",)


def test_own_words_stay_and_clicked_ones_go_with_their_picture(explorer, held_out_scenes):
    explorer.controls.text.value = "my own words"
    explorer.controls.scene.value = 3
    assert explorer.view.text == "my own words"
    phrases = explorer.workbench.picture("scene 3").phrases
    assert set(phrases) == set(explorer.controls.phrases.values)
    phrase = explorer.workbench.picture("scene 3").phrases[-1]
    explorer.controls.phrases.value = phrase
    assert explorer.view.text == explorer.controls.text.value == phrase
    explorer.controls.scene.value = 5
    assert explorer.view.text in explorer.workbench.picture("scene 5").texts


def test_a_patch_is_chosen_by_click_and_by_slider(explorer):
    before = pixels(state(explorer)["picture"]["source"])
    explorer.display.stage._heard(None, {"kind": "patch", "row": 4, "column": 2})
    assert explorer.view.patch == (4, 2)
    assert (explorer.controls.row.value, explorer.controls.column.value) == (5, 3)
    assert explorer.controls.hottest.value is False
    assert "row 5, column 3" in explorer.display.answers.value
    assert not np.array_equal(before, pixels(state(explorer)["picture"]["source"]))
    explorer.controls.row.value = 8
    assert explorer.view.patch == (7, 2)
    explorer.controls.hottest.value = True
    assert explorer.view.patch is None


@pytest.mark.parametrize("text", ["", "   "])
def test_an_error_is_shown_in_place_and_leaves_no_map_of_another_text(explorer, text):
    explorer.controls.text.value = text
    assert "ValueError" in said(explorer)
    assert explorer.shown is None
    assert explorer.display.stage.failed is True
    assert explorer.display.scores.value == ""
    explorer.controls.export.click()
    assert "nothing to export" in said(explorer)
    explorer.controls.text.value = "red star"
    assert "Error" not in said(explorer)
    assert explorer.shown is not None


def test_an_error_of_the_model_is_escaped_too(explorer, monkeypatch):
    def fail(*_):
        raise RuntimeError("<script>")

    monkeypatch.setattr(explorer.workbench, "compute", fail)
    explorer.controls.text.value = "anything"
    assert "<b>RuntimeError:</b>" in said(explorer)
    assert "&lt;script&gt;</bdi>" in said(explorer)
    assert "<script>" not in said(explorer)


def test_files_folders_and_uploads(explorer, tmp_path):
    Image.new("RGB", (90, 70), "red").save(tmp_path / "b.png")
    Image.new("RGB", (90, 70), "blue").save(tmp_path / "<b>a.png")
    explorer.controls.path.value = str(tmp_path / "nothing.png")
    assert "no such file" in said(explorer)
    assert "still <bdi" in said(explorer)
    assert explorer.view.picture == "scene 0"
    explorer.controls.path.value = str(tmp_path)
    assert explorer.view.picture == str(tmp_path / "<b>a.png")
    assert explorer.controls.file.hidden is False
    assert "<b>a" not in said(explorer)
    explorer.controls.file.value = str(tmp_path / "b.png")
    assert explorer.view.picture.endswith("b.png")
    content = (tmp_path / "b.png").read_bytes()
    explorer._open_upload([{"name": "mine.png", "content": memoryview(content)}])
    assert explorer.view.picture == "upload mine.png"
    explorer.controls.caption.value = "A red wall. Nothing else is here."
    assert explorer.controls.sentences.options[0][1] == "A red wall."
    assert explorer.shown.view.caption == "A red wall. Nothing else is here."
    explorer.controls.scene.value = 2
    assert explorer.view.caption is None


def test_a_given_view_is_the_first_one(model, held_out_scenes):
    view = View("scene 4", "red", ("clip",), opacity=0.3, threshold=0.25, patch=(1, 2),
                caption="A red dog. A mat.")  # fmt: skip
    explorer = AttentionExplorer({"mine": model}, held_out_scenes, view)
    assert explorer.shown.view == explorer.view == view
    assert (explorer.controls.scene.value, explorer.controls.opacity.value) == (4, 0.3)
    assert explorer.controls.caption.value == view.caption


def test_an_export_says_where_it_is(explorer):
    explorer.controls.name.value = "of_a_test"
    explorer.controls.export.click()
    assert "of_a_test.png" in said(explorer)
    assert (runs_folder() / "explorer" / "of_a_test.json").is_file()
    explorer.controls.name.value = "../<b>"
    explorer.controls.export.click()
    assert "expected lower-case words" in said(explorer)


def test_every_control_has_words(explorer):
    for name, control in vars(explorer.controls).items():
        words = getattr(control, "description", "") or control.tooltip
        assert words, name
    assert state(explorer)["picture"]["words"].startswith("scene 0, patch in row")
    assert "hottest patch: row" in state(explorer)["panels"][0]["words"]


def test_several_phrases_are_drawn_below_one_another_on_one_scale(explorer):
    first, second = explorer.workbench.picture("scene 0").phrases[:2]
    explorer.controls.phrases.value = first
    explorer.controls.several.value = True
    explorer.controls.phrases.value = second
    assert (explorer.view.text, explorer.view.also) == (first, (second,))
    assert explorer.controls.also.value == second
    assert len(state(explorer)["panels"]) == 2 * state(explorer)["columns"]
    values = [value for row in explorer.shown.rows for value in row[0].values]
    ends = (min(values), max(values))
    assert explorer.shown.limits["× even"] == ends
    assert [bar["unit"] for bar in state(explorer)["bars"]] == ["× even", "cosine"]
    explorer.controls.shared.value = False
    assert explorer.shown.limits == {}
    explorer.controls.also.value = ""
    assert len(state(explorer)["panels"]) == state(explorer)["columns"]


def test_a_word_has_its_map_at_hand(explorer):
    shown, found = explorer.shown, state(explorer)["spoken"]
    word = next(text for text in shown.picture.words if text in found)
    assert [word, word] in [[piece.lower(), spoken] for piece, spoken in state(explorer)["caption"]]
    values = explorer.workbench.maps("clip", shown.picture, [word]).values("cosine")[0].numpy()
    low, high = shown.limits["cosine"]
    share = np.clip((values - low) / (high - low), 0, 1)
    sent = np.frombuffer(base64.b64decode(found[word][1]), np.uint8)
    assert np.abs(sent - 255 * share).max() <= 0.51
    explorer.display.stage._heard(None, {"kind": "text", "text": word})
    assert explorer.view.text == word


def test_only_the_misses(explorer):
    everything = explorer.controls.thumbs.values
    explorer.controls.missed.value = True
    missed = explorer.controls.thumbs.values
    assert f"misses {len(missed)} of {len(everything)} scenes" in said(explorer)
    for number in everything[:6]:
        picture = explorer.workbench.picture(f"scene {number}")
        shown = explorer.workbench.compute(View(picture.reference, picture.suggestion, ("clip",)))
        assert (number in explorer.workbench.misses("clip")) is (shown.panels[0].item.hit is False)
    explorer.controls.missed.value = False
    explorer.controls.thumbs.value = missed[0]
    assert explorer.view.picture == f"scene {missed[0]}"


def test_every_example_can_be_clicked(explorer):
    assert len(explorer.examples) >= 5
    for name, changes in explorer.examples.items():
        explorer.controls.examples.value = name
        assert (explorer.view.text, explorer.view.also) == (changes["text"],
                                                            changes.get("also", ()))  # fmt: skip
        assert "Error" not in said(explorer)


def test_enter_on_the_same_path_reads_the_file_again(explorer, tmp_path):
    path = tmp_path / "a.png"
    for colour in ("red", "blue"):
        Image.new("RGB", (90, 70), colour).save(path)
        explorer.controls.path.value = str(path)
        explorer.controls.path.committed += 1
        expected = (255, 0, 0) if colour == "red" else (0, 0, 255)
        assert tuple(explorer.shown.panels[0].image[0, 0]) == expected


def test_the_page_hears_of_work_before_and_after(explorer, monkeypatch):
    heard = []
    explorer.display.stage.observe(lambda change: heard.append(change["new"]), "busy")
    explorer.controls.text.value = "red"
    assert heard == ["working", ""]
