"""From rows of a data set to the tensors of a step.

Everything random is a pure function of (seed, step, row): no generator carries state from step to
step, so a run that is killed and resumed sees exactly the batches of an undisturbed one, and any
number of processes sees the same global batches.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.captions import SampledTexts, sample_texts, text_key
from bclip_core.config import TextConfig
from bclip_core.data.images import decode_images, decode_row, undecoded
from bclip_core.model import TextBatch

REQUIRED_COLUMNS = ("id", "image", "caption", "short_captions", "sentences", "phrases")


class Batch(NamedTuple):
    """One step's input: ids of the rows, pixels uint8 [B, 3, H, W], texts."""

    ids: list[str]
    images: Tensor
    texts: TextBatch


def item_generator(seed: int, step: int, row: int) -> torch.Generator:
    """The random generator of one item of one step, independent of every other."""
    mixed = np.random.SeedSequence([seed, step, row]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]) << 32 | int(mixed[1]))


class ImageTextDataset(torch.utils.data.Dataset[tuple[str, Tensor, list[str | None]]]):
    """Rows in the collection's schema, addressed by (step, row); texts are drawn per item.

    Args:
        dataset: columns `REQUIRED_COLUMNS`.
        texts: which texts a step reads.
        image_size: S.
        seed: of the text draws.
        on_error: see `decode_images`.
        ahead: decode every picture now and keep its pixels; False decodes a picture when a step
            asks for it (in a loader's worker processes), for data that memory cannot hold.

    Raises:
        ValueError: a column is missing, or a row has no caption or a blank one (both are named).
        BrokenImageError: as `decode_images`.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        texts: TextConfig,
        image_size: int,
        seed: int = 0,
        on_error: str = "raise",
        ahead: bool = True,
        whole: bool = False,
    ) -> None:
        missing = [name for name in REQUIRED_COLUMNS if name not in dataset.column_names]
        if missing:
            raise ValueError(f"data set lacks columns {missing}; it has {dataset.column_names}")
        if not ahead and on_error != "raise":
            raise ValueError(f"on_error={on_error!r}: expected 'raise' where ahead=False")
        self.texts, self.seed, self.image_size, self.whole = texts, seed, image_size, whole
        self.stored = undecoded(dataset.select_columns(["id", "image"]))
        self.pixels: Tensor | None = None
        rows = list(range(len(dataset)))
        if ahead:
            self.pixels, rows = decode_images(dataset, image_size, on_error=on_error, whole=whole)
        text_columns = dataset.select_columns(["id", "short_captions", "sentences", "phrases"])
        self.rows: list[dict[str, Any]] = text_columns.select(rows).to_list()
        needed = {"short_captions" if texts.caption == "short" else "sentences"}
        needed |= {"short_captions"} if texts.summary == "given" else set()
        for number, row in enumerate(self.rows):
            for name in sorted(needed):
                if not row[name] or not all(text and text.strip() for text in row[name]):
                    found = f"{name}={row[name]!r}"
                    raise ValueError(f"row {number}, id {row['id']!r}: {found}: expected texts")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, address: tuple[int, int]) -> tuple[str, Tensor, list[str | None]]:
        step, number = address
        generator = item_generator(self.seed, step, number)
        texts = draw_texts(self.rows[number], self.texts, generator)
        if self.pixels is not None:
            return self.rows[number]["id"], self.pixels[number], texts
        pixels = decode_row(self.stored, number, self.image_size, whole=self.whole)
        return self.rows[number]["id"], pixels, texts


def draw_texts(
    row: dict[str, Any], config: TextConfig, generator: torch.Generator | None
) -> list[str | None]:
    """The K texts of one image in the slots of `TextConfig.kinds`; None is padding.

    Args:
        row: with `short_captions`, `sentences`, `phrases` (a list per sentence).
        config: which texts to read.
        generator: None takes the first ones, as evaluation does.
    """
    if config.caption == "short":
        drawn = SampledTexts(_pick(row["short_captions"], generator), (), ())
    else:
        drawn = sample_texts(
            row["sentences"], row["phrases"], config.sentences, config.phrases, generator
        )
    slots: list[str | None] = [drawn.caption]
    if config.summary != "none":
        slots.append(_summary(row, config.summary, generator))
    if config.sentence_texts:
        slots += [*drawn.sentences, *[None] * (config.sentences - len(drawn.sentences))]
    return slots + [*drawn.phrases, *[None] * (config.phrases - len(drawn.phrases))]


def _pick(choices: Sequence[str], generator: torch.Generator | None) -> str:
    """One at random; the first without a generator."""
    number = 0 if generator is None else int(torch.randint(len(choices), (), generator=generator))
    return choices[number]


def _summary(row: dict[str, Any], source: str, generator: torch.Generator | None) -> str:
    """A short caption of the row, or the first sentence of its long one, see `SUMMARIES`."""
    if source == "given" or (source == "auto" and row["short_captions"]):
        return _pick(row["short_captions"], generator)
    first: str = row["sentences"][0]
    return first


def collate_texts(rows: Sequence[Sequence[str | None]], tokenizer: Tokenizer) -> TextBatch:
    """Texts in slots, [B][K] with None for padding, to a `TextBatch` of distinct texts.

    Two texts are the same when the tokenizer sees the same, that is, without case and spacing.

    Raises:
        ValueError: rows of different length, or no text at all.
    """
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise ValueError(f"rows have {sorted(widths)} texts: expected one width K (None pads)")
    distinct: dict[str, int] = {}
    index = torch.zeros(len(rows), widths.pop(), dtype=torch.int64)
    mask = torch.zeros(index.shape, dtype=torch.bool)
    for b, row in enumerate(rows):
        for k, text in enumerate(row):
            if text is not None:
                key = text_key(text)
                index[b, k] = distinct.setdefault(key, len(distinct))
                mask[b, k] = True
    if not distinct:
        raise ValueError("the batch has no text: expected at least one text that is not padding")
    return TextBatch(tokenizer(list(distinct)), index, mask)


class StepSampler(torch.utils.data.Sampler[list[tuple[int, int]]]):
    """The (step, row) addresses of each micro-batch, from `start` on, for one rank.

    Epoch after epoch a new permutation; the last incomplete batch of an epoch is filled from the
    next one, so every row is seen equally often, and with rows it does not hold yet: a row would be
    a negative of itself. All ranks share the permutation and take every `world`-th row of the
    global batch (the authors' ranks shuffle apart and miss rows); the first ranks hold one row more
    where the batch is no multiple of their number.

    Raises:
        ValueError: a batch larger than the data set, or with fewer rows than there are ranks.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        steps: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size > count:
            raise ValueError(f"batch_size={batch_size}: expected <= {count}, the number of rows")
        if batch_size < world:
            raise ValueError(f"batch_size={batch_size}: expected >= {world}, a row per process")
        self.count, self.batch_size, self.steps = count, batch_size, steps
        self.seed, self.start, self.rank, self.world = seed, start, rank, world

    def __len__(self) -> int:
        return self.steps - self.start

    def _permutation(self, epoch: int, begun: list[int]) -> list[int]:
        """All rows in the random order of an epoch; first what completes the batch `begun`."""
        generator = item_generator(self.seed, epoch, self.count)
        order: list[int] = torch.randperm(self.count, generator=generator).tolist()
        filling = [row for row in order if row not in begun][: self.batch_size - len(begun)]
        later = set(order).difference(filling)
        return filling + [row for row in order if row in later]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, position, rows = 0, 0, list[int]()
        for step in range(self.steps):
            if len(rows) - position < self.batch_size:
                begun = rows[position:]
                rows, epoch, position = begun + self._permutation(epoch, begun), epoch + 1, 0
            batch = rows[position : position + self.batch_size]
            position += self.batch_size
            if step >= self.start:
                yield [(step, row) for row in batch[self.rank :: self.world]]


def _collate(tokenizer: Tokenizer, items: list[tuple[str, Tensor, list[str | None]]]) -> Batch:
    ids, images, texts = zip(*items, strict=True)
    return Batch(list(ids), torch.stack(images), collate_texts(texts, tokenizer))


def make_loader(
    dataset: ImageTextDataset, sampler: StepSampler, tokenizer: Tokenizer, workers: int = 0
) -> torch.utils.data.DataLoader[Batch]:
    """A loader of `Batch`es; `workers` processes draw, tokenise and (not ahead) decode."""
    untyped: Any = dataset  # torch types a loader by its items, and ours gives collated batches
    return torch.utils.data.DataLoader(
        untyped,
        batch_sampler=sampler,
        collate_fn=functools.partial(_collate, tokenizer),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
