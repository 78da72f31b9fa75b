"""Zero-shot classification: a picture against the names of the classes, as CLIP does it.

A class is the normalised mean of the normalised embeddings of its name in many templates ("a photo
of a {}."); open_clip's own builder makes it. A tie with a wrong class is a miss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from open_clip import OPENAI_IMAGENET_TEMPLATES, build_zero_shot_classifier
from torch import Tensor

from bclip_core.evaluation.retrieval import ranks, similarity_matrix

TEMPLATES: Sequence[Callable[[str], str]] = OPENAI_IMAGENET_TEMPLATES
"""The 80 templates that CLIP's authors chose for ImageNet, here for every data set."""


class EncodesText(Protocol):
    """What a classifier is made with: tokens [U, L] to embeddings [U, D]."""

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embeddings of token ids."""


class _Normalising:
    """The text tower under the call that open_clip's builder makes."""

    def __init__(self, model: EncodesText) -> None:
        self._model = model

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        embeddings = self._model.encode_text(tokens)
        return F.normalize(embeddings, dim=-1) if normalize else embeddings


def zero_shot_classifier(
    model: EncodesText,
    tokenizer: Callable[[list[str]], Tensor],
    class_names: Sequence[str],
    templates: Sequence[Callable[[str], str] | str] = TEMPLATES,
    *,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Tensor:
    """One unit vector per class, by `open_clip.build_zero_shot_classifier`.

    Args:
        model: encodes tokens, such as a `Backbone`; in eval mode.
        tokenizer: texts to token ids.
        class_names: what the classes are called, in the order of the labels.
        templates: functions of a name, or texts with "{}".
        device: where the model is.
        progress: show a bar over the classes.

    Returns:
        [C, D] on the CPU.

    Raises:
        ValueError: no class or no template.
    """
    if not class_names or not templates:
        raise ValueError(f"{len(class_names)} classes, {len(templates)} templates: expected some")
    settings: dict[str, Any] = {"num_classes_per_batch": 10, "device": device, "use_tqdm": progress}
    weights: Tensor = build_zero_shot_classifier(
        _Normalising(model), tokenizer, class_names, templates, **settings
    )
    return weights.T.cpu()


def class_ranks(image: Tensor, classifier: Tensor, labels: Tensor) -> Tensor:
    """Place of each picture's class among all, from 1; a tie counts against the model.

    Accuracy among the first k is the share of ranks up to k.

    Args:
        image: global embeddings [M, D].
        classifier: one vector per class [C, D].
        labels: int [M], the class of each picture.

    Returns:
        int64 [M] in 1..C.

    Raises:
        ValueError: shapes do not fit, or a label names no class.
    """
    if labels.shape != image.shape[:1]:
        raise ValueError(f"labels {tuple(labels.shape)}: expected one per image, [{len(image)}]")
    wrong = ((labels < 0) | (labels >= len(classifier))).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"labels[{row}]={int(labels[row])}: expected 0..{len(classifier) - 1}")
    relevant = F.one_hot(labels, len(classifier)).bool()
    return ranks(similarity_matrix(image, classifier), relevant, query="image")
