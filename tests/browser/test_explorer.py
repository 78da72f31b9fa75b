"""The explorer as a reader meets it: JupyterLab, notebook 11, a real browser.

One story on one page, since starting is what costs; every step waits for what it expects to see.
The numbers and pixels on the page are compared with what the library gives in this process.
"""

import json
import re
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core.checkpoints import load
from bclip_core.checkpoints.own import SHIPPED
from bclip_core.data.images import image_to_pixels
from bclip_core.data.sources import load_split
from bclip_core.evaluation.maps import phrase_masks, picture_maps, text_maps
from bclip_core.explorer import View
from bclip_core.explorer.catalogue import shipped_models
from bclip_core.explorer.pictures import mask_at
from bclip_core.explorer.workbench import SHOWN_AT
from bclip_core.plotting.files import FIGURES
from bclip_core.plotting.heat import overlaid
from bclip_core.records.results import runs_folder
from bclip_core.reproduce.notebooks import NOTEBOOKS
from bclip_core.studies.asked import USUAL
from bclip_core.studies.experiment import begin
from bclip_core.train import find
from tests.browser.lab import SCREENSHOTS, SLOW, TOKEN, jupyter_lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

NOTEBOOK, SCENE = "11_explore_attention.ipynb", 3  # the notebook's default scene
# One update, and few scenes, which are the first of the usual ones: what is looked at is the page.
SHORT = ["train.steps=1", "train.batch_size=4", "data.train=4", "data.test=24"]
OUTPUTS = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.{}']"
NASTY = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
BAD_FILES = {
    "cut.jpg": " cannot be decoded: .*truncated",
    "huge.png": " cannot be decoded: .*pixels",
    "thin.png": " cannot be decoded: .*within a factor",
    "none.png": ": no such file",
}
# What Chromium says of pages that lack an icon, which is no error of ours.
HARMLESS = re.compile(r"favicon")
TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t]+.*\n)*.*")


@pytest.fixture(scope="module")
def story(browser, tmp_path_factory):
    """The explorer of an executed notebook, with what the page and the server complained about."""
    from tests.browser.page import ExplorerPage

    root, home = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("home")
    (root / "notebooks").mkdir()
    source = (NOTEBOOKS / NOTEBOOK).read_text(encoding="utf-8")
    short = json.dumps(f"settings: list = {SHORT}  #")[1:-1]
    assert source.count("settings: list = []  #") == 1
    (root / "notebooks" / NOTEBOOK).write_text(
        source.replace("settings: list = []  #", short), encoding="utf-8"
    )
    shutil.copytree(FIGURES, root / "figures")  # the notebook's text shows some
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    complaints = []
    with jupyter_lab(root, home) as address:
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.goto(f"{address}/lab/tree/notebooks/{NOTEBOOK}?token={TOKEN}&reset")
        explorer = ExplorerPage(page)
        explorer.run_all_cells()
        explorer.complaints, explorer.home = complaints, home
        explorer.message.scroll_into_view_if_needed()
        yield explorer
        page.screenshot(path=SCREENSHOTS / "last.png")
        page.close()


@pytest.fixture(scope="module")
def library(story):
    """Models and scene as the library has them, in this process."""
    sizes = begin("11", USUAL["11"] | {"profile": "smoke", "settings": SHORT}).sizes
    wanted = [sizes.run("beta-clip-ce"), sizes.run("beta-clip-ce", beta=0.0)]
    models = [find(config).model().eval() for config in wanted] + [load(SHIPPED["scenes"]).eval()]
    scene = load_split(sizes.base.data.replace(image_size=SHOWN_AT), "test")[SCENE]
    size = sizes.base.data.image_size  # that the models read it at
    masks = {phrase: mask_at(mask, size) for phrase, mask in phrase_masks(scene).items()}
    whole = np.asarray(scene["image"].convert("RGB"))  # which maps are drawn over
    return models, image_to_pixels(scene["image"], size), masks, whole


