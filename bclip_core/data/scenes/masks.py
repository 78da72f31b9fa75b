"""Which pixels of a scene a text is about, from the texts' linked objects and the instance map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def linked_phrases(scene: Mapping[str, Any]) -> dict[str, list[int]]:
    """The objects that each distinct phrase of a scene is true of, in the order of the caption."""
    return {
        phrase: objects
        for texts, linked in zip(scene["phrases"], scene["phrase_objects"], strict=True)
        for phrase, objects in zip(texts, linked, strict=True)
    }


def object_masks(scene: Mapping[str, Any], links: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The visible pixels of what each text names; a text that names nothing visible is left out.

    Args:
        scene: a row of the scenes; of it `instances` [H, W] is read, 0 for the background and
            n + 1 for object n.
        links: numbers of the objects by text.

    Returns:
        Bool [H, W] by text, in the order of `links`.
    """
    instances = torch.from_numpy(np.array(scene["instances"]))
    masks = {
        text: torch.isin(instances, torch.tensor(objects, dtype=instances.dtype) + 1)
        for text, objects in links.items()
        if objects
    }
    return {text: mask for text, mask in masks.items() if mask.any()}
