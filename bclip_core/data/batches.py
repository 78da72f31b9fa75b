"""From rows of a data set to the tensors of a step.

Everything random is a pure function of (seed, step, row): no generator carries state from step to
step, so a run that is killed and resumed sees exactly the batches of an undisturbed one, and any
number of processes sees the same global batches.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.captions import SampledTexts, sample_texts, text_key
from bclip_core.config import TextConfig
from bclip_core.data.images import (
    BrokenImageError,
    decode_images,
    decode_row,
    random_crop,
    undecoded,
)
from bclip_core.data.loader_processes import watching_loader
from bclip_core.data.stored import StoredRows
from bclip_core.data.summaries import pick, summary
from bclip_core.model import TextBatch
from bclip_core.records.processes import end_with
from bclip_core.records.texts import is_blank

_CROPS = 1  # what a generator is for, beside the texts
MOST_AHEAD = 256_000_000  # bytes of pixels that are decoded before a training starts
REQUIRED_COLUMNS = ("id", "image", "caption", "short_captions", "sentences", "phrases")

_TEXT_COLUMNS = ("id", "short_captions", "sentences", "phrases")


class Batch(NamedTuple):
    """One step's input: ids of the rows, pixels uint8 [B, 3, H, W], texts.

    `skipped` names pictures that could not be decoded; other rows stand in for them.
    """

    ids: list[str]
    images: Tensor
    texts: TextBatch
    skipped: tuple[str, ...] = ()


class Addresses(list[tuple[int, int]]):
    """The (step, row) addresses of one process in a step, and all rows of the step's batch."""

    def __init__(self, addresses: Iterable[tuple[int, int]], batch: Sequence[int]) -> None:
        super().__init__(addresses)
        self.batch = tuple(batch)


class Item(NamedTuple):
    """One image of a step: id, pixels [3, S, S], texts in slots; what it stands in for."""

    id: str
    image: Tensor
    texts: list[str | None]
    skipped: tuple[str, ...] = ()


def item_generator(seed: int, step: int, row: int, *use: int) -> torch.Generator:
    """The random generator of one item of one step, and of one use, independent of every other."""
    mixed = np.random.SeedSequence([seed, step, row, *use]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]) << 32 | int(mixed[1]))


