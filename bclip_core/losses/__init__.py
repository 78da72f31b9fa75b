"""The objectives, functions of embeddings: they never see a model."""

from bclip_core.losses.beta_cal import beta_cal
from bclip_core.losses.global_contrastive import global_contrastive
from bclip_core.losses.targets import beta_cal_targets

__all__ = ["beta_cal", "beta_cal_targets", "global_contrastive"]
