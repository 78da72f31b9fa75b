"""One small batch, and a method's gradients over all of it or a part; for what divides batches."""

import functools

import torch
from torch.nn.parallel import DistributedDataParallel

from bclip_core.backbone import Tokenizer
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, LossConfig, PoolerConfig, RunConfig
from bclip_core.data.batches import collate_texts
from bclip_core.model import Reading, TextBatch, get_method
from bclip_core.train.distributed import gather_features
from bclip_core.train.gradient_cache import backward_in_chunks, encode_in_chunks

METHODS = (
    "clip-ft",
    "beta-clip-ce",
    "beta-clip-ce, nested",
    "beta-clip-bce",
    "beta-clip-bce-balanced",
    "filip",
    "sparc",
    "siglip",
)
ROWS = (  # one to four texts per image; one text is repeated across images and ranks
    ("A red circle and a blue square.", "a red circle", "a blue square", "next to"),
    ("Two shapes.", None, None, None),
    ("A green star on the left of a red circle.", "a red circle", None, "a green star"),
    ("The background is plain grey.", "a grey background", None, None),
    ("A tiny triangle at the top.", None, "a tiny triangle", None),
    ("A heart with a cyan border.", "a heart", "a red circle", "a cyan border"),
)


@functools.cache
def known_ids() -> torch.Tensor:
    """The token ids of all rows in their order, 0 first, as padding."""
    return collate_texts(ROWS, Tokenizer()).tokens.unique()


def texts_of(rows: slice) -> TextBatch:
    """The texts of some rows, their ids counted through.

    The tables of a model that knows no other have a thousandth of CLIP's size, which would take
    most of the time here.
    """
    texts = collate_texts(ROWS[rows], Tokenizer())
    return texts._replace(tokens=torch.searchsorted(known_ids(), texts.tokens))


def gradients(
    name: str, rows: slice = slice(None), parallel: bool = False, cached: int = 0
) -> dict[str, torch.Tensor]:
    """The method's loss and gradients in float64 over some of the images, joined with the rest.

    `cached` encodes so many images at a time (gradient caching). ", nested" after the method's name
    is `loss.context=nested`.
    """
    name, _, context = name.partition(", ")
    method = get_method(name)
    settings = LossConfig(beta=0.25, duplicates="ignore", context=context or "image")
    needs = method.needs(settings)
    torch.manual_seed(0)
    tiny = f"vit-d64-v64x2h4m256p8s64-t64x2h4m256n{len(known_ids())}"
    config = RunConfig(name, BackboneConfig(tiny), PoolerConfig(init="xavier"))
    model = build_model(*method.parts(config)).double()
    model.reading = Reading(tokens="tokens" in needs, nested="nested" in needs)
    images = torch.randn(len(ROWS), 3, 64, 64, dtype=torch.float64)[rows]
    texts = texts_of(rows)
    forward = DistributedDataParallel(model) if parallel else model
    local = encode_in_chunks(forward, images, texts, cached) if cached else forward(images, texts)
    features = gather_features(local)
    terms = method.loss_terms(features, settings)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    if cached:
        assert all(parameter.grad is None for parameter in model.parameters())
        backward_in_chunks(forward, images, texts, cached, local)
    return {parameter: p.grad for parameter, p in model.named_parameters()} | {
        "loss": loss.detach()
    }


@functools.lru_cache(maxsize=1)
def whole_gradients(name: str) -> dict[str, torch.Tensor]:
    """`gradients` of all images in one process, which the tests of a method are compared with."""
    return gradients(name)
