"""The objectives, functions of embeddings: they never see a model."""

from bclip_core.losses.beta_cal_loss import (
    NORMALISERS,
    beta_cal,
)
from bclip_core.losses.constant_predictor import (
    BaseRate,
    base_rate,
)
from bclip_core.losses.cross_loss import (
    conditioned_contrastive,
    cross_conditioned,
    unit_cosine,
)
from bclip_core.losses.global_loss import (
    global_contrastive,
)
from bclip_core.losses.late_interaction import (
    late_interaction_contrastive,
    late_interaction_similarity,
)
from bclip_core.losses.mulclip import (
    subcaption_alignment,
    word_reconstruction,
)
from bclip_core.losses.multi_positive_loss import (
    multi_positive,
)
from bclip_core.losses.principal import (
    principal_features,
)
from bclip_core.losses.sigmoid import (
    sigmoid_contrastive,
    text_conditioned_sigmoid,
)
from bclip_core.losses.targets import (
    beta_cal_targets,
)
from bclip_core.losses.tokens import (
    attend,
    grouped_contrast,
)

__all__ = [
    "NORMALISERS",
    "BaseRate",
    "attend",
    "base_rate",
    "beta_cal",
    "beta_cal_targets",
    "conditioned_contrastive",
    "cross_conditioned",
    "global_contrastive",
    "grouped_contrast",
    "late_interaction_contrastive",
    "late_interaction_similarity",
    "multi_positive",
    "principal_features",
    "sigmoid_contrastive",
    "subcaption_alignment",
    "text_conditioned_sigmoid",
    "unit_cosine",
    "word_reconstruction",
]
