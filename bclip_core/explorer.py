"""The attention explorer: a picture, any text, and where the model looks for it (ipywidgets)."""

from __future__ import annotations

import html
from typing import Any

import datasets
import ipywidgets as widgets
import numpy as np
import torch

from bclip_core.attention_maps import (
    TextMap,
    choose_phrases,
    phrase_masks,
    picture_maps,
    text_maps,
)
from bclip_core.model import BClip
from bclip_core.plotting import attention_grid, png
from bclip_core.tokenizer import Tokenizer

_DOTS_PER_INCH = 160
_PICTURE_WIDTH = 260  # on the screen, in pixels


class AttentionExplorer:
    """Controls, a picture with its map, and a line that says what it shows or what went wrong.

    Display `widget`. Phrases of the picture are offered as suggestions; for these the mask is
    known and hit or miss is shown, any other text works as well.

    Args:
        model: with or without a pooler; without one there is the cosine map only.
        scenes: pictures of the model's image size, at least one.

    Attributes:
        picture, text, kind, opacity: the controls.
        view: the drawing, PNG.
        message: what is shown, or the error; HTML with every text escaped.
        widget: all of it.
    """

    def __init__(self, model: BClip, scenes: datasets.Dataset) -> None:
        self.model = model
        self.scenes = scenes
        self.tokenizer = Tokenizer(model.backbone.context_length)
        # A slider or a text box reports once, when it is let go of or Enter is pressed.
        late: dict[str, Any] = {"continuous_update": False}
        self.picture = widgets.IntSlider(
            0, min=0, max=len(scenes) - 1, description="picture", **late
        )
        self.text = widgets.Combobox(description="text", placeholder="any text, Enter", **late)
        heads = model.pooler.attn.num_heads if model.pooler is not None else 0
        pooled = ["mean", *(f"head {number + 1}" for number in range(heads))] if heads else []
        self.kind = widgets.Dropdown(options=[*pooled, "cosine"], description="map")
        self.opacity = widgets.FloatSlider(0.6, min=0.0, max=1.0, description="opacity", **late)
        self.view = widgets.Image(format="png")
        self.message = widgets.HTML()
        controls = widgets.VBox([self.picture, self.text, self.kind, self.opacity])
        self.widget = widgets.VBox([widgets.HBox([controls, self.view]), self.message])
        self._open_picture()
        self.picture.observe(self._open_picture, "value")
        for control in (self.text, self.kind, self.opacity):
            control.observe(self._draw, "value")

    def _open_picture(self, _change: object = None) -> None:
        """Offer the picture's phrases; keep the reader's text, if there is one."""
        self.scene = self.scenes[self.picture.value]
        self.image = np.array(self.scene["image"])
        self.masks = phrase_masks(self.scene)
        self.text.options = tuple(self.masks)
        if not self.text.value:
            self.text.value = " ".join(choose_phrases(self.scene, 1)[0])
        self._draw()

    def _draw(self, _change: object = None) -> None:
        try:
            self._show(self.text.value)
        except Exception as error:  # Jupyter drops what a callback raises: show it in place
            self.message.value = f"<b>{type(error).__name__}:</b> {html.escape(str(error))}"
            self._set_view([])  # not the map of an earlier text or picture

    def _show(self, text: str) -> None:
        pixels = torch.from_numpy(self.image).permute(2, 0, 1)
        maps = picture_maps(self.model, pixels, [text])
        masks = [self.masks[text]] if text in self.masks else None
        found = text_maps(maps, self.kind.value, masks)[0]
        # The text itself is left to the browser, which has fonts for every script.
        self._set_view([found._replace(text="")])
        scores = [f"cosine with the whole picture {float(maps.score[0]):.2f}"]
        if maps.pooled_score is not None:
            scores.append(f"pooled under this text {float(maps.pooled_score[0]):.2f}")
        tokens, limit = self.tokenizer.count(text), self.model.backbone.context_length
        if tokens > limit:
            scores.append(f"only {limit} of the text's {tokens} tokens are read")
        self.message.value = f"<i>{html.escape(text)}</i>: {', '.join(scores)}"

    def _set_view(self, maps: list[TextMap]) -> None:
        figure = attention_grid([self.image], [maps], opacity=self.opacity.value)
        self.view.width = _PICTURE_WIDTH * (1 + len(maps))
        self.view.value = png(figure, _DOTS_PER_INCH)
