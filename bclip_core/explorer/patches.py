"""A picture whose patches can be clicked: a grid of transparent buttons laid over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets as widgets
from PIL import Image

from bclip_core.explorer.tables import image_html


class PatchPicture:
    """An image under rows and columns of buttons.

    The buttons are left out when one moves through the page by keyboard, since there are so many;
    whoever uses this offers sliders for row and column beside it.

    Args:
        choose: called with row and column, from 0, of a patch that is clicked.

    Attributes:
        widget: to be displayed.
        image: the picture below.
        buttons: row by row.
    """

    def __init__(self, choose: Callable[[int, int], None]) -> None:
        self._choose = choose
        self._grid = (0, 0)
        self.image = widgets.HTML(layout=_cell())
        self.buttons: list[widgets.Button] = []
        self._overlay = widgets.GridBox(layout=_cell(grid_gap="0px", overflow="hidden"))
        self.widget = widgets.GridBox(
            [self.image, self._overlay], layout=widgets.Layout(margin="0px", overflow="hidden")
        )
        self.widget.add_class("bclip-picture")

    def show(self, picture: Image.Image, grid: tuple[int, int], words: str) -> None:
        """Show a picture.

        Args:
            picture: as large as it is to be seen.
            grid: rows and columns of patches.
            words: the picture in words.
        """
        size = {"width": f"{picture.width}px", "height": f"{picture.height}px"}
        for part in (self.widget, self.image, self._overlay):
            part.layout.width, part.layout.height = size["width"], size["height"]
        self.image.value = image_html(picture, words)
        if grid != self._grid:
            self._lay_out(grid)

    def _lay_out(self, grid: tuple[int, int]) -> None:
        rows, columns = self._grid = grid
        layout = widgets.Layout(
            width="100%", height="100%", min_width="0px", margin="0px", padding="0px", border="none"
        )
        style = widgets.ButtonStyle(button_color="transparent")
        for button in self.buttons:
            button.close()
        self.buttons = []
        for place in range(rows * columns):
            row, column = divmod(place, columns)
            words = f"patch in row {row + 1}, column {column + 1}"
            button = widgets.Button(tooltip=words, tabbable=False, layout=layout, style=style)
            button.on_click(partial(self._clicked, row, column))
            self.buttons.append(button)
        self._overlay.layout.grid_template_columns = f"repeat({columns}, 1fr)"
        self._overlay.layout.grid_template_rows = f"repeat({rows}, 1fr)"
        self._overlay.children = self.buttons

    def _clicked(self, row: int, column: int, _button: widgets.Button) -> None:
        self._choose(row, column)


def _cell(**settings: str) -> widgets.Layout:
    """One cell of the outer grid for both, so that they lie on one another."""
    return widgets.Layout(grid_area="1 / 1 / 2 / 2", margin="0px", max_width="none", **settings)
