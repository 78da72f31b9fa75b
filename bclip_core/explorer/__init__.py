"""The explorer: pictures, any text, and where models look for it.

`Workbench.compute` turns a `View`, which is plain settings, into numbers; `AttentionExplorer` is
the same with widgets.
"""

from bclip_core.explorer.catalogue import (
    find_models,
)
from bclip_core.explorer.export import (
    export_view,
)
from bclip_core.explorer.view import (
    Shown,
    View,
)
from bclip_core.explorer.widget import (
    AttentionExplorer,
)
from bclip_core.explorer.workbench import (
    Workbench,
)

__all__ = [
    "AttentionExplorer",
    "Shown",
    "View",
    "Workbench",
    "export_view",
    "find_models",
]
