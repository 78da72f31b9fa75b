"""Evaluation: pure functions of tensors, from embeddings, maps and boxes to numbers."""

from bclip_core.evaluation.classification import (
    TEMPLATES,
    class_ranks,
    zero_shot_classifier,
)
from bclip_core.evaluation.conditioned import (
    conditioned_caption_scores,
    conditioned_similarity,
    listed_similarity,
    mean_conditioned,
    own_caption_similarity,
    two_stage_retrieval,
)
from bclip_core.evaluation.grounding import (
    Grounding,
    grounding_chance,
    grounding_scores,
    patch_cosine_map,
    upsample_map,
)
from bclip_core.evaluation.intervals import (
    Interval,
    bootstrap_interval,
    paired_bootstrap_difference,
    seed_interval,
    student_t_quantile,
)
from bclip_core.evaluation.leak import (
    VarianceShares,
    identical_picture_recall,
    variance_shares,
)
from bclip_core.evaluation.regions import (
    RegionHits,
    blind_region_accuracy,
    boxes_to_patches,
    chance_region_accuracy,
    hits_from_scores,
    region_accuracy,
    region_hits,
    region_scores,
    roi_features,
)
from bclip_core.evaluation.retrieval import (
    Retrieval,
    chance_recall,
    ranks,
    recall_at_k,
    retrieval_from_ranks,
    retrieval_metrics,
    similarity_matrix,
)
from bclip_core.evaluation.summaries import (
    HEADLINES,
    Metrics,
    summarise_items,
    summarise_retrieval,
)

__all__ = [
    "Grounding",
    "HEADLINES",
    "Interval",
    "Metrics",
    "RegionHits",
    "Retrieval",
    "TEMPLATES",
    "VarianceShares",
    "blind_region_accuracy",
    "bootstrap_interval",
    "boxes_to_patches",
    "chance_recall",
    "chance_region_accuracy",
    "class_ranks",
    "conditioned_caption_scores",
    "conditioned_similarity",
    "grounding_chance",
    "grounding_scores",
    "hits_from_scores",
    "identical_picture_recall",
    "listed_similarity",
    "mean_conditioned",
    "own_caption_similarity",
    "paired_bootstrap_difference",
    "patch_cosine_map",
    "ranks",
    "recall_at_k",
    "region_accuracy",
    "region_hits",
    "region_scores",
    "retrieval_from_ranks",
    "retrieval_metrics",
    "roi_features",
    "seed_interval",
    "similarity_matrix",
    "student_t_quantile",
    "summarise_items",
    "summarise_retrieval",
    "two_stage_retrieval",
    "upsample_map",
    "variance_shares",
    "zero_shot_classifier",
]
