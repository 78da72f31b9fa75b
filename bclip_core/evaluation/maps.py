"""Where a model looks in one picture for each of some texts: maps ready for figures and widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bclip_core.data.scenes import linked_phrases, object_masks
from bclip_core.evaluation.encoding import device_of, encode_images, encode_texts
from bclip_core.evaluation.grounding import grounding_scores, upsample_map
from bclip_core.evaluation.retrieval import similarity_matrix
from bclip_core.model import BClip


class PictureMaps(NamedTuple):
    """What a model says about one picture and K texts.

    Attributes:
        texts: the K texts.
        cosine: cosine of every patch with every text, [K, P].
        attention: the pooler's weights, [K, heads, P], which sum to 1 over P; None without pooler.
        score: cosine of the global image embedding with every text, [K].
        pooled_score: cosine of the picture pooled under each text with that text, [K], or None.
        grid: rows and columns of patches.
        size: height and width of the picture in pixels.
    """

    texts: tuple[str, ...]
    cosine: Tensor
    attention: Tensor | None
    score: Tensor
    pooled_score: Tensor | None
    grid: tuple[int, int]
    size: tuple[int, int]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The maps that `values` knows: "mean", "head 1", ... where there is a pooler; "cosine"."""
        heads = 0 if self.attention is None else self.attention.shape[1]
        pooled = ("mean", *(f"head {number + 1}" for number in range(heads))) if heads else ()
        return (*pooled, "cosine")

    def keep(self, end: int, start: int = 0) -> PictureMaps:
        """The same of the texts from `start` up to `end` alone."""
        kept = slice(start, end)
        return self._replace(
            texts=self.texts[kept],
            cosine=self.cosine[kept],
            attention=None if self.attention is None else self.attention[kept],
            score=self.score[kept],
            pooled_score=None if self.pooled_score is None else self.pooled_score[kept],
        )

    def values(self, kind: str = "mean") -> Tensor:
        """Maps [K, P]: attention as a multiple of 1/P, which is even attention; or cosine.

        Raises:
            ValueError: a kind that is not in `kinds`.
        """
        if kind not in self.kinds:
            raise ValueError(f"kind={kind!r}: expected one of {', '.join(self.kinds)}")
        if kind == "cosine" or self.attention is None:
            return self.cosine
        patches = self.attention.shape[-1]
        if kind == "mean":
            return patches * self.attention.mean(1)
        return patches * self.attention[:, int(kind.removeprefix("head ")) - 1]


class TextMap(NamedTuple):
    """One text's map over a picture.

    Attributes:
        text: the text.
        heat: the map at the picture's resolution, [H, W].
        hottest: the hottest patch as x, y, width, height in pixels.
        note: what the hottest patch's value is, in words.
        mask: what the text names, bool [H, W], or None when that is not known.
        hit: whether the hottest patch's centre lies on the mask; None without a mask.
    """

    text: str
    heat: npt.NDArray[np.float64]
    hottest: tuple[float, float, float, float]
    note: str
    mask: npt.NDArray[np.bool_] | None = None
    hit: bool | None = None


@torch.inference_mode()
def picture_maps(model: BClip, pixels: Tensor, texts: Sequence[str]) -> PictureMaps:
    """Attention, patch cosines and scores of one picture and some texts.

    Args:
        model: any model of the collection; it is put into eval mode.
        pixels: uint8 [3, H, W], of the model's image size.
        texts: K of them, at least one.

    Raises:
        ValueError: no text, an empty one, or a picture of another shape.
    """
    size = model.backbone.image_size
    if tuple(pixels.shape) != (3, *size) or pixels.dtype != torch.uint8:
        raise ValueError(f"pixels {pixels.dtype} {list(pixels.shape)}: expected uint8 {[3, *size]}")
    if not texts or not all(text.strip() for text in texts):
        raise ValueError(f"texts={list(texts)!r}: expected texts with at least one word each")
    image, patches = encode_images(model.eval(), pixels[None])
    return feature_maps(model, image, patches, texts, encode_texts(model, texts))


