"""What MulCLIP's three levels do on a scene: who gathers what, who rebuilds whom.

The losses need averages only; here are the weights behind them, ready for figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.config import RunConfig
from bclip_core.data.batches import collate_texts, draw_texts
from bclip_core.data.images import image_to_pixels, normalise_images
from bclip_core.data.scenes import object_masks
from bclip_core.evaluation import similarity_matrix
from bclip_core.evaluation.encoding import device_of, encode_images, encode_texts
from bclip_core.evaluation.maps import PictureMaps, TextMap, text_maps
from bclip_core.losses.mulclip import TEMPERATURE
from bclip_core.model import BClip, TextBatch, get_method

Matrix = npt.NDArray[np.float64]


class Levels(NamedTuple):
    """MulCLIP's levels on one scene. T patch tokens and T word tokens after the calibration.

    Attributes:
        image: the scene, uint8 [H, W, 3].
        long: cosine of some pictures (rows) with their long captions (columns), [n, n].
        short: the same with their summaries.
        sentences: which patches each sentence gathers.
        patch_tokens: which patches each calibrated patch token is made of.
        word_tokens: the words with the largest shares in each calibrated word token, [T].
        word_peaks: the largest share of a word in each word token, as a multiple of even, [T].
        patch_words: share of word token u in rebuilding patch token t, [T, T]; rows sum to 1.
        word_patches: share of patch token u in rebuilding word token t, [T, T]; rows sum to 1.
    """

    image: npt.NDArray[np.uint8]
    long: Matrix
    short: Matrix
    sentences: list[TextMap]
    patch_tokens: list[TextMap]
    word_tokens: list[str]
    word_peaks: list[float]
    patch_words: Matrix
    word_patches: Matrix

    def numbers(self) -> dict[str, Any]:
        """What is drawn, beside pictures, ready for JSON."""
        maps = {"sentences": self.sentences, "patch_tokens": self.patch_tokens}
        matrices = {name: getattr(self, name) for name in _MATRICES}
        return {
            **{name: [[m.text, m.note, m.hit] for m in found] for name, found in maps.items()},
            **{name: np.round(value, 3).tolist() for name, value in matrices.items()},
            "word_tokens": self.word_tokens,
            "word_peaks": [round(peak, 3) for peak in self.word_peaks],
        }


_MATRICES = ("long", "short", "patch_words", "word_patches")


def attention_weights(queries: Tensor, tokens: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The weights of `losses.tokens.attend`: queries [T, D] on tokens [S, D] to [T, S]."""
    return (similarity_matrix(queries, tokens) / temperature).softmax(-1)


def scene_batch(
    scenes: Sequence[Mapping[str, Any]], config: RunConfig
) -> tuple[Tensor, TextBatch, list[list[str | None]]]:
    """A training batch of these rows, with the first texts of each instead of drawn ones.

    Rows are of any data set.

    Returns:
        Normalised pixels [B, 3, H, W], the texts, and the same texts as they are written.
    """
    pixels = _pixels(scenes, config.data.image_size)
    reads = get_method(config.method).texts(config.texts)
    texts = [draw_texts(dict(scene), reads, None) for scene in scenes]
    batch = collate_texts(texts, Tokenizer(config.backbone.context_length))
    return normalise_images(pixels), batch, texts


def _pixels(rows: Sequence[Mapping[str, Any]], size: int) -> Tensor:
    """uint8 [n, 3, size, size], as training crops them."""
    return torch.stack([image_to_pixels(row["image"], size) for row in rows])


def sentence_masks(scene: Mapping[str, Any], size: int) -> dict[str, Tensor] | None:
    """For each sentence that names some of a scene's objects, but not all: bool [size, size].

    None for photographs, whose objects nobody has outlined.
    """
    if "sentence_objects" not in scene:
        return None
    links = zip(scene["sentences"], scene["sentence_objects"], strict=True)
    some = {text: named for text, named in links if 0 < len(named) < len(scene["objects"])}
    masks = object_masks(scene, some)
    return {text: _scaled(mask, size) for text, mask in masks.items()}


