"""Each text once and without padding: `python -m benchmarks.text_once [--quick]`.

Token positions that the text tower computes for real captions at K = 36 (1 caption, 5 sentences,
30 phrases), and the time of whole training steps at ViT-B/16 size, two ways in one process:

padded  as one would first write it: caption and sentences at 248 tokens, phrases at the batch's
        longest, every text of every image, padded rows too
once    `Backbone.encode_text`: distinct texts, grouped by length, cut at their end

Both steps share image tower, pooler and losses, and must give the same loss. Captions are read
from the folder named by BCLIP_DATA. The full run writes results/reference/benchmark_text_once.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.backbone.attention import length_buckets, pass_overhead
from bclip_core.captions import decompose, default_extractor
from bclip_core.checkpoints import build_model
from bclip_core.config import BackboneConfig, PoolerConfig, TextConfig
from bclip_core.data.batches import collate_texts, draw_texts, item_generator
from bclip_core.data.real.loading import folder_above
from bclip_core.losses import beta_cal, global_contrastive
from bclip_core.model import BClip
from bclip_core.records.files import write_json
from bclip_core.records.results import REFERENCE_FOLDER, provenance

TEXTS, CONTEXT, TEXT_WIDTH = TextConfig(sentences=5, phrases=30), 248, 512
LONG = 1 + TEXTS.sentences  # texts that the padded way computes at the full context
Slots = list[list[str | None]]


def captions(name: str) -> list[str]:
    """Long captions of a data set in BCLIP_DATA, without empty ones."""
    above = folder_above()
    if above is None:
        raise SystemExit("BCLIP_DATA is not set: expected the folder with urban1k/ and docci/")
    file = {"Urban-1K": "urban1k/annotations.json", "DOCCI": "docci/docci_test.json"}[name]
    found = json.loads((above / file).read_text(encoding="utf-8"))
    rows = found["annotations"] if isinstance(found, dict) else found
    return [row["caption"] for row in rows if row["caption"].strip()]


def batch_of(texts: list[str], seed: int) -> Slots:
    """The texts of a step for these captions; as many phrase slots as any of them fills."""
    rows = []
    for number, caption in enumerate(texts):
        parts = decompose(caption, default_extractor())
        phrases = [list(found) for found in parts.sentence_phrases]
        row = {"sentences": list(parts.sentences), "phrases": phrases}
        rows.append(draw_texts(row, TEXTS, item_generator(seed, 0, number)))
    filled = max(sum(text is not None for text in row[LONG:]) for row in rows)
    return [row[: LONG + filled] for row in rows]


def positions(rows: Slots) -> dict[str, int]:
    """Token positions of a batch: of all texts, of distinct ones, as encoded, and padded."""
    tokenizer = Tokenizer(CONTEXT)
    batch = collate_texts(rows, tokenizer)
    lengths = (batch.tokens.argmax(1) + 1).sort(descending=True).values.tolist()
    buckets = length_buckets(lengths, pass_overhead(TEXT_WIDTH, "cpu"))
    every = (batch.tokens.argmax(1) + 1)[batch.index][batch.mask]
    phrases = tokenizer([text for row in rows for text in row[LONG:] if text])
    phrase_slots = len(rows[0]) - LONG
    return {
        "all_texts": int(every.sum()),
        "distinct": sum(lengths),
        "encoded": sum((rows.stop - rows.start) * lengths[rows.start] for rows in buckets),
        "passes": len(buckets),
        "padded": len(rows) * (LONG * CONTEXT + phrase_slots * phrases.shape[1]),
    }


def encode_padded(model: BClip, tokens: Tensor) -> Tensor:
    """The text tower as in the papers' figure: every position of every row, [R, L] -> [R, D]."""
    clip, length = model.backbone.clip, tokens.shape[1]
    hidden = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    for block in clip.transformer.resblocks:
        hidden = block(hidden, attn_mask=clip.attn_mask[:length, :length])
    ended = clip.ln_final(hidden)[torch.arange(len(tokens)), tokens.argmax(1)]
    return ended @ clip.text_projection


