"""What the explorer shows: pictures, their captions and two tables, drawn from numbers."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from bclip_core.explorer.patches import PatchPicture
from bclip_core.explorer.tables import (
    answers_html,
    error_html,
    escaped,
    image_html,
    message_html,
    panel_html,
    panel_words,
    plain,
    scores_html,
)
from bclip_core.explorer.view import MOST_MODELS, Shown
from bclip_core.plotting.maps import SIDE, framed, overlaid


class Display:
    """The widgets that show a view; they hold no settings.

    Args:
        choose: called with row and column of a patch that is clicked.

    Attributes:
        picture: the picture with its patches.
        maps, captions: a drawing and its words per panel; those that are not needed are hidden.
        message, scores, answers: HTML with every text escaped.
        pictures, tables: the parts to be laid out.
    """

    def __init__(self, choose: Callable[[int, int], None]) -> None:
        self.picture = PatchPicture(choose)
        self.maps = [widgets.HTML() for _ in range(MOST_MODELS + 1)]
        self.captions = [widgets.HTML() for _ in self.maps]
        self.message, self.scores, self.answers = (widgets.HTML() for _ in range(3))
        self._panels = []
        for image, caption in zip(self.maps, self.captions, strict=True):
            image.layout.margin = "0px"
            layout = widgets.Layout(width=f"{SIDE}px", margin="0px", overflow="hidden")
            panel = widgets.VBox([image, caption], layout=layout)
            self._panels.append(panel.add_class("bclip-panel"))
        wrapping = widgets.Layout(flex_flow="row wrap", grid_gap="4px")
        self.pictures = widgets.HBox([self.picture.widget, *self._panels], layout=wrapping)
        self.tables = [self._scrolling(self.answers), self._scrolling(self.scores)]
        for name in ("message", "scores", "answers"):
            getattr(self, name).add_class(f"bclip-{name}")

    @staticmethod
    def _scrolling(table: widgets.HTML) -> widgets.Box:
        return widgets.Box([table], layout=widgets.Layout(max_height="340px", overflow="auto"))

    def draw(self, shown: Shown) -> None:
        """Show a view."""
        first, view = shown.panels[0], shown.view
        height, width = (
            side / count for side, count in zip(first.image.shape[:2], first.grid, strict=True)
        )
        row, column = first.patch
        box = (column * width, row * height, width, height)
        words = f"{plain(shown.picture.reference)}, patch in row {row + 1}, column {column + 1}"
        self.picture.show(framed(first.image, box), first.grid, words)
        for number, holder in enumerate(self._panels):
            holder.layout.display = "flex" if number < len(shown.panels) else "none"
        for panel, image, caption in zip(shown.panels, self.maps, self.captions, strict=False):
            drawn = overlaid(panel.image, panel.item, view.opacity, view.threshold)
            image.value = image_html(drawn, f"{panel.title}. {panel_words(panel)}")
            caption.value = panel_html(panel)
        self.scores.value, self.answers.value = scores_html(shown), answers_html(shown)
        self.message.value = message_html(shown)

    def fail(self, error: BaseException, still: Shown | None = None) -> None:
        """Show an error.

        Args:
            error: what went wrong.
            still: what stays in view; None clears the maps, which would be those of an earlier
                text or model.
        """
        self.message.value = error_html(error)
        if still is not None:
            reference = escaped(still.picture.reference)
            self.message.value += f"<div>What is shown is still {reference}.</div>"
            return
        for panel in self._panels:
            panel.layout.display = "none"
        self.scores.value = self.answers.value = ""
