"""A view as one page that needs nothing else: no server, no network, no Python.

Every word and phrase of the caption, and the view's own texts, can be clicked; the maps of all
panels follow. The page draws them by the same script as the explorer's (`page/draw.js`).
"""

from __future__ import annotations

import base64
import html
import json
from typing import Any

import numpy as np

from bclip_core.explorer.display import MANY, fitted, photo_source, scale_bars, spoken_bytes
from bclip_core.explorer.front import page_text
from bclip_core.explorer.tables import plain
from bclip_core.explorer.view import Panel, Shown
from bclip_core.plotting.heat import palette, shares

_SIDE = 512  # pixels of the picture


def page_html(shown: Shown) -> str:
    """The whole page.

    Args:
        shown: of `Workbench.compute`.
    """
    title = html.escape(f"“{plain(shown.view.text)}” in {plain(shown.picture.title)}")
    # "<" cannot end the script then, whatever a caption holds
    state = json.dumps(page_state(shown), ensure_ascii=True).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>{page_text("offline.css")}</style></head>
<body><h1>{title}</h1><p id="about"></p><div id="phrases"></div><div id="panels"></div>
<div id="bars"></div><p id="caption"></p><ul id="notes"></ul>
<script>const STATE = {state};
{page_text("draw.js", "offline.js")}</script></body></html>
"""


def page_state(shown: Shown) -> dict[str, Any]:
    """What the page draws: bare pictures, and every text's map as a byte per patch."""
    scales = [shown.limits_of(panel) or _range(panel) for panel in shown.panels]
    texts = dict.fromkeys((shown.view.text, *shown.view.also))
    maps = {text: _own_maps(shown, number, scales) for number, text in enumerate(texts)}
    maps |= {text: found for text, found in spoken_bytes(shown).items() if text not in maps}
    return {
        "settings": shown.view.to_dict(),
        "sha256": shown.picture.key,
        "caption": shown.picture.caption,
        "texts": list(maps),
        "maps": list(maps.values()),
        "asked": len(texts),
        "palette": base64.b64encode(palette().tobytes()).decode(),
        "bars": scale_bars(shown),
        "notes": list(shown.notes),
        "many": len(shown.panels) >= MANY,
        "panels": [
            {
                "title": panel.title,
                "unit": panel.unit,
                "grid": list(panel.grid),
                "scale": list(scale),
                "photo": photo_source(fitted(panel.image, _SIDE)),
            }
            for panel, scale in zip(shown.panels, scales, strict=True)
        ],
    }


def _own_maps(shown: Shown, number: int, scales: list[tuple[float, float]]) -> list[str]:
    """The maps of one of the view's texts, a byte per patch, from the middle of each patch."""
    found = []
    for panel, scale in zip(shown.rows[number], scales, strict=True):
        values = np.asarray(panel.values, dtype=np.float64)
        found.append(
            base64.b64encode(
                np.rint(255 * shares(values, scale)).astype(np.uint8).tobytes()
            ).decode()
        )
    return found


def _range(panel: Panel) -> tuple[float, float]:
    return min(panel.values), max(panel.values)