class ImageTextDataset(torch.utils.data.Dataset[Item]):
    """Rows in the collection's schema, addressed by (step, row); texts are drawn per item.

    With `on_error="skip"` a picture that cannot be decoded is replaced by another row, drawn from
    those that are not in the step's batch. Which one is a function of (seed, step, row) alone, so
    the batches are the same for any number of loader processes, and after a resume.

    Args:
        dataset: columns `REQUIRED_COLUMNS`.
        texts: which texts a step reads.
        image_size: S.
        seed: of the text draws.
        on_error: "raise" or "skip": what a broken picture or a row without texts does.
        ahead: decode every picture now and keep its pixels; False decodes a picture when a step
            asks for it (in a loader's worker processes), for data that memory cannot hold. None
            decodes ahead what takes at most `MOST_AHEAD` bytes.
        whole: squash each picture to the square, as `decode_images`.
        draft: decode large JPEGs smaller, as `decode_row`; only what is not decoded ahead.
        crop: least and largest share of a picture's area that a random crop keeps, drawn per step
            and row, in place of both; such pictures are never decoded ahead. (): none.

    Texts are read from the data set's Arrow file when a step asks for them: as Python objects those
    of a million rows take gigabytes, and a forked worker copies each page whose counts it touches.

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
        ahead: bool | None = True,
        whole: bool = False,
        draft: bool = False,
        crop: tuple[float, ...] = (),
    ) -> None:
        missing = [name for name in REQUIRED_COLUMNS if name not in dataset.column_names]
        if missing:
            raise ValueError(f"data set lacks columns {missing}; it has {dataset.column_names}")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'skip'")
        self.texts, self.seed, self.image_size, self.whole = texts, seed, image_size, whole
        self.on_error, self.draft, self.crop = on_error, draft, crop
        kept = self._with_texts(dataset)
        if len(kept) < len(dataset):
            dataset = dataset.select(kept)
        self.rows = StoredRows(dataset.select_columns([*_TEXT_COLUMNS]))
        self.stored = StoredRows(undecoded(dataset.select_columns(["id", "image"])))
        self.pixels: Tensor | None = None
        self._place: dict[int, int] = {}  # row -> place in `pixels`
        if ahead is None:  # drafts would differ between data that fit and data that do not
            ahead = len(dataset) * 3 * image_size**2 <= MOST_AHEAD and not draft
        if ahead and not crop:
            self.pixels, decoded = decode_images(
                dataset, image_size, on_error=on_error, whole=whole
            )
            self._place = {row: place for place, row in enumerate(decoded)}

    def _with_texts(self, dataset: datasets.Dataset) -> Sequence[int]:
        """The rows that have the texts a step reads; the others are refused, or left out."""
        needed = {"short_captions" if self.texts.caption == "short" else "sentences"}
        needed |= {"short_captions"} if self.texts.summary == "given" else set()
        problems, total = dict[int, str](), len(dataset)
        columns = StoredRows(dataset.select_columns(["id", *sorted(needed)]))
        for start, rows in columns.batches():
            for place, problem in _lacking(rows, start):
                if self.on_error == "raise":
                    raise ValueError(problem)
                problems[place] = problem
        if problems:
            shown = "; ".join([*problems.values()][:5])
            print(f"skipped {len(problems)} of {total} rows: {shown}")
        if len(problems) == total:
            raise ValueError(f"none of the {total} rows has texts")
        return [row for row in range(total) if row not in problems] if problems else range(total)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, address: tuple[int, int]) -> Item:
        step, number = address
        image = self._pixels_of(number, step)
        generator = item_generator(self.seed, step, number)
        row = self.rows[number]
        return Item(row["id"], image, draw_texts(row, self.texts, generator))

    def __getitems__(self, addresses: Addresses) -> list[Item | BrokenImageError]:
        """The items of one process in a step; a broken picture's error where it is not skipped."""
        items = [self._item_or_stand_in(address, addresses.batch) for address in addresses]
        return [item for item in items if item is not None]

    def _pixels_of(self, row: int, step: int) -> Tensor:
        if self.crop:
            generator = item_generator(self.seed, step, row, _CROPS)
            cropped = functools.partial(random_crop, share=self.crop, generator=generator)
            return decode_row(self.stored, row, self.image_size, draft=self.draft, take=cropped)
        if self.pixels is None:
            return decode_row(self.stored, row, self.image_size, whole=self.whole, draft=self.draft)
        if row not in self._place:
            raise BrokenImageError(f"row {row}, id {self.rows[row]['id']!r}: named at the start")
        return self.pixels[self._place[row]]

    def _item_or_stand_in(
        self, address: tuple[int, int], batch: tuple[int, ...]
    ) -> Item | BrokenImageError | None:
        """The item, or one in its place; None where all other rows are broken or in the batch."""
        try:
            return self[address]
        except BrokenImageError as error:
            if self.on_error == "raise":
                return error
            skipped = [self.rows[address[1]]["id"]]
        for row in self._stand_ins(address, batch):
            try:
                return self[address[0], row]._replace(skipped=tuple(skipped))
            except BrokenImageError:
                skipped.append(self.rows[row]["id"])
        return None

    def _stand_ins(self, address: tuple[int, int], batch: tuple[int, ...]) -> list[int]:
        """Rows to take for a broken one, best first; no two places of a batch share one."""
        generator = item_generator(self.seed, address[0], len(self) + 1)
        order: list[int] = torch.randperm(len(self), generator=generator).tolist()
        inside = set(batch)
        others = [row for row in order if row not in inside]
        return others[batch.index(address[1]) :: len(batch)]


def _lacking(columns: dict[str, list[Any]], start: int) -> Iterator[tuple[int, str]]:
    """The rows of some columns of texts that lack one, and what is wrong with each.

    Args:
        columns: `id`, and lists of texts.
        start: the number of their first row.
    """
    ids = columns.pop("id")
    for place, row in enumerate(zip(*columns.values(), strict=True)):
        for name, texts in zip(columns, row, strict=True):
            if not texts or any(text is None or is_blank(text) for text in texts):
                found = f"row {start + place}, id {ids[place]!r}: {name}={texts!r}"
                yield start + place, f"{found}: expected texts"
                break


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
        drawn = SampledTexts(pick(row["short_captions"], generator), (), ())
    else:
        drawn = sample_texts(
            row["sentences"], row["phrases"], config.sentences, config.phrases, generator
        )
    slots: list[str | None] = [drawn.caption]
    if config.summary != "none":
        slots.append(summary(row, config.summary, generator))
    if config.sentence_texts:
        slots += [*drawn.sentences, *[None] * (config.sentences - len(drawn.sentences))]
    return slots + [*drawn.phrases, *[None] * (config.phrases - len(drawn.phrases))]


