"""The explorer on a page: what a reader sees of it and does to it."""

import base64
import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import SLOW

START = 480_000  # milliseconds that JupyterLab, the kernel and all cells may take
_CONNECTED = """() => {
  const context = window.jupyterapp?.shell?.currentWidget?.sessionContext;
  const kernel = context?.isReady ? context.session?.kernel : null;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
_RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"  # true at its end
_ROWS = """table => [...table.querySelectorAll("tbody tr")].map(row =>
  [row.querySelector("bdi").title, ...[...row.querySelectorAll("td")].map(cell => cell.innerText)])
"""


class ExplorerPage:
    """One explorer in an open notebook; every method waits for what it needs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.message = self.part("message")
        page.set_default_timeout(SLOW)

    def run_all_cells(self) -> None:
        """Wait for the kernel, run everything to its end, wait for the explorer.

        The page asks JupyterLab itself. Its execution indicator reads "idle" before there is any
        kernel, a Run All Cells clicked then sends nothing to execute, and the stored execution
        counts look as if all had run: such a page showed no widgets, which were never late.
        """
        self.page.on("dialog", lambda dialog: dialog.accept())  # leave, unsaved or not
        self.page.wait_for_function(_CONNECTED, timeout=START)
        assert self.page.evaluate(_RUN_ALL), "a cell raised an error"
        expect(self.message).to_contain_text("Looking for", timeout=SLOW)

    def part(self, name: str) -> Locator:
        return self.page.locator(f".bclip-{name}")

    def says(self, text: str | re.Pattern[str]) -> None:
        """Wait until the message has this text."""
        expect(self.message).to_contain_text(text, timeout=SLOW)

    def type(self, name: str, text: str) -> None:
        field = self.part(name).locator("input, textarea")
        field.fill(text)
        field.press("Enter")

    def choose(self, name: str, label: str) -> None:
        self.part(name).locator("select").select_option(label=label)

    def press(self, name: str, key: str, readout: str | re.Pattern[str]) -> None:
        """A key on a slider, until it reads as expected."""
        handle = self.part(name).locator("input")
        handle.focus()
        handle.press(key)
        expect(self.part(name).locator(".bclip-readout")).to_have_text(readout, timeout=SLOW)

    def caption(self, number: int) -> Locator:
        return self.part("panel").nth(number).locator("figcaption")

    def drawn(self, number: int) -> np.ndarray:
        """The pixels of a map on the page."""
        source = self.part("panel").nth(number).locator("img").get_attribute("src")
        content = base64.b64decode(source.partition("base64,")[2])
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def shows(self, number: int, expected: np.ndarray) -> None:
        """Wait until a map on the page is this one.

        Colours may be off by a rounding: the page's texts went through the model side by side.
        """
        for _ in range(SLOW // 250):
            drawn = self.drawn(number)
            if drawn.shape == expected.shape:
                differs = np.abs(drawn.astype(int) - expected).max(axis=2) > 4
                if differs.mean() < 0.002:
                    return
            self.page.wait_for_timeout(250)
        raise AssertionError(f"map {number}: {differs.mean():.1%} of its pixels are others")

    def table(self, name: str, number: int = 0) -> list[list[str]]:
        """Rows: the whole text of the first column, then the other columns as they read."""
        rows = self.part(name).locator("table").nth(number).evaluate(_ROWS)
        return [[cell.strip() for cell in row] for row in rows]
