"""One function per figure: plain data in, matplotlib Figure out. Nothing here computes a result.

Figures are made without pyplot, so none is open behind the scenes. `publish` shows one in a
notebook and, outside the smoke profile, writes it to figures/ with the numbers it draws.
"""

from bclip_core.plotting.costs import (
    loss_costs,
    text_positions,
    training_settings,
)
from bclip_core.plotting.curves import (
    beta_ablation,
    learning_curves,
    training_curves,
)
from bclip_core.plotting.dots import (
    method_comparison,
    methods_overview,
    table_markdown,
    table_rows,
)
from bclip_core.plotting.files import (
    png,
    publish,
    save,
    show,
    show_table,
)
from bclip_core.plotting.leak import (
    leak_scatter,
)
from bclip_core.plotting.maps import (
    attention_grid,
    scene_gallery,
)
from bclip_core.plotting.sigmoid import (
    sigmoid_balance,
)
from bclip_core.plotting.targets import (
    beta_cal_targets,
    targets_on_a_circle,
)
from bclip_core.records.markdown import (
    aligned_markdown,
)

__all__ = [
    "aligned_markdown",
    "attention_grid",
    "beta_ablation",
    "beta_cal_targets",
    "leak_scatter",
    "learning_curves",
    "loss_costs",
    "method_comparison",
    "methods_overview",
    "png",
    "publish",
    "save",
    "scene_gallery",
    "show",
    "show_table",
    "sigmoid_balance",
    "table_markdown",
    "table_rows",
    "targets_on_a_circle",
    "text_positions",
    "training_curves",
    "training_settings",
]
