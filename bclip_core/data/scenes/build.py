"""From configuration to a stored `datasets.Dataset`: built once, then memory-mapped."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as PILImage
from torch import Tensor

from bclip_core.config import DataConfig
from bclip_core.data.scenes.attributes import (
    SCENES_VERSION,
    SPLITS,
    Difficulty,
    Scene,
    get_difficulty,
)
from bclip_core.data.scenes.language import write_texts
from bclip_core.data.scenes.layout import sample_scenes
from bclip_core.data.scenes.render import render_scenes, visible_boxes
from bclip_core.records.files import folder_of, from_home, remove_partial, write_atomically
from bclip_core.records.locks import lock
from bclip_core.records.progress import progress_bar

CACHE_VARIABLE = "BCLIP_CACHE"
_CACHE = "~/.cache/bclip"
_CHUNK = 128  # scenes rendered and written at once: their arrays still fit the CPU's cache
_OBJECT = {name: Value("string") for name in ("shape", "colour", "size", "pattern", "border")} | {
    name: Value("float32") for name in ("x", "y", "radius", "angle")
}

FEATURES = Features(
    {
        "id": Value("string"),
        "image": Image(mode="RGB"),
        "caption": Value("string"),
        "short_captions": List(Value("string")),
        "sentences": List(Value("string")),
        "phrases": List(List(Value("string"))),
        "objects": List(_OBJECT),
        "boxes": List(List(Value("float32"))),
        "instances": Image(mode="L"),
        "background": Value("string"),
        "sentence_objects": List(List(Value("int32"))),
        "phrase_objects": List(List(List(Value("int32")))),
        "difficulty": Value("string"),
    }
)


def load_scenes(
    config: DataConfig,
    split: str,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Dataset:
    """The scenes of one split, built on the first call and read from disk afterwards.

    A stored file that is damaged is named and built again.

    Scene i depends on the difficulty, seed, split and i alone, so a larger split only adds scenes.

    Args:
        config: difficulty, picture size, counts and seed.
        split: "train", "validation" or "test".
        cache_dir: folder of the stored data; default $BCLIP_CACHE, else ~/.cache/bclip.
        progress: whether to show a progress bar while building.

    Raises:
        ValueError: unknown split or difficulty; the message lists the known ones.
        OSError: the cache cannot be written; the message names the variable that moves it.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
    get_difficulty(config.difficulty)
    path = scenes_path(config, split, cache_dir)
    stored = _stored(path, getattr(config, split))
    if stored is not None:
        return stored
    try:
        with lock(path):
            # another process may have built it while this one waited
            stored = _stored(path, getattr(config, split), say=True)
            if stored is None:
                remove_partial(path)
                _write(config, split, path, progress)
    except OSError as error:
        reason = f"{error}; set ${CACHE_VARIABLE} to a folder that can be written"
        raise OSError(error.errno, f"scenes cannot be kept: {reason}") from error
    return stored or Dataset.from_file(str(path))


def _stored(path: Path, count: int, say: bool = False) -> Dataset | None:
    """The stored scenes, if they are there and whole; `say` what is damaged."""
    if not path.exists():
        return None
    try:
        stored = Dataset.from_file(str(path))
        if len(stored) == count and set(stored.column_names) == set(FEATURES):
            return stored
        found = f"{len(stored)} scenes: expected {count}"
    except (OSError, ValueError, pa.ArrowException) as error:
        found = " ".join(str(error).split())
    if say:
        print(f"{path} is damaged ({found}): built again")
    return None


def cache_folder(chosen: str | os.PathLike[str] | None = None) -> Path:
    """Where data are kept that were made: `chosen`, else $BCLIP_CACHE, else ~/.cache/bclip.

    Raises:
        FileNotFoundError: the user has no home; the message names the variable.
    """
    try:
        return from_home(chosen or folder_of(CACHE_VARIABLE) or _CACHE)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; set ${CACHE_VARIABLE} to a folder") from error


def scenes_path(
    config: DataConfig, split: str, cache_dir: str | os.PathLike[str] | None = None
) -> Path:
    """The file of a split: its name holds every setting that its content depends on."""
    count = getattr(config, split)
    name = f"{config.difficulty}-{config.image_size}px-seed{config.seed}-v{SCENES_VERSION}"
    return cache_folder(cache_dir) / "scenes" / name / f"{split}-{count}.arrow"


def build_rows(config: DataConfig, split: str, start: int, stop: int) -> dict[str, list[Any]]:
    """Columns of the scenes `start` .. `stop - 1`, pictures as encoded PNG."""
    difficulty = get_difficulty(config.difficulty)
    scenes = sample_scenes(difficulty, config.seed, split, start, stop)
    images, instances = render_scenes(scenes, config.image_size)
    boxes = visible_boxes(instances, max(len(s.objects) for s in scenes)).tolist()
    columns: dict[str, list[Any]] = {name: [] for name in FEATURES}
    for scene, image, instance, scene_boxes in zip(scenes, images, instances, boxes, strict=True):
        row = _row(scene) | {
            "image": _png(image),
            "instances": _png(instance),
            "boxes": scene_boxes[: len(scene.objects)],
        }
        for name, values in columns.items():
            values.append(row[name])
    return columns


def scenes_digest(difficulty: Difficulty, seed: int, split: str, count: int) -> str:
    """SHA-256 of attributes, geometry (to 6 decimals) and texts of the first `count` scenes."""
    digest = hashlib.sha256()
    for scene in sample_scenes(difficulty, seed, split, 0, count):
        row = _row(scene)
        for item in row["objects"]:
            item.update({name: f"{item[name]:.6f}" for name in ("x", "y", "radius", "angle")})
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()


def _row(scene: Scene) -> dict[str, Any]:
    texts = write_texts(scene)
    name = scene.difficulty.name
    return {
        "id": f"{name}-{scene.seed}-{scene.split}-{scene.index:06d}",
        "caption": texts.caption,
        "short_captions": texts.short_captions,
        "sentences": [sentence.text for sentence in texts.sentences],
        "sentence_objects": [sentence.objects for sentence in texts.sentences],
        "phrases": [[phrase.text for phrase in s.phrases] for s in texts.sentences],
        "phrase_objects": [[phrase.objects for phrase in s.phrases] for s in texts.sentences],
        "objects": [dict(vars(item)) for item in scene.objects],
        "background": scene.background.name,
        "difficulty": name,
    }


def _png(pixels: Tensor) -> dict[str, bytes | None]:
    buffer = io.BytesIO()
    PILImage.fromarray(pixels.numpy()).save(buffer, "PNG", compress_level=1)
    return {"bytes": buffer.getvalue(), "path": None}


def _write(config: DataConfig, split: str, path: Path, progress: bool) -> None:
    """Atomically, so that a kill leaves no half data set."""
    count = getattr(config, split)
    schema = FEATURES.arrow_schema
    title = f"{config.difficulty} {split}"

    def write(temporary: Path) -> None:
        with (
            temporary.open("wb") as file,
            pa.ipc.new_stream(file, schema) as writer,
            progress_bar(total=count, desc=title, progress=progress) as bar,
        ):
            for start in range(0, count, _CHUNK):
                stop = min(start + _CHUNK, count)
                rows = build_rows(config, split, start, stop)
                writer.write_table(pa.Table.from_pydict(rows, schema=schema))
                bar.update(stop - start)

    write_atomically(path, write)
