"""Pictures and models behind the views: opened when asked for, encoded once, kept in bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import datasets
import torch
from torch import Tensor

from bclip_core.backbone import Tokenizer
from bclip_core.config import get_profile
from bclip_core.data.images import open_picture
from bclip_core.data.sources import load_split
from bclip_core.evaluation.encoding import encode_images, encode_texts
from bclip_core.evaluation.maps import PictureMaps, feature_maps
from bclip_core.explorer.cache import BoundedCache
from bclip_core.explorer.catalogue import UNTOUCHED, ModelEntry, find_models, given_models
from bclip_core.explorer.pictures import Picture, own_picture, scene_picture
from bclip_core.explorer.readings import (
    grouped_texts,
    patch_on_grid,
    rank_scores,
    read_answers,
    read_panel,
    shorten_scores,
)
from bclip_core.explorer.view import Panel, Shown, View
from bclip_core.model import BClip
from bclip_core.records.files import sha256

MODELS_KEPT, PICTURES_KEPT, ENCODED_KEPT, TEXTS_KEPT = 4, 4, 64, 4_096  # a picture may be large


class Workbench:
    """Computes views. Everything that a widget or a figure shows comes from here.

    Args:
        models: of one's own by name: a model, or a checkpoint file. The untouched model and the
            finished runs on disk are there in any case.
        scenes: rows that "scene 0", "scene 1", ... mean; None takes the test scenes of the smoke
            profile, made in a second.
        runs: folder of the runs; None takes `results.runs_folder()`.

    Attributes:
        entries: the models by name.
        scenes: as given.
    """

    def __init__(
        self,
        models: Mapping[str, BClip | Path | str] | None = None,
        scenes: datasets.Dataset | None = None,
        runs: Path | None = None,
    ) -> None:
        self.entries: dict[str, ModelEntry] = find_models(runs) | given_models(models or {})
        self.scenes = (
            load_split(get_profile("smoke").base.data, "test") if scenes is None else scenes
        )
        self._models: BoundedCache[str, BClip] = BoundedCache(MODELS_KEPT)
        # By reference and what its file holds: one that is saved again is read again.
        self._pictures: BoundedCache[tuple[str, str], Picture] = BoundedCache(PICTURES_KEPT)
        self._captioned: BoundedCache[tuple[Picture, str], Picture] = BoundedCache(PICTURES_KEPT)
        self._pixels: BoundedCache[tuple[str, int, bool], Tensor] = BoundedCache(ENCODED_KEPT)
        self._features: BoundedCache[tuple[str, str], tuple[Tensor, Tensor]]
        self._features = BoundedCache(ENCODED_KEPT)
        self._texts: BoundedCache[tuple[str, str], Tensor] = BoundedCache(TEXTS_KEPT)

    def add(self, picture: Picture) -> Picture:
        """Make a picture known under its reference, in place of what that meant before."""
        self._pictures.put((picture.reference, ""), picture)
        return picture

    def picture(self, reference: str) -> Picture:
        """The picture of a reference: "scene N", a path (as it is now), or one that was added.

        Raises:
            ValueError: no such scene, or a file that is no picture.
            FileNotFoundError: no such file.
        """
        key = (reference, "")  # a scene, or one that was added
        if key not in self._pictures and Path(reference).is_file():
            key = (reference, sha256(Path(reference)))
        return self._pictures.get(key, lambda: self._open(reference))

    def captioned(self, picture: Picture, caption: str) -> Picture:
        """The picture under another caption, which is taken apart once."""
        if caption == picture.caption:
            return picture
        return self._captioned.get((picture, caption), partial(picture.with_caption, caption))

    def _open(self, reference: str) -> Picture:
        scene = re.fullmatch(r"scene (\d+)", reference)
        if scene is None:
            return own_picture(open_picture(reference), reference)
        if int(scene[1]) >= len(self.scenes):
            raise ValueError(f"{reference!r}: expected scene 0 to scene {len(self.scenes) - 1}")
        row = self.scenes[int(scene[1])]
        if "objects" not in row:  # a photograph: its caption is all that is known
            return own_picture(row["image"].convert("RGB"), reference, row["caption"])
        return scene_picture(row, reference)

    def model(self, name: str) -> BClip:
        """A model by name, in eval mode.

        Raises:
            ValueError: no such model; the message lists them.
            CheckpointError: its file cannot be used.
        """
        if name not in self.entries:
            raise ValueError(f"model {name!r}: expected one of {', '.join(self.entries)}")
        return self._models.get(self._version(name), lambda: self.entries[name].load().eval())

    def _version(self, name: str) -> str:
        """A model's name and the state of its file: one that is trained again is read again."""
        file = self.entries[name].file
        if file is None or not file.exists():
            return name
        state = file.stat()
        return f"{name} {state.st_mtime_ns} {state.st_size} {state.st_ino}"

    def kinds(self, names: Sequence[str]) -> tuple[str, ...]:
        """The kinds of maps of some models together, in order."""
        poolers = [self.model(name).pooler for name in names]
        heads = max((pooler.heads for pooler in poolers if pooler is not None), default=0)
        pooled = ("mean", *(f"head {number + 1}" for number in range(heads))) if heads else ()
        return (*pooled, "cosine")

    def pixels(self, picture: Picture, model: BClip) -> Tensor:
        """A picture as a model sees it, uint8 [3, S, S]."""
        size = model.backbone.image_size[0]
        whole = model.backbone.config.resize == "squash"
        key = (picture.key, size, whole)
        return self._pixels.get(key, lambda: picture.pixels(size, whole))

    def maps(self, name: str, picture: Picture, texts: Sequence[str]) -> PictureMaps:
        """A model's maps of some texts; picture and texts are encoded at most once."""
        model, version = self.model(name), self._version(name)
        image, patches = self._features.get(
            (version, picture.key), lambda: encode_images(model, self.pixels(picture, model)[None])
        )
        return feature_maps(model, image, patches, texts, self._encode(version, model, texts))

    def _encode(self, version: str, model: BClip, texts: Sequence[str]) -> Tensor:
        """Embeddings [K, D] of texts; the new ones in one go."""
        new = [text for text in texts if (version, text) not in self._texts]
        made = dict(zip(new, encode_texts(model, new), strict=True)) if new else {}
        keys = [(version, text) for text in texts]
        return torch.stack(
            [self._texts.get(key, partial(made.__getitem__, key[1])) for key in keys]
        )

    def compute(self, view: View) -> Shown:
        """All that a view shows.

        Raises:
            ValueError: an empty text, or something in the view that there is not.
            Exception: what opening the picture or a model raises.
        """
        if not view.text.strip():
            raise ValueError("the text is empty: expected at least one word")
        picture = self.picture(view.picture)
        if view.caption is not None:
            picture = self.captioned(picture, view.caption)
        groups = grouped_texts(view.text, picture)
        names = list(dict.fromkeys((*view.models, UNTOUCHED)))
        maps = {name: self.maps(name, picture, list(groups)) for name in names}
        panels = self._panels(view, picture, maps)
        scores = rank_scores(list(maps.values()), groups)
        return Shown(
            view,
            picture,
            panels,
            tuple(self.entries[name].label for name in names),
            shorten_scores(scores),
            [score.group for score in scores].index("text") + 1,
            len(scores),
            tuple(
                read_answers(panel, maps[name], picture)
                for name, panel in zip(names, panels, strict=True)
            ),
            tuple(self._notes(names, picture, view.text)),
        )

    def _panels(
        self, view: View, picture: Picture, maps: Mapping[str, PictureMaps]
    ) -> tuple[Panel, ...]:
        """One panel per model; the first one decides which patch is asked about."""
        panels: list[Panel] = []
        for name, found in maps.items():
            kind = "cosine" if found.attention is None else view.kind
            patch = view.patch
            if panels:
                patch = patch_on_grid(panels[0].patch, panels[0].grid, found.grid)
            pixels = self.pixels(picture, self.model(name))
            label = self.entries[name].label
            panels.append(read_panel(label, kind, found, picture, pixels, patch))
        return tuple(panels)

    def _notes(self, names: Sequence[str], picture: Picture, text: str) -> list[str]:
        notes = []
        for name in names:
            limit = self.model(name).backbone.context_length
            if (count := Tokenizer(limit).count(text)) > limit:
                label = self.entries[name].label
                notes.append(f"{label} reads only {limit} of the text's {count} tokens")
        if not picture.caption:
            notes.append("Without a caption there are no words for a patch to answer to")
        return notes