def collate_texts(
    rows: Sequence[Sequence[str | None]], tokenizer: Tokenizer, limits: Sequence[int] = ()
) -> TextBatch:
    """Texts in slots, [B][K] with None for padding, to a `TextBatch` of distinct texts.

    Two texts are the same when the tokenizer sees the same, see `captions.text_key`.

    Args:
        rows: the texts.
        tokenizer: makes ids of them.
        limits: of each slot, to how many ids its texts are cut, 0 for not; (): none is.

    Raises:
        ValueError: rows of different length, or no text at all.
    """
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise ValueError(f"rows have {sorted(widths)} texts: expected one width K (None pads)")
    distinct = dict[tuple[str, int], int]()  # key and cut to number
    first = list[str]()  # the tokenizer gets each text as it is written
    index = torch.zeros(len(rows), widths.pop(), dtype=torch.int64)
    mask = torch.zeros(index.shape, dtype=torch.bool)
    for b, row in enumerate(rows):
        for k, text in enumerate(row):
            if text is not None:
                limit = limits[k] if limits else 0
                cut = limit if limit and tokenizer.count(text) > limit else 0
                key = text_key(text), cut
                if key not in distinct:
                    distinct[key] = len(first)
                    first.append(text)
                index[b, k] = distinct[key]
                mask[b, k] = True
    if not distinct:
        raise ValueError("the batch has no text: expected at least one text that is not padding")
    return TextBatch(tokenizer(first, limits=[cut for _, cut in distinct]), index, mask)


class StepSampler(torch.utils.data.Sampler[Addresses]):
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
        held, wanted = set(begun), self.batch_size - len(begun)
        if not held:
            return order
        filling = list(itertools.islice((row for row in order if row not in held), wanted))
        first = set(filling)
        return filling + [row for row in order if row not in first]

    def __iter__(self) -> Iterator[Addresses]:
        epoch, position, rows = 0, 0, list[int]()
        for step in range(self.steps):
            if len(rows) - position < self.batch_size:
                begun = rows[position:]
                rows, epoch, position = begun + self._permutation(epoch, begun), epoch + 1, 0
            batch = rows[position : position + self.batch_size]
            position += self.batch_size
            if step >= self.start:
                yield Addresses(((step, row) for row in batch[self.rank :: self.world]), batch)


def _collate(
    tokenizer: Tokenizer, limits: Sequence[int], items: list[Item | BrokenImageError]
) -> Batch | Exception:
    """A batch, or the error that the loader's reader raises: in a worker it would lose its form."""
    for item in items:
        if isinstance(item, BrokenImageError):
            return item
    good = [item for item in items if isinstance(item, Item)]
    if not good:
        return BrokenImageError("no picture of a batch, nor of any other row, can be decoded")
    ids, images, texts, skipped = zip(*good, strict=True)
    batch = Batch(list(ids), torch.stack(images), collate_texts(texts, tokenizer, limits))
    return batch._replace(skipped=tuple(name for names in skipped for name in names))


def _end_with(parent: int, worker: int) -> None:
    end_with(parent)


def make_loader(
    dataset: ImageTextDataset,
    sampler: StepSampler,
    tokenizer: Tokenizer,
    workers: int = 0,
    started: str | None = None,
) -> Iterator[Batch]:
    """The `Batch`es of the steps; `workers` processes draw, tokenise and (not ahead) decode.

    Args:
        dataset: what the sampler's addresses are of.
        sampler: which rows a step reads.
        tokenizer: of the texts.
        workers: processes; 0 works in this one.
        started: how they start, "fork" or "spawn"; None: as Python does here.

    Raises:
        BrokenImageError: a picture cannot be decoded and is not to be skipped; or no other is left.
    """
    untyped: Any = dataset  # torch types a loader by its items, and ours gives collated batches
    loader = torch.utils.data.DataLoader(
        untyped,
        batch_sampler=sampler,
        collate_fn=functools.partial(_collate, tokenizer, dataset.texts.limits),
        num_workers=workers,
        multiprocessing_context=started if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=functools.partial(_end_with, os.getpid()),
    )
    with watching_loader():
        batches = iter(loader)
    for batch in batches:
        if isinstance(batch, Exception):
            raise batch
        yield batch