def padded_text(model: BClip, rows: Slots) -> Tensor:
    """All slots [B, K, D], the long ones at 248 tokens, the phrases at the longest of the batch."""
    tokenizer = Tokenizer(CONTEXT)
    long = torch.zeros(len(rows) * LONG, CONTEXT, dtype=torch.int64)
    found = tokenizer([text or "." for row in rows for text in row[:LONG]])
    long[:, : found.shape[1]] = found
    short = tokenizer([text or "." for row in rows for text in row[LONG:]])
    parts = [encode_padded(model, part).unflatten(0, (len(rows), -1)) for part in (long, short)]
    return torch.cat(parts, dim=1)


def text_once(model: BClip, rows: Slots) -> Tensor:
    """The same embeddings from the library."""
    batch = collate_texts(rows, Tokenizer(CONTEXT))
    return model.backbone.encode_text(batch.tokens)[batch.index]


def step(model: BClip, images: Tensor, rows: Slots, encode: Callable[..., Tensor]) -> float:
    """Forward and backward of β-CLIP's loss; the loss."""
    model.zero_grad()
    mask = torch.tensor([[text is not None for text in row] for row in rows])
    image, patches = model.backbone.encode_image(images)
    text = encode(model, rows)
    assert model.pooler is not None
    conditioned, _ = model.pooler(patches, text)
    loss = global_contrastive(image, text[:, 0], model.backbone.logit_scale.exp())
    loss = loss + beta_cal(text, conditioned, mask, model.pooler.logit_scale.exp())
    loss.backward()
    return float(loss.detach())


def time_steps(rows: Slots) -> dict[str, float]:
    """Seconds of both steps at ViT-B/16 size, after a smaller step of each."""
    torch.manual_seed(0)
    config = BackboneConfig("ViT-B-16-quickgelu", context_length=CONTEXT)
    model = build_model(config, PoolerConfig())
    images = torch.randn(len(rows), 3, 224, 224)
    ways = {"padded": padded_text, "once": text_once}
    for encode in ways.values():
        step(model, images[:1], rows[:1], encode)
    seconds, losses = {}, {}
    for name, encode in ways.items():
        start = time.perf_counter()
        losses[name] = step(model, images, rows, encode)
        seconds[f"seconds_{name}"] = time.perf_counter() - start
    return seconds | {
        "times_faster": seconds["seconds_padded"] / seconds["seconds_once"],
        "loss": losses["once"],
        "difference_of_the_losses": abs(losses["once"] - losses["padded"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small batches, nothing written")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images, step_images = (16, 2) if arguments.quick else (64, 4)
    counted, steps = {}, {}
    for name in ("Urban-1K", "DOCCI"):
        texts = captions(name)
        batches = [batch_of(texts[i : i + images], i) for i in range(0, 5 * images, images)]
        found = [positions(rows) for rows in batches]
        counted[name] = {key: sum(p[key] for p in found) / len(found) for key in found[0]}
        print(name, {key: round(value / images, 1) for key, value in counted[name].items()})
        encoded = counted[name]["encoded"]
        print(f"  encoded / distinct {encoded / counted[name]['distinct']:.3f}")
        print(f"  padded / encoded {counted[name]['padded'] / encoded:.2f}")
        if name == "Urban-1K" or not arguments.quick:
            steps[name] = time_steps(batches[0][:step_images])
            print(" ", {key: round(value, 6) for key, value in steps[name].items()}, flush=True)
    record = {
        "name": "benchmark_text_once",
        **provenance(),
        "settings": {
            "images": images,
            "step_images": step_images,
            "texts": TEXTS.texts_per_image,
            "extractor": default_extractor().name,
            "threads": arguments.threads,
            "load_average": os.getloadavg(),
        },
        "positions_per_batch": counted,
        "steps": steps,
    }
    if not arguments.quick:
        print(write_json(REFERENCE_FOLDER / "benchmark_text_once.json", record))


if __name__ == "__main__":
    main()
