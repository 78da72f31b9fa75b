"""A model that knows everything, and pictures that it knows: what a protocol must score 100 on.

A picture is made of flat colours, each colour stands for one vector, and so does each text. The
planted model reads colours exactly; its pooler is the real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from bclip_core.backbone import Tokenizer
from bclip_core.config import BackboneConfig
from bclip_core.poolers import TextConditionedPooler

SIDE, PATCH, DIM = 64, 8, 64


def colour(number: int) -> tuple[int, int, int]:
    """One of 216 colours that lie apart."""
    return tuple(20 + 43 * (number // 6**channel % 6) for channel in range(3))


def draw(path: Path, parts: Mapping[tuple[int, int, int, int], int], size: tuple[int, int]) -> Path:
    """A picture of rectangles (x, y, width, height), each in the colour of its number."""
    picture = Image.new("RGB", size)
    for (x, y, width, height), number in parts.items():
        picture.paste(colour(number), (x, y, x + width, y + height))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


class PlantedBackbone(nn.Module):
    """Colours and texts to the vectors of `meaning`."""

    context_length, image_size, dim = 77, (SIDE, SIDE), DIM
    grid = (SIDE // PATCH, SIDE // PATCH)
    config = BackboneConfig("scene-tiny")

    def __init__(self, meaning: Mapping[str, int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        vectors = F.normalize(torch.randn(216, DIM, generator=generator), dim=1)
        self.vectors = nn.Parameter(vectors, requires_grad=False)
        self.colours = torch.tensor([colour(number) for number in range(216)]).float()
        self.numbers = {
            tuple(ids): number
            for ids, number in zip(
                Tokenizer()(list(meaning)).tolist(), meaning.values(), strict=True
            )
        }

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
        deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
        pixels = F.avg_pool2d((images * deviation + mean) * 255, PATCH).flatten(2).mT
        patches = self.vectors[
            torch.cdist(pixels, self.colours.expand(len(pixels), -1, -1)).argmin(2)
        ]
        return patches.mean(1), patches

    def encode_text(self, tokens: Tensor) -> Tensor:
        width = len(next(iter(self.numbers)))
        rows = F.pad(tokens, (0, width - tokens.shape[1])).tolist()
        return self.vectors[[self.numbers[tuple(row)] for row in rows]]


class Planted(nn.Module):
    """A model with a planted backbone and the real pooler at its identity start."""

    def __init__(self, meaning: Mapping[str, int]) -> None:
        super().__init__()
        self.backbone = PlantedBackbone(meaning)
        self.pooler = TextConditionedPooler(DIM)


def shuffled(values: Sequence[str], seed: int = 0) -> list[str]:
    """The values in an order that has nothing to do with theirs."""
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    return [values[place] for place in order.tolist()]
