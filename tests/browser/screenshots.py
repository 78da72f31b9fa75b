"""`python -m tests.browser.screenshots`: the explorer of notebook 11 at two sizes in two themes.

JupyterLab runs the notebook; then the shipped model looks at a scene, and the page is photographed
at 1280 x 800 and 1920 x 1080, light and dark. The pictures go to results/screenshots/, from where
the four named `explorer_*` are committed; what the offline page looks like is drawn beside them and
is not. `--folder` takes another place.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import Browser, sync_playwright

from bclip_core.plotting.files import FIGURES
from bclip_core.records.results import runs_folder
from bclip_core.reproduce.notebooks import NOTEBOOKS
from tests.browser.lab import SCREENSHOTS, TOKEN, find_chromium, jupyter_lab
from tests.browser.page import ExplorerPage

NOTEBOOK = "11_explore_attention.ipynb"
SIZES = ((1280, 800), (1920, 1080))
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
MODEL, SCENE, TEXT = "scenes-beta-clip (shipped)", 6, "large green heart"
NAME = "screenshots"


def packed(path: Path) -> None:
    """Make a screenshot small: 64 levels of each colour, which no eye tells from 256."""
    ImageOps.posterize(Image.open(path).convert("RGB"), 6).save(path, optimize=True)


def in_jupyterlab(browser: Browser, theme: str, folder: Path) -> Path:
    """Photograph the explorer under a theme at both sizes; the offline page that it exported."""
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as home:
        (Path(root) / "notebooks").mkdir()
        shutil.copy(NOTEBOOKS / NOTEBOOK, Path(root) / "notebooks")
        shutil.copytree(FIGURES, Path(root) / "figures")
        with jupyter_lab(Path(root), Path(home), THEMES[theme]) as address:
            width, height = SIZES[0]
            page = browser.new_page(viewport={"width": width, "height": height},
                                    color_scheme=theme)  # fmt: skip
            page.goto(f"{address}/lab/tree/notebooks/{NOTEBOOK}?token={TOKEN}&reset")
            explorer = ExplorerPage(page)
            explorer.run_all_cells()
            explorer.choose("second", "none")
            explorer.choose("model", MODEL)
            explorer.part("thumbs").locator("button").nth(SCENE).click()
            explorer.says(f"in scene {SCENE}")
            explorer.type("text", TEXT)
            explorer.says(f"Looking for {TEXT}")
            for width, height in SIZES:
                page.set_viewport_size({"width": width, "height": height})
                explorer.part("explorer").evaluate("part => part.scrollIntoView()")
                page.mouse.move(width / 2, height - 4)
                page.wait_for_timeout(1_500)
                path = folder / f"explorer_{width}_{theme}.png"
                page.screenshot(path=path)
                packed(path)
            explorer.part("word").nth(3).hover()
            page.screenshot(path=folder / f"hover_{theme}.png")
            explorer.part("scores").evaluate("part => part.scrollIntoView()")
            page.screenshot(path=folder / f"below_{theme}.png")
            explorer.type("name", NAME)
            explorer.part("export").click()
            explorer.says("Written: ")
            page.close()
    return max((runs_folder() / "explorer").glob(f"{NAME}*.html"), key=lambda p: p.stat().st_mtime)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=SCREENSHOTS)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        for theme in THEMES:
            exported = in_jupyterlab(browser, theme, folder)
            for width, height in SIZES:
                page = browser.new_page(viewport={"width": width, "height": height},
                                        color_scheme=theme)  # fmt: skip
                page.goto(exported.as_uri())
                page.locator("button[aria-pressed=true]").wait_for()
                page.screenshot(path=folder / f"offline_{width}_{theme}.png")
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