def drawn_by_library(library, number, text, kind="mean", beside=(0, 1, 2), **settings):
    """The pixels of a panel, and its map; on one scale with the attention of those beside it."""
    models, pixels, masks, whole = library
    mask = [masks[text]] if text in masks else None
    maps = {each: picture_maps(models[each], pixels, [text]) for each in beside}
    own = "cosine" if maps[number].attention is None else kind
    [item] = text_maps(maps[number], own, mask)
    alike = [
        found.values("cosine" if found.attention is None else kind)
        for found in maps.values()
        if (found.attention is None or kind == "cosine")
        is (maps[number].attention is None or kind == "cosine")
    ]
    limits = (min(float(v.min()) for v in alike), max(float(v.max()) for v in alike))
    drawn = overlaid(whole, item, limits=limits, **settings)
    return np.asarray(drawn), item


def the_first_view_is_the_librarys(story, library):
    models, pixels, _, _ = library
    story.says(f"Looking for green cross in scene {SCENE}")
    rows = story.table("scores")
    texts = [row[0] for row in rows]
    assert [row[1] for row in rows if row[0] == "green cross"] == ["▶ asked for"]
    for number, model in enumerate(models):
        expected = picture_maps(model, pixels, texts).score.tolist()
        assert [row[2 + number] for row in rows] == [f"{value:.3f}" for value in expected]
        pixels_drawn, item = drawn_by_library(library, number, "green cross")
        story.shows(number, pixels_drawn)
        words = story.caption(number).inner_text()
        assert item.note in words
        assert words.count("hit" if item.hit else "miss") == 1
    story.page.screenshot(path=SCREENSHOTS / "1_first_view.png")


def sliders_redraw_and_are_moved_by_keyboard(story, library):
    story.press("opacity", "ArrowRight", "0.65")
    story.shows(0, drawn_by_library(library, 0, "green cross", opacity=0.65)[0])
    story.press("threshold", "PageUp", re.compile("0.[1-9]"))
    threshold = float(story.part("threshold").locator(".bclip-readout").inner_text())
    settings = {"opacity": 0.65, "threshold": threshold}
    story.shows(0, drawn_by_library(library, 0, "green cross", **settings)[0])
    story.press("threshold", "Home", "0.00")
    story.press("opacity", "ArrowLeft", "0.60")
    story.shows(0, drawn_by_library(library, 0, "green cross")[0])


def a_typed_text_and_a_clicked_phrase(story, library):
    story.type("text", "something of my own")
    story.says("Looking for something of my own")
    story.shows(0, drawn_by_library(library, 0, "something of my own")[0])
    expect(story.caption(0)).not_to_contain_text(re.compile("hit|miss"), timeout=SLOW)  # unknown
    story.part("phrases").get_by_role("button", name="red square", exact=True).click()
    story.says("Looking for red square")
    expect(story.part("text").locator("input")).to_have_value("red square", timeout=SLOW)
    expected, item = drawn_by_library(library, 0, "red square")
    story.shows(0, expected)
    expect(story.caption(0)).to_contain_text("hit" if item.hit else "miss", timeout=SLOW)


def a_clicked_patch_says_what_it_answers_to(story, library):
    models, pixels, _, _ = library
    box = story.part("picture").locator(".bclip-cover").bounding_box()
    story.page.mouse.click(box["x"] + box["width"] * 6.5 / 8, box["y"] + box["height"] * 3.5 / 8)
    answers = story.part("answers").locator("table").first
    answers.get_by_text("row 4, column 7").wait_for()
    for number, model in enumerate(models):
        rows = story.table("answers", number)
        kind = "cosine" if model.pooler is None else "mean"
        values = picture_maps(model, pixels, [row[0] for row in rows]).values(kind)
        digits = 3 if kind == "cosine" else 2
        assert [row[1] for row in rows] == [
            f"{v:.{digits}f}" for v in values[:, 3 * 8 + 6].tolist()
        ]
    story.page.screenshot(path=SCREENSHOTS / "2_patch.png")
    story.press("column", "ArrowRight", "8")
    answers.get_by_text("row 4, column 8").wait_for()
    story.part("picture").locator(".bclip-cover").press("ArrowUp")  # up in the picture
    answers.get_by_text("row 3, column 8").wait_for()


