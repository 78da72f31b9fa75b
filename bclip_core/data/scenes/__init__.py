"""Procedural scenes with exact ground truth: the embedded data set.

`load_scenes` gives a stored data set of pictures with their texts, boxes and instance maps;
`region_queries` and `attribute_queries` ask about single objects.
"""

from bclip_core.data.scenes.attributes import (
    ATTRIBUTES,
    COLOURS,
    DIFFICULTIES,
    SCENES_VERSION,
    SPLITS,
    Background,
    Difficulty,
    Scene,
    SceneObject,
    get_difficulty,
)
from bclip_core.data.scenes.build import (
    load_scenes,
    scenes_digest,
    scenes_path,
)
from bclip_core.data.scenes.language import (
    SceneTexts,
    write_texts,
)
from bclip_core.data.scenes.layout import (
    sample_scene,
    sample_scenes,
)
from bclip_core.data.scenes.masks import (
    linked_phrases,
    object_masks,
)
from bclip_core.data.scenes.phrasing import (
    Phrase,
)
from bclip_core.data.scenes.regions import (
    LEVELS,
    RegionQuery,
    attribute_queries,
    region_queries,
)
from bclip_core.data.scenes.render import (
    render_scenes,
    visible_boxes,
)
from bclip_core.data.scenes.sentences import (
    Sentence,
)
from bclip_core.data.scenes.words import (
    describe,
)

__all__ = [
    "ATTRIBUTES",
    "Background",
    "COLOURS",
    "DIFFICULTIES",
    "Difficulty",
    "LEVELS",
    "Phrase",
    "RegionQuery",
    "SCENES_VERSION",
    "SPLITS",
    "Scene",
    "SceneObject",
    "SceneTexts",
    "Sentence",
    "attribute_queries",
    "describe",
    "get_difficulty",
    "linked_phrases",
    "load_scenes",
    "object_masks",
    "region_queries",
    "render_scenes",
    "sample_scene",
    "sample_scenes",
    "scenes_digest",
    "scenes_path",
    "visible_boxes",
    "write_texts",
]
