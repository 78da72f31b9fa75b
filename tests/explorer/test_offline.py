"""The exported page holds everything, asks for nothing, and no text ends its script."""

import base64
import json
import re

import numpy as np

from bclip_core.explorer import View
from bclip_core.explorer.offline import page_html, page_state

NASTY = "a </script><script>window.hacked=1</script> circle"


def test_it_needs_nothing_from_elsewhere(workbench):
    page = page_html(workbench.compute(View("scene 1", "red", ("pooled",))))
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"//[^\n]*", "", page))
    assert "default-src 'none'" in page
    assert 'src="' not in page


def test_every_text_has_its_maps(workbench):
    shown = workbench.compute(View("scene 1", "red", ("pooled",), also=("a star",)))
    state = page_state(shown)
    assert state["texts"][:2] == ["red", "a star"]
    assert set(shown.picture.phrases) <= set(state["texts"])
    assert {len(maps) for maps in state["maps"]} == {len(shown.panels)}
    for number, panel in enumerate(shown.also[0]):
        sent = np.frombuffer(base64.b64decode(state["maps"][1][number]), np.uint8)
        assert int(sent.argmax()) == panel.hottest[0] * panel.grid[1] + panel.hottest[1]


def test_no_text_ends_the_script(workbench):
    page = page_html(workbench.compute(View("scene 1", NASTY, ("pooled",), caption=NASTY)))
    assert page.count("</script>") == page.count("<script>") == 1
    stored = re.search(r"const STATE = (\{.*\});\n", page)[1]
    assert json.loads(stored)["texts"][0] == NASTY