def models_and_heads_are_switched(story, library):
    story.choose("model", "clip (untouched)")
    story.choose("second", "none")
    story.page.wait_for_function("document.querySelectorAll('.bclip-panel img').length == 1")
    story.shows(0, drawn_by_library(library, 2, "red square", "cosine", (2,))[0])
    names = story.part("model").locator("option").all_inner_texts()
    assert len(names) == 3 + len(shipped_models()), names
    assert story.part("model").locator("optgroup").count() == 2  # the shipped one, and runs
    story.choose("model", next(name for name in names if "β=0.5" in name))
    story.shows(0, drawn_by_library(library, 0, "red square", beside=(0, 2))[0])
    story.choose("kind", "head 8")
    story.shows(0, drawn_by_library(library, 0, "red square", "head 8", (0, 2))[0])
    story.choose("kind", "mean")


def scenes_are_chosen_by_thumbnails_all_or_only_the_misses(story):
    thumbs = story.part("thumbs").locator("button")
    every = thumbs.count()
    thumbs.nth(5).click()
    story.says("in scene 5")
    only = story.part("missed").locator("input")
    only.check()
    story.says(re.compile(rf"misses \d+ of {every} scenes"))
    missed = int(re.search(r"misses (\d+) of", story.message.inner_text())[1])
    expect(thumbs).to_have_count(missed, timeout=SLOW)
    only.uncheck()
    expect(thumbs).to_have_count(every, timeout=SLOW)


def an_example_is_clicked_and_several_texts_stand_below_one_another(story):
    maps, bars = story.page.locator(".bclip-panel img"), story.part("bars").locator(".bclip-bar")
    story.part("examples").get_by_role("button", name="two objects", exact=True).click()
    story.says("in scene 0")
    expect(maps).to_have_count(4, timeout=SLOW)  # two texts, the model and the untouched one
    expect(bars).to_have_count(2, timeout=SLOW)  # a scale for attention, one for cosines
    story.type("also", "")
    expect(maps).to_have_count(2, timeout=SLOW)
    story.part("thumbs").locator("button").nth(SCENE).click()
    story.says(f"in scene {SCENE}")


def a_phrase_of_other_words_has_its_verdict_and_unknown_words_are_named(story, library):
    _, _, masks, _ = library
    assert "orange circle" not in masks  # the caption calls it a disc
    story.type("text", "orange circle")
    story.says("Looking for orange circle")
    expect(story.caption(0)).to_contain_text(re.compile("hit|miss"), timeout=SLOW)
    story.type("text", "a zebra on a sofa")
    story.says(re.compile("Not in any caption that .* saw: .*zebra"))


def any_text_is_shown_as_it_is(story):
    for text in (NASTY, "🔴 красный круг", "عبارة من اليمين"):
        story.type("text", text)
        story.says(f"Looking for {text} in")
    assert story.page.evaluate("window.hacked") is None


def a_text_of_ten_thousand_words_and_an_empty_one(story):
    story.type("text", "word " * 10_000)
    story.says("reads only 248 of the text's 10002 tokens")
    story.page.screenshot(path=SCREENSHOTS / "3_long_text.png")
    story.type("text", "")
    story.says("ValueError: the text is empty")
    expect(story.part("panel").first).to_be_hidden(timeout=SLOW)
    story.page.screenshot(path=SCREENSHOTS / "4_error.png")
    story.type("text", "green cross")
    story.says("Looking for green cross")
    expect(story.part("panel").first).to_be_visible(timeout=SLOW)


