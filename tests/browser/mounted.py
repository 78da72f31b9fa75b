"""The explorer's own widgets in a page without JupyterLab: the same scripts, styles and state.

The kernel's side is a stand-in of a few lines that keeps what the page sends; so the page can be
driven in a second, and what it does with a given state is seen alone.
"""

import html
import json

import ipywidgets as widgets

from bclip_core.explorer import AttentionExplorer
from bclip_core.explorer.front import Field, Stage, page_text

_MODEL = """
window.sent = [];
window.models = {};
function modelOf(name, state) {
  const heard = {};
  return (window.models[name] = {
    get: (key) => state[key],
    set: (key, value) => { state[key] = value; window.sent.push([name, key, value]); },
    save_changes: () => {},
    send: (content) => window.sent.push([name, "send", content]),
    on: (event, act) => (heard[event] = heard[event] || []).push(act),
    receive: (key, value) => {
      state[key] = value;
      (heard[`change:${key}`] || []).forEach((act) => act());
    },
  });
}
"""


def mounted(explorer: AttentionExplorer, dark: bool = False) -> str:
    """The page, with every control's name in `window.models`."""
    names = {id(control): name for name, control in vars(explorer.controls).items()}
    names[id(explorer.display.stage)] = "stage"
    scripts: list[str] = []
    body = _element(explorer.widget, names, scripts)
    look = (
        ":root{color-scheme:dark;--jp-layout-color0:#111;--jp-layout-color1:#212121;"
        "--jp-layout-color2:#424242;--jp-ui-font-color1:#eee;--jp-border-color1:#616161}"
        if dark
        else ":root{color-scheme:light}"
    )
    script = "export default { render };"
    modules = "".join(
        f"const {kind} = (() => {{ {page_text(*files).replace(script, 'return render;')} }})();\n"
        for kind, files in (("field", ["field.js"]), ("stage", ["draw.js", "stage.js"]))
    )
    return (
        f"<!doctype html><meta charset=utf-8><style>{look} body{{margin:8px;"
        "background:var(--jp-layout-color0,Canvas);color:var(--jp-ui-font-color1,CanvasText)}"
        f"{page_text('explorer.css')}</style>{body}<script>{_MODEL}{modules}"
        f"{''.join(scripts)}</script>"
    )


def _element(widget, names: dict[int, str], scripts: list[str]) -> str:
    classes = html.escape(" ".join(getattr(widget, "_dom_classes", ())))
    if isinstance(widget, Field | Stage):
        name = names[id(widget)]
        others = ("layout", "tabbable", "tooltip")
        keys = [key for key in widget.trait_names(sync=True) if not key.startswith("_")]
        state = {key: getattr(widget, key) for key in keys if key not in others}
        kind = "stage" if isinstance(widget, Stage) else "field"
        stored = json.dumps(state).replace("<", "\\u003c")
        scripts.append(
            f"{kind}({{ model: modelOf({json.dumps(name)}, {stored}), "
            f"el: document.getElementById('mount-{name}') }});\n"
        )
        return f'<div id="mount-{name}" class="{classes}"></div>'
    if isinstance(widget, widgets.Box):
        inside = "".join(_element(child, names, scripts) for child in widget.children)
        return f'<div class="{classes}">{inside}</div>'
    if isinstance(widget, widgets.HTML):
        return f'<div class="{classes}">{widget.value}</div>'
    words = html.escape(widget.description)
    checked = " checked" if getattr(widget, "value", None) is True else ""
    if isinstance(widget, widgets.Checkbox):
        box = f"<input type=checkbox{checked}>"
        return f'<label class="{classes}" style="display:block">{box}{words}</label>'
    return f'<button class="{classes}">{words}</button>'
