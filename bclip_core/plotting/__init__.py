"""One function per figure: plain data in, matplotlib Figure out. Nothing here computes a result.

Figures are made without pyplot, so none is open behind the scenes. `publish` shows one in a
notebook and, outside the smoke profile, writes it to figures/ with the numbers it draws.
"""

from bclip_core.markdown import aligned_markdown
from bclip_core.plotting.costs import loss_costs, text_positions, training_settings
from bclip_core.plotting.curves import beta_ablation, training_curves
from bclip_core.plotting.explorer import explorer_view
from bclip_core.plotting.files import png, publish, save, show
from bclip_core.plotting.lengths import text_lengths
from bclip_core.plotting.methods import leak_comparison, method_comparison
from bclip_core.plotting.mulclip import mulclip_ablation, mulclip_levels
from bclip_core.plotting.pictures import attention_grid, scene_gallery
from bclip_core.plotting.studies import conditioning_pairs, search_trials
from bclip_core.plotting.tables import benchmark, table_markdown
from bclip_core.plotting.targets import beta_cal_targets

__all__ = [
    "aligned_markdown",
    "attention_grid",
    "benchmark",
    "beta_ablation",
    "beta_cal_targets",
    "conditioning_pairs",
    "explorer_view",
    "leak_comparison",
    "loss_costs",
    "method_comparison",
    "mulclip_ablation",
    "mulclip_levels",
    "png",
    "publish",
    "save",
    "scene_gallery",
    "search_trials",
    "show",
    "table_markdown",
    "text_lengths",
    "text_positions",
    "training_curves",
    "training_settings",
]
