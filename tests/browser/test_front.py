"""The explorer's page side in Chromium, without JupyterLab: sizes, mouse, keys, offline page."""

import numpy as np
import pytest
import torch
from PIL import Image

from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig
from bclip_core.explorer import AttentionExplorer, View, readings
from bclip_core.explorer.catalogue import best_model
from bclip_core.explorer.offline import page_html
from tests.browser.mounted import mounted

OPEN = "() => [...document.images].every(image => image.complete) && document.images.length > 0"
_BUSY = """() => new Promise((done) => {
  const sign = document.querySelector(".bclip-busy"), begun = performance.now();
  models.stage.receive("busy", "working");
  const told = [sign.innerText];
  new MutationObserver(() => done([[...told, sign.innerText], performance.now() - begun]))
    .observe(sign, { childList: true, characterData: true, subtree: true, attributes: true });
})"""
SCREENS = {"1280 x 800": (990, 690), "1920 x 1080": (1620, 970)}  # what JupyterLab leaves of them


@pytest.fixture(scope="module")
def explorer(held_out_scenes, tmp_path_factory):
    torch.manual_seed(0)
    model = build_model(BackboneConfig("scene-tiny"), PoolerConfig()).eval()
    with pytest.MonkeyPatch.context() as patch:  # no runs of this disk among the models
        patch.setenv("BCLIP_RUNS", str(tmp_path_factory.mktemp("runs")))
        return AttentionExplorer(model, held_out_scenes, View("scene 3", "red circle", ("clip",)))


@pytest.fixture
def page(browser, explorer):
    page = browser.new_page(viewport={"width": 990, "height": 690})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content(mounted(explorer))
    page.wait_for_function(OPEN)
    yield page
    page.close()
    assert complaints == []


def boxes(page, *names) -> list[dict]:
    return [page.locator(name).first.bounding_box() for name in names]


def test_maps_and_text_are_on_one_screen_and_maps_grow(page):
    widths = []
    for width, height in SCREENS.values():
        page.set_viewport_size({"width": width, "height": height})
        text, panel, cover = boxes(page, ".bclip-text input", ".bclip-panel", ".bclip-cover")
        assert 0 <= text["y"] < text["y"] + text["height"] < height
        assert panel["y"] + panel["height"] < height
        assert cover["x"] + cover["width"] < text["x"]  # maps left, controls right
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        widths.append(panel["width"])
    assert widths[1] > 1.4 * widths[0]
    page.set_viewport_size({"width": 990, "height": 500})
    page.mouse.wheel(0, 250)
    page.wait_for_function("scrollY > 100")
    assert boxes(page, ".bclip-left")[0]["y"] >= 0  # the maps stay while controls are scrolled
    page.locator(".bclip-scores").evaluate("table => table.scrollIntoView()")
    left, scores = boxes(page, ".bclip-left", ".bclip-scores")
    assert left["y"] + left["height"] <= scores["y"]  # and never lie over the tables


def test_the_mouse_over_a_word_shows_its_map_and_over_a_patch_colours_the_words(page, explorer):
    over = page.locator(".bclip-panel .bclip-over").first
    assert over.is_hidden()
    page.locator(".bclip-word").first.hover()
    over.wait_for(state="visible")
    page.locator(".bclip-phrases .bclip-chip").first.hover()
    assert (
        page.locator(".bclip-stage").get_attribute("data-over")
        == (explorer.controls.phrases.options[0][1])
    )
    page.locator(".bclip-picture .bclip-cover").hover()
    assert page.locator(".bclip-stage").get_attribute("data-patch")
    colour = page.locator(".bclip-word").first.evaluate("word => word.style.background")
    assert colour.startswith("rgb(")


def test_keys_do_what_they_do_everywhere(page, explorer):
    row, column = explorer.shown.panels[0].patch
    page.locator(".bclip-picture .bclip-cover").press("ArrowUp" if row else "ArrowDown")
    sent = page.evaluate("sent.at(-1)[2]")
    assert (sent["row"], sent["column"]) == (row - 1 if row else 1, column)
    slider = page.get_by_role("slider", name="opacity")
    slider.press("ArrowUp")
    assert page.evaluate("models.opacity.get('value')") == pytest.approx(0.65)
    caption = page.get_by_role("textbox", name="caption")
    caption.fill("A cat.")
    caption.press("Enter")
    assert page.evaluate("models.caption.get('value')") == "A cat."
    chips = page.locator(".bclip-phrases .bclip-chip")
    stops = chips.evaluate_all("all => all.filter(chip => chip.tabIndex === 0).length")
    assert stops == 1
    chips.first.focus()
    page.keyboard.press("ArrowRight")
    assert chips.nth(1).evaluate("chip => chip === document.activeElement && chip.tabIndex === 0")


def test_every_control_of_ours_has_an_accessible_name(page):
    nameless = page.evaluate(
        "[...document.querySelectorAll('.bclip-field input, .bclip-field select,"
        " .bclip-field textarea')].filter(part => !part.labels.length).map(part => part.outerHTML)"
    )
    assert nameless == []
    assert page.locator(".bclip-model optgroup").count() == 2
    assert page.locator(".bclip-kind select").input_value() == "cosine"


def test_it_opens_on_the_best_model_and_says_when_attention_is_even(browser, held_out_scenes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "EVEN", 1e9)
        opened = AttentionExplorer(None, held_out_scenes)
    page = browser.new_page()
    page.set_content(mounted(opened))
    chosen = page.locator(".bclip-model select").evaluate("list => list.selectedOptions[0].text")
    assert chosen == opened.workbench.entries[best_model(opened.workbench.entries)].label
    assert "beta-clip" in chosen
    page.get_by_text("no better than even").first.wait_for()
    page.close()


def test_a_busy_sign_comes_after_three_tenths_of_a_second_and_goes(page):
    told, after = page.evaluate(_BUSY)
    assert told == ["", "working"]
    assert after >= 290  # milliseconds; a busy machine may take longer
    page.evaluate("models.stage.receive('busy', '')")
    assert page.locator(".bclip-busy").inner_text() == ""


def test_the_exported_page_works_offline(browser, explorer, tmp_path):
    shown = explorer.workbench.compute(View("scene 3", "red circle", ("the given model",)))
    path = tmp_path / "view.html"
    path.write_text(page_html(shown), encoding="utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url[:20]))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.locator("button[aria-pressed=true]").wait_for()
    before = page.locator("canvas").first.screenshot()
    page.locator("#phrases button").nth(3).click()
    assert page.locator("canvas").first.screenshot() != before
    page.keyboard.press("ArrowRight")
    assert page.locator("#phrases button").nth(4).get_attribute("aria-pressed") == "true"
    assert all(url.startswith(("file:", "data:")) for url in asked), asked
    assert complaints == []
    context.close()


def test_a_photograph_is_sharp_under_its_map(browser, explorer, tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(600, 800, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    explorer.controls.path.value = str(tmp_path / "photo.png")
    page = browser.new_page(viewport={"width": 990, "height": 690})
    page.set_content(mounted(explorer))
    page.wait_for_function(OPEN)
    widths = page.locator(".bclip-panel img").evaluate_all("all => all.map(i => i.naturalWidth)")
    assert min(widths) == 512
    page.close()