def _scaled(mask: Tensor, size: int) -> Tensor:
    if tuple(mask.shape) == (size, size):
        return mask
    return torch.nn.functional.interpolate(mask[None, None].float(), (size, size))[0, 0].bool()


@torch.inference_mode()
def scene_levels(
    model: BClip,
    scenes: Sequence[Mapping[str, Any]],
    number: int = 0,
    *,
    sentences: int = 4,
    temperature: float = TEMPERATURE,
) -> Levels:
    """The levels of one scene; the global one beside other scenes.

    Args:
        model: of a method that calibrates tokens.
        scenes: at least one row, of the scenes or of photographs.
        number: which of them is looked at.
        sentences: at most so many; of scenes those that name some of the objects.
        temperature: τ of the attention inside a sample.

    Raises:
        ValueError: the model has no token calibration, or no sentence names some of the objects.
    """
    heads, scene = model.heads, scenes[number]
    if heads is None or heads.calibrate_patches is None or heads.calibrate_words is None:
        raise ValueError("model without token calibration: expected one of MulCLIP's")
    size = model.backbone.image_size[0]
    masks = sentence_masks(scene, size)
    shown = list(scene["sentences"] if masks is None else masks)[:sentences]
    if not shown:
        raise ValueError(f"scene {scene['id']!r}: no sentence names some of its objects, not all")
    pixels = _pixels(scenes, size)
    image, dense = encode_images(model.eval(), pixels)
    long, short = (
        similarity_matrix(image, encode_texts(model, captions)).double().numpy()
        for captions in (
            [row["caption"] for row in scenes], [row["short_captions"][0] for row in scenes]
        )
    )  # fmt: skip
    patches, square = dense[number], (size, size)
    gathered = attention_weights(encode_texts(model, shown), patches, temperature)
    device = device_of(model)
    slots = heads.calibrate_patches.shares(patches.to(device)[None])[0].cpu()
    words, pieces = _words(model, scene["caption"])
    spoken = heads.calibrate_words.shares(words.to(device)[None])[0].cpu()
    grid = model.backbone.grid
    seen, said = slots @ patches, spoken @ words
    return Levels(
        pixels[number].permute(1, 2, 0).numpy(),
        long,
        short,
        _maps(shown, gathered, grid, square, None if masks is None else [masks[t] for t in shown]),
        _maps([f"token {n + 1}" for n in range(len(slots))], slots, grid, square),
        [_top(pieces, weights) for weights in spoken],
        (spoken.amax(1) * len(pieces)).tolist(),
        attention_weights(seen, said, temperature).double().numpy(),
        attention_weights(said, seen, temperature).double().numpy(),
    )


def _words(model: BClip, caption: str) -> tuple[Tensor, list[str]]:
    """Embeddings [L, D] of a caption's tokens between start and end, and what they stand for."""
    tokenizer = Tokenizer(model.backbone.config.context_length)
    _, words, mask = model.backbone.encode_words(tokenizer([caption]).to(device_of(model)))
    return words[mask].cpu(), tokenizer.pieces(caption)


def _maps(
    names: Sequence[str],
    weights: Tensor,
    grid: tuple[int, int],
    size: tuple[int, int],
    masks: Sequence[Tensor] | None = None,
) -> list[TextMap]:
    """Weights [K, P] over patches as maps, noted as multiples of an even share."""
    nothing = torch.zeros(len(weights))
    maps = PictureMaps(tuple(names), weights, weights[:, None], nothing, None, grid, size)
    return text_maps(maps, "mean", masks)


def _top(pieces: Sequence[str], weights: Tensor, count: int = 2) -> str:
    """The distinct words with the largest shares."""
    order = weights.argsort(descending=True).tolist()
    return " ".join(list(dict.fromkeys(pieces[place] for place in order))[:count])