@torch.inference_mode()
def feature_maps(
    model: BClip, image: Tensor, patches: Tensor, texts: Sequence[str], text: Tensor
) -> PictureMaps:
    """`picture_maps` of a picture and texts that are encoded already.

    Args:
        model: whose embeddings these are; in eval mode.
        image: global embedding, [1, D].
        patches: dense embeddings, [1, P, D].
        texts: K of them.
        text: their embeddings, [K, D].
    """
    cosine = similarity_matrix(text, patches[0])
    attention = pooled_score = None
    if model.pooler is not None:
        device = device_of(model)
        pooled, weights = model.pooler(patches.to(device), text[None].to(device), need_weights=True)
        assert weights is not None
        attention = weights[0].transpose(0, 1).cpu()  # heads, K, P -> K, heads, P
        pooled_score = torch.cosine_similarity(pooled[0].cpu(), text)
    score = similarity_matrix(text, image)[:, 0]
    grid, size = model.backbone.grid, model.backbone.image_size
    return PictureMaps(tuple(texts), cosine, attention, score, pooled_score, grid, size)


def text_maps(
    maps: PictureMaps, kind: str = "mean", masks: Sequence[Tensor] | None = None
) -> list[TextMap]:
    """Every text's map, brought to the picture's resolution and compared with its mask.

    Args:
        maps: of one picture.
        kind: one of `maps.kinds`.
        masks: for each text what it names, bool [H, W] and not empty; None when not known.

    Raises:
        ValueError: an unknown kind, or not one mask per text.
    """
    if masks is not None and len(masks) != len(maps.texts):
        raise ValueError(f"{len(masks)} masks for {len(maps.texts)} texts: expected one per text")
    values = maps.values(kind)
    heats = upsample_map(values, maps.grid, maps.size).double().numpy()
    # The protocol's own pointing game, so that a figure and a table never disagree about a hit.
    hits = None if masks is None else grounding_scores(values, maps.grid, masks).pointing == 1
    height, width = maps.size[0] / maps.grid[0], maps.size[1] / maps.grid[1]
    note = "cosine {:.2f}" if kind == "cosine" else "{:.1f} × even"
    found = []
    for number, text in enumerate(maps.texts):
        row, column = divmod(int(values[number].argmax()), maps.grid[1])
        found.append(
            TextMap(
                text,
                heats[number],
                (column * width, row * height, width, height),
                note.format(float(values[number].max())),
                None if masks is None else masks[number].numpy(),
                None if hits is None else bool(hits[number]),
            )
        )
    return found


def choose_phrases(scene: Mapping[str, Any], count: int) -> tuple[list[str], list[Tensor]]:
    """Phrases of a scene that single out one object, each with its mask; the objects take turns.

    A phrase that names only part of what there is to know comes before a longer one. Of photographs
    the first phrases of the caption are taken, its sentences where it has none; no mask is known.

    Args:
        scene: a row of the scenes, or of photographs.
        count: how many; fewer when the scene has fewer.

    Returns:
        Phrases, and bool masks [H, W] of the object that each names; none for photographs.
    """
    if "instances" not in scene:
        phrases = dict.fromkeys(phrase for several in scene["phrases"] for phrase in several)
        return (list(phrases) or list(scene["sentences"]))[:count], []
    masks = phrase_masks(scene)
    queues: dict[int, list[str]] = {}
    for phrase, objects in linked_phrases(scene).items():
        if len(objects) == 1 and phrase in masks:
            queues.setdefault(objects[0], []).append(phrase)
    turns = [
        (turn, number, phrase)
        for number, phrases in queues.items()
        for turn, phrase in enumerate(sorted(phrases, key=len))
    ]
    chosen = [phrase for *_, phrase in sorted(turns)[:count]]
    return chosen, [masks[phrase] for phrase in chosen]


def known_phrases(
    row: Mapping[str, Any], count: int, size: tuple[int, int]
) -> tuple[list[str], list[Tensor] | None]:
    """Phrases to look for in a row of any data set, with masks where what they name is known.

    Args:
        row: of any data set, see `choose_phrases`.
        count: how many; fewer when the row has fewer.
        size: height and width of the masks.

    Returns:
        Phrases; and bool masks [H, W] of what each names, or None for photographs.
    """
    chosen, masks = choose_phrases(row, count)
    if "instances" not in row:
        return chosen, None
    if masks and tuple(masks[0].shape) != size:
        scaled = torch.nn.functional.interpolate(torch.stack(masks)[None].float(), size)[0]
        masks = list(scaled.bool())
    return chosen, masks


def phrase_masks(scene: Mapping[str, Any]) -> dict[str, Tensor]:
    """For each phrase of a scene that names visible objects, their pixels: bool [H, W]."""
    return object_masks(scene, linked_phrases(scene))