def png_of_zeros(width: int, height: int) -> bytes:
    """A valid header of that size; the little behind it is never reached."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of pictures, good and bad, with names that are not kind."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = torch.randint(256, (90, 120, 3), generator=torch.Generator().manual_seed(0)).byte()
    picture = Image.fromarray(noise.numpy())
    picture.save(folder / "a <b onclick=x>bold name.png")
    picture.save(folder / "whole.jpg")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:900])
    (folder / "huge.png").write_bytes(png_of_zeros(20_000, 10_000))
    (folder / "thin.png").write_bytes(png_of_zeros(1, 9_000_000))
    return folder


def a_bad_file_is_an_error_in_place(story, files):
    for name, message in BAD_FILES.items():
        story.type("path", str(files / name))
        story.says(re.compile(f"{name}{message}"))
        expect(story.part("panel").first).to_be_visible()  # still the picture before


def a_picture_saved_again_is_read_again(story, files):
    path, shown = files.parent / "again.png", story.page.locator(".bclip-panel img").first
    Image.new("RGB", (96, 64), "red").save(path)
    story.type("path", str(path))
    story.says("again.png")
    story.says("trained on drawn scenes alone")  # it is no scene
    before = shown.get_attribute("src")
    Image.linear_gradient("L").convert("RGB").save(path)
    story.part("path").locator("input").press("Enter")
    expect(shown).not_to_have_attribute("src", before, timeout=SLOW)


def a_folder_and_an_upload(story, files):
    story.type("path", str(files))
    # The phrase of the scene before gives way to a text that suits any picture.
    story.says(re.compile(r"Looking for a red circle in .*a <b onclick=x>bold name\.png"))
    expect(story.part("file")).to_be_visible(timeout=SLOW)
    story.choose("file", "whole.jpg")
    story.says("whole.jpg")
    with story.page.expect_file_chooser() as chooser:
        story.part("upload").click()
    chooser.value.set_files(files / "a <b onclick=x>bold name.png")
    story.says("in upload a <b onclick=x>bold name.png")
    caption = story.part("caption").locator("textarea")
    caption.fill("A grey dog sleeps on a red mat. Its ears are long.")
    caption.press("Enter")
    story.part("sentences").get_by_role("button", name="Its ears are long.").click()
    story.says("Looking for Its ears are long.")
    story.page.screenshot(path=SCREENSHOTS / "5_own_picture.png")


def many_phrases_do_not_break_the_layout(story):
    caption = story.part("caption").locator("textarea")
    caption.fill(" ".join(
        f"A {colour} {name} stands beside a {colour} wooden {name}."
        for colour in "red blue green black white yellow brown grey".split()
        for name in (
            "cat dog bird horse table chair lamp door sheep cow mouse bed sofa cup plate box"
        ).split()
    ))  # fmt: skip
    caption.blur()
    story.says("Of the caption's 128 sentences the first 120 are on offer")
    story.part("phrases").get_by_role("button").nth(59).wait_for()
    width = story.page.evaluate(
        "[...document.querySelectorAll('.bclip-chips')]"
        ".map(part => [part.clientHeight, part.scrollWidth - part.clientWidth])"
    )
    assert all(height <= 120 and hidden <= 1 for height, hidden in width), width
    story.page.screenshot(path=SCREENSHOTS / "6_many_phrases.png")


def a_view_is_exported_and_made_again(story):
    story.type("name", "from_the_browser")
    story.part("export").click()
    story.says(
        re.compile(
            r"Written: .*from_the_browser\.png, .*from_the_browser\.json, .*from_the_browser\.html"
        )
    )
    stored = json.loads((runs_folder() / "explorer" / "from_the_browser.json").read_text())
    view = View(**stored["view"])
    assert view.text == story.part("text").locator("input").input_value()
    assert view.caption.startswith("A red cat stands beside a red wooden cat.")
    assert view.to_dict() == View(**json.loads(json.dumps(view.to_dict()))).to_dict()


def nothing_complained(story):
    complaints = [text for text in story.complaints if not HARMLESS.search(text)]
    assert complaints == [], "\n".join(complaints)
    for kind in ("error", "stderr"):
        assert story.page.locator(OUTPUTS.format(kind)).count() == 0
    log = (story.home / "server.log").read_text()
    assert TRACEBACK.findall(log) == [], log[-3000:]


def test_the_explorer_in_jupyterlab(story, library, files):
    the_first_view_is_the_librarys(story, library)
    sliders_redraw_and_are_moved_by_keyboard(story, library)
    a_typed_text_and_a_clicked_phrase(story, library)
    a_clicked_patch_says_what_it_answers_to(story, library)
    models_and_heads_are_switched(story, library)
    scenes_are_chosen_by_thumbnails_all_or_only_the_misses(story)
    an_example_is_clicked_and_several_texts_stand_below_one_another(story)
    a_phrase_of_other_words_has_its_verdict_and_unknown_words_are_named(story, library)
    any_text_is_shown_as_it_is(story)
    a_text_of_ten_thousand_words_and_an_empty_one(story)
    a_bad_file_is_an_error_in_place(story, files)
    a_picture_saved_again_is_read_again(story, files)
    a_folder_and_an_upload(story, files)
    many_phrases_do_not_break_the_layout(story)
    a_view_is_exported_and_made_again(story)
    nothing_complained(story)
