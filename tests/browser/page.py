"""The explorer on a page: what a reader sees of it and does to it."""

import base64
import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, TimeoutError, expect

from tests.browser.lab import SLOW

START = 480_000  # milliseconds that JupyterLab, the kernel and all cells may take
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
        """Wait for notebook and kernel, run everything, wait for the explorer.

        A page whose widgets were not ready when the cells ran shows none: it is loaded again.
        """
        self.page.on("dialog", lambda dialog: dialog.accept())  # leave, unsaved or not
        for last in (False, False, True):
            self._run_once()
            try:
                wait = SLOW if last else SLOW / 3
                expect(self.message).to_contain_text("Looking for", timeout=wait)
                return
            except AssertionError:
                if last:
                    raise
                self.page.reload()

    def _run_once(self) -> None:
        idle = self.page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")
        idle.first.wait_for(timeout=START)
        prompts = self.page.locator(".jp-InputPrompt")
        started = prompts.filter(has_text=re.compile(r"\[(\*|\d+)\]"))
        for _ in range(10):  # what is clicked while the page is still settling may go unheard
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            try:
                self.page.get_by_text("Run All Cells", exact=True).click(timeout=3_000)
                started.first.wait_for(timeout=3_000)
                break
            except TimeoutError:
                self.page.keyboard.press("Escape")
        expect(prompts.filter(has_text="[*]")).to_have_count(0, timeout=START)

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
