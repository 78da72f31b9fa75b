"""Pictures and models behind the views: opened when asked for, encoded once, kept in bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import datasets
import torch
from torch import Tensor

from bclip_core.captions import text_key
from bclip_core.config import get_profile
from bclip_core.data.images import image_to_pixels, open_picture, resize_whole
from bclip_core.data.real.rows import text_of
from bclip_core.data.sources import load_split
from bclip_core.evaluation.encoding import encode_images, encode_texts
from bclip_core.evaluation.maps import PictureMaps, choose_phrases, feature_maps, text_maps
from bclip_core.explorer.cache import BoundedCache
from bclip_core.explorer.catalogue import UNTOUCHED, ModelEntry, find_models, given_models
from bclip_core.explorer.naming import unknown_words
from bclip_core.explorer.pictures import Picture, mask_at, own_picture, scene_picture
from bclip_core.explorer.readings import (
    EVEN,
    common_limits,
    grouped_texts,
    patch_on_grid,
    rank_scores,
    read_answers,
    read_lengths,
    read_panel,
    read_spoken,
    shorten_scores,
)
from bclip_core.explorer.view import Panel, Shown, View
from bclip_core.model import BClip
from bclip_core.records.files import sha256

SCENE_MODELS = "scene-"  # how the architectures are called that only scenes are trained on
SHOWN_AT = 128  # pixels of the scenes: as the shipped β-CLIP reads them, and sharper to look at
WORDS_NAMED, LONGEST_WORD = 8, 30  # of those that a model cannot know; characters
MODELS_KEPT, PICTURES_KEPT, ENCODED_KEPT, TEXTS_KEPT = 9, 4, 64, 4_096  # a picture may be large


class Workbench:
    """Computes views. Everything that a widget or a figure shows comes from here.

    Args:
        models: of one's own by name: a model, or a checkpoint file. The untouched model and the
            finished runs on disk are there in any case.
        scenes: rows that "scene 0", "scene 1", ... mean; None takes the test scenes of the smoke
            profile at `SHOWN_AT` pixels, made in a second or two.
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
        shown = get_profile("smoke").base.data.replace(image_size=SHOWN_AT)
        self.scenes = load_split(shown, "test") if scenes is None else scenes
        self._models: BoundedCache[str, BClip] = BoundedCache(MODELS_KEPT)
        # By reference and what its file holds: one that is saved again is read again.
        self._pictures: BoundedCache[tuple[str, str], Picture] = BoundedCache(PICTURES_KEPT)
        self._captioned: BoundedCache[tuple[Picture, str], Picture] = BoundedCache(PICTURES_KEPT)
        self._pixels: BoundedCache[tuple[str, int, bool], Tensor] = BoundedCache(ENCODED_KEPT)
        self._features: BoundedCache[tuple[str, str], tuple[Tensor, Tensor]]
        self._features = BoundedCache(ENCODED_KEPT)
        self._misses: BoundedCache[tuple[str, str], tuple[int, ...]] = BoundedCache(MODELS_KEPT)
        self._texts: BoundedCache[tuple[str, str], Tensor] = BoundedCache(TEXTS_KEPT)

    @property
    def drawn(self) -> bool:
        """Whether the rows are scenes, whose objects are known; photographs have captions alone."""
        return "objects" in self.scenes.column_names

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
        """The picture under another caption, which is taken apart once.

        Raises:
            ValueError: a caption that the tokenizer would read as another text.
        """
        if caption == picture.caption:
            return picture
        if caption.strip():
            text_of(caption, "caption")
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
            ValueError: an empty text, one that the tokenizer would read as another, or something in
                the view that there is not.
            Exception: what opening the picture or a model raises.
        """
        if not view.text.strip():
            raise ValueError("the text is empty: expected at least one word")
        for name, given in (("text", (view.text,)), ("also", view.also)):
            for text in given:
                text_of(text, name)  # what the tokenizer would read as another text
        picture = self.picture(view.picture)
        if view.caption is not None:
            picture = self.captioned(picture, view.caption)
        groups = grouped_texts(view.text, picture, view.also)
        beside = (UNTOUCHED,) if self.drawn or not view.models else ()  # it knows scenes alone
        names = list(dict.fromkeys((*view.models, *beside)))
        maps = {name: self.maps(name, picture, list(groups)) for name in names}
        texts = list(groups)
        panels, *also = (
            self._panels(view, picture, maps, self._place(texts, text))
            for text in (view.text, *view.also)
        )
        rows = (panels, *also)
        limits = common_limits(rows) if view.scale == "shared" else {}
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
            tuple(self._notes(names, picture, view, rows, groups)),
            tuple(also),
            limits,
            read_spoken(panels, list(maps.values()), picture),
        )

    @staticmethod
    def _place(texts: Sequence[str], text: str) -> int:
        """Where a text stands among those of a view, which has texts that are read alike once."""
        return [text_key(each) for each in texts].index(text_key(text))

    def misses(self, name: str, kind: str = "mean") -> tuple[int, ...]:
        """Scenes in whose first phrase's map a model's hottest patch lies beside what is named."""
        key = (self._version(name), kind)
        return self._misses.get(key, lambda: tuple(self._find_misses(name, kind)))

    def _find_misses(self, name: str, kind: str) -> Iterator[int]:
        model = self.model(name)
        size, whole = model.backbone.image_size[0], model.backbone.config.resize == "squash"
        asked = {
            number: (scene["image"], phrases[0], masks[0])
            for number, scene in enumerate(self.scenes)
            for phrases, masks in [choose_phrases(scene, 1)]
            if phrases
        }
        make = resize_whole if whole else image_to_pixels
        pixels = torch.stack([make(image, size) for image, _, _ in asked.values()])
        images, patches = encode_images(model, pixels)
        texts = encode_texts(model, [phrase for _, phrase, _ in asked.values()])
        for row, (number, (_, phrase, mask)) in enumerate(asked.items()):
            one = slice(row, row + 1)
            maps = feature_maps(model, images[one], patches[one], [phrase], texts[one])
            known = kind if kind in maps.kinds else maps.kinds[0]
            scaled = mask_at(mask, size)
            if scaled is not None and text_maps(maps, known, [scaled])[0].hit is False:
                yield number

    def _panels(
        self, view: View, picture: Picture, maps: Mapping[str, PictureMaps], text: int
    ) -> tuple[Panel, ...]:
        """One panel per model of text number `text`; the first decides which patch is asked.

        Raises:
            ValueError: none of the models has the view's kind of map, though one has a pooler.
        """
        kinds = list(dict.fromkeys(kind for each in maps.values() for kind in each.kinds))
        if view.kind not in kinds and len(kinds) > 1:
            raise ValueError(f"kind={view.kind!r}: expected one of {', '.join(kinds)}")
        panels: list[Panel] = []
        for name, found in maps.items():
            kind = view.kind if view.kind in found.kinds else found.kinds[0]
            patch = view.patch
            if panels:
                patch = patch_on_grid(panels[0].patch, panels[0].grid, found.grid)
            whole = self.model(name).backbone.config.resize == "squash"
            pixels = picture.drawn(whole)
            label = self.entries[name].label
            panels.append(read_panel(label, kind, found, picture, pixels, patch, text))
        return tuple(panels)

    def _notes(
        self,
        names: Sequence[str],
        picture: Picture,
        view: View,
        rows: Sequence[Sequence[Panel]],
        groups: Mapping[str, str],
    ) -> list[str]:
        """What a reader should know: cuts, and what the models cannot know."""
        contexts = {
            self.entries[name].label: self.model(name).backbone.context_length for name in names
        }
        drawn = picture.is_scene and view.caption is None  # which is long for all in the same way
        kept = {t: group for t, group in groups.items() if not drawn or group in ("text", "also")}
        notes = [*picture.cuts, *read_lengths(kept, contexts)]
        of_scenes = [
            self.entries[name].label
            for name in names
            if self.model(name).backbone.config.name.startswith(SCENE_MODELS)
        ]
        if of_scenes and not picture.is_scene:
            notes.append(
                f"{' and '.join(of_scenes)}: trained on drawn scenes alone; on this picture the "
                "maps show edges and colours, not that it is understood"
            )
        unknown = unknown_words(" ".join((view.text, *view.also))) if of_scenes else ()
        if unknown:
            begun = [
                word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}…"
                for word in unknown[:WORDS_NAMED]
            ]
            words = ", ".join(f"“{word}”" for word in begun)
            more = f" and {len(unknown) - WORDS_NAMED} more" if len(unknown) > WORDS_NAMED else ""
            notes.append(f"Not in any caption that {' and '.join(of_scenes)} saw: {words}{more}")
        flat = dict.fromkeys(panel.model for row in rows for panel in row if panel.even)
        if flat:
            notes.append(
                f"{' and '.join(flat)}: an attention no better than even, less than {EVEN:g} times "
                "an even share at its hottest patch"
            )
        if not picture.caption:
            notes.append("Without a caption there are no words for a patch to answer to")
        return notes
