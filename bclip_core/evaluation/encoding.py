"""Whole data sets through a trained model, without gradient, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.data.images import decode_row, normalise_images, undecoded
from bclip_core.evaluation.conditioned import conditioned_caption_scores, conditioned_similarity
from bclip_core.model import BClip
from bclip_core.records.progress import progress_bar


def device_of(model: BClip) -> torch.device:
    """Where a model is."""
    return next(model.parameters()).device


@torch.inference_mode()
def encode_images(
    model: BClip, pixels: Tensor, *, batch_size: int = 256, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """Global and dense embeddings of pictures.

    Args:
        model: any model of the collection.
        pixels: uint8 [M, 3, H, W].
        batch_size: pictures at a time.
        progress: show a progress bar.

    Returns:
        global [M, D] and patches [M, P, D], on the CPU, not normalised.

    Raises:
        ValueError: an embedding is not finite; the model is named.
    """
    device, dtype = device_of(model), next(model.parameters()).dtype
    parts = []
    for start in progress_bar(
        range(0, len(pixels), batch_size), desc="encode images", progress=progress
    ):
        images = normalise_images(pixels[start : start + batch_size].to(device)).to(dtype)
        parts.append([part.cpu() for part in model.backbone.encode_image(images)])
    image, patches = (torch.cat(part) for part in zip(*parts, strict=True))
    _require_finite(model, image, "pictures")
    return image, patches


def require_vocabulary(model: BClip, tokenizer: Tokenizer) -> None:
    """Refuse a model that has not CLIP's vocabulary, so that no text has ids in it.

    Raises:
        ValueError: both sizes are named.
    """
    clip = getattr(model.backbone, "clip", None)
    known = tokenizer.vocab_size if clip is None else clip.token_embedding.num_embeddings
    if known < tokenizer.vocab_size:
        raise ValueError(f"vocabulary of {known:,} ids: expected CLIP's {tokenizer.vocab_size:,}")


@torch.inference_mode()
def encode_texts(
    model: BClip,
    texts: Sequence[str],
    *,
    path: str = "auto",
    batch_size: int = 512,
    progress: bool = False,
) -> Tensor:
    """Embeddings of texts [T, D], on the CPU, not normalised; equal texts are encoded once.

    A model with two text paths sends all of them one way, as its authors do for a data set.

    Args:
        model: any model of the collection.
        texts: T of them.
        path: of two: "auto", the short one if every text fits it; "short", which cuts texts that
            do not; or "long".
        batch_size: texts at a time.
        progress: show a progress bar.

    Raises:
        ValueError: the model's vocabulary is not CLIP's, so that no text has ids in it; or an
            embedding is not finite.
    """
    config = model.backbone.config
    forced = path if path != "auto" and config.short_context else ""
    length = config.short_context if forced == "short" else config.context_length
    tokenizer = Tokenizer(length)
    require_vocabulary(model, tokenizer)
    device = device_of(model)
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    unique = list(distinct)
    width, parts = 0 if forced else _common_width(model, tokenizer, unique), []
    batches = range(0, len(unique), batch_size)
    for start in progress_bar(batches, desc="encode texts", progress=progress):
        tokens = tokenizer(unique[start : start + batch_size], width).to(device)
        encoded = model.backbone.encode_text(tokens, *((forced,) if forced else ()))
        parts.append(encoded.cpu())
    embedded = torch.cat(parts)
    _require_finite(model, embedded, "texts")
    return embedded[[distinct[text] for text in texts]]


def _require_finite(model: BClip, embedded: Tensor, what: str) -> None:
    """A NaN is like nothing, so it ranks somewhere, and a metric of it would look like a result."""
    broken = int((~embedded.isfinite().all(-1)).sum())
    if broken:
        name = model.backbone.config.name
        raise ValueError(
            f"model {name!r}: the embeddings of {broken} of {len(embedded)} {what} are not finite: "
            "its weights are damaged"
        )


def _common_width(model: BClip, tokenizer: Tokenizer, texts: Sequence[str]) -> int:
    """At least so many columns of ids, so that `Backbone.encode_text` sends all texts one way."""
    short = model.backbone.config.short_context
    return short + 1 if short and any(tokenizer.count(text) > short for text in texts) else 0


@torch.inference_mode()
def encode_dataset(
    model: BClip,
    dataset: datasets.Dataset,
    *,
    whole: bool = False,
    resize: str = "",
    patches: bool = True,
    batch_size: int = 64,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Global and dense embeddings of a data set's pictures, decoded batch by batch.

    Args:
        model: any model of the collection.
        dataset: with columns `id` and `image`.
        whole: squash each picture to the square, as for regions; else as the model was trained,
            which for most is to crop the centre.
        resize: "crop" or "squash", whatever the model was trained on; "": as `whole` says.
        patches: whether dense embeddings are wanted; they are P times as large as the others.
        batch_size: pictures at a time.
        progress: show a progress bar.

    Returns:
        global [M, D] and patches [M, P, D], or [0, P, D] when they are not wanted; on the CPU, not
        normalised.

    Raises:
        BrokenImageError: a picture cannot be decoded.
    """
    stored, size = undecoded(dataset.select_columns(["id", "image"])), model.backbone.image_size[0]
    squash = whole or (resize or model.backbone.config.resize) == "squash"
    parts = []
    for start in progress_bar(
        range(0, len(stored), batch_size), desc="encode images", progress=progress
    ):
        rows = range(start, min(start + batch_size, len(stored)))
        pixels = torch.stack([decode_row(stored, row, size, whole=squash) for row in rows])
        image, dense = encode_images(model, pixels, batch_size=batch_size)
        parts.append((image, dense if patches else dense[:0]))
    return torch.cat([image for image, _ in parts]), torch.cat([dense for _, dense in parts])


@torch.inference_mode()
def pooled_with_own(
    model: BClip, patches: Tensor, text: Tensor, *, batch_size: int = 256
) -> Tensor:
    """Image m pooled with text m: patches [M, P, D] and text [M, D] to [M, D] on the CPU."""
    assert model.pooler is not None, "expected a model with a text-conditioned pooler"
    device, parts = device_of(model), []
    blocks = (torch.split(whole, batch_size) for whole in (patches, text))
    for rows, texts in zip(*blocks, strict=True):
        parts.append(model.pooler(rows.to(device), texts[:, None].to(device))[0][:, 0].cpu())
    return torch.cat(parts)


def pooled_similarity(
    model: BClip, patches: Tensor, text: Tensor, *, progress: bool = False
) -> Tensor:
    """`evaluation.conditioned_similarity`, computed where the model is; on the CPU."""
    query = text.to(device_of(model))
    return conditioned_similarity(model, patches, query, progress=progress).cpu()


def pooled_caption_scores(
    model: BClip, patches: Tensor, rows: Tensor, captions: Sequence[Tensor]
) -> list[Tensor]:
    """`evaluation.conditioned_caption_scores`, computed where the model is; on the CPU."""
    if not captions:
        return []
    lengths = [len(texts) for texts in captions]  # all in one transfer
    there = torch.split(torch.cat(list(captions)).to(device_of(model)), lengths)
    scores = conditioned_caption_scores(model, patches, rows, there)
    return list(torch.split(torch.cat(scores).cpu(), lengths))
