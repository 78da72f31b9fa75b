"""Protocols by name: what each group of authors does to get its numbers, and what we do.

A number of retrieval or of FG-OVD depends on choices that no table prints: how a picture becomes a
square, which captions of which list, what a tie is. Each protocol here states them, with where that
was read; what its sources do not tell is listed under `unknown` and is done as ours. What a
protocol does that we do not do even under its name stands under `not_done`.

Sources: the authors' code, run or read at the named commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType as Fixed
from typing import Any

from bclip_core.config import RESIZES, ConfigError
from bclip_core.config.base import require_choice

LINES = ("all", "first")
"""Of a caption that is a file of its own: all of its lines are the text, or the first alone."""
TEXT_PATHS = ("auto", "short", "long")
"""Of a model with two text paths: by the longest text of the set, or one of them for all."""
LISTS = ("each way", "per image")
"""Short lists: one of images per text and one of texts per image; or the latter for both ways."""
TIES = ("miss", "hit")
PRECISIONS = ("float32", "bfloat16")
SCORES = ("global", "conditioned", "own_caption")
_CHOICES = (
    "resize", "lines", "captions", "text_path", "lists", "ties", "precision", "ks", "score"
)  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """How to measure.

    Attributes:
        name: how it is asked for, `measure --protocol NAME`.
        source: where its choices were read.
        resize: how a picture of retrieval becomes a square, of `RESIZES`; "": as the model was
            trained.
        lines: of a caption file, of `LINES`.
        captions: at most so many captions of a picture; 0: as many as the data set's record says.
        text_path: of `TEXT_PATHS`, for data sets that `paths` does not name.
        paths: the text path of single data sets.
        reads: the data set, or data set:split, that a name stands for, where papers say one name
            and mean one of several lists.
        lists: of `LISTS`, for `--conditioned two-stage`.
        ties: whether a region whose true expression is as similar as a false one is a miss.
        precision: of weights and embeddings, of `PRECISIONS`.
        ks: lengths of the list that recall is counted on.
        score: which retrieval the authors print: by class token and text; by the image pooled with
            every text; or, in a table of theirs, pooled with its own caption, which leaks.
        unknown: choices that the sources do not tell.
        not_done: what the authors do and we do not, under this name either.

    Raises:
        ConfigError: a choice that there is not.
    """

    name: str
    source: str = ""
    resize: str = ""
    lines: str = "all"
    captions: int = 0
    text_path: str = "auto"
    paths: Mapping[str, str] = field(default_factory=lambda: Fixed({}))
    reads: Mapping[str, str] = field(default_factory=lambda: Fixed({}))
    lists: str = "each way"
    ties: str = "miss"
    precision: str = "float32"
    ks: tuple[int, ...] = (1, 5, 10)
    score: str = "global"
    unknown: tuple[str, ...] = ()
    not_done: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (
            ("lines", LINES), ("text_path", TEXT_PATHS), ("lists", LISTS), ("ties", TIES),
            ("precision", PRECISIONS), ("score", SCORES), ("resize", ("", *RESIZES)),
        ):  # fmt: skip
            require_choice(f"protocol {self.name!r}: {name}", getattr(self, name), known)
        for name in (*self.paths.values(),):
            require_choice(f"protocol {self.name!r}: paths", name, TEXT_PATHS)
        if strange := sorted(set(self.unknown) - {*_CHOICES, "reads"}):
            raise ConfigError(f"protocol {self.name!r}: unknown={strange}: expected of {_CHOICES}")

    def data_set(self, name: str) -> tuple[str, str]:
        """The data set and split, "" for the usual one, that a name stands for."""
        found, _, split = self.reads.get(name, name).partition(":")
        return found, split

    def path(self, data_set: str) -> str:
        """The text path of a data set."""
        return self.paths.get(data_set, self.text_path)

    def differences(self) -> dict[str, Any]:
        """Its choices that are not ours, by name."""
        found = {name: getattr(self, name) for name in _CHOICES}
        return {n: v for n, v in found.items() if v != getattr(OURS, n) and n != "score"}

    def told(self, data_set: str) -> dict[str, Any]:
        """What a result says of it, ready for JSON: every choice, and what is not known."""
        choices = {name: getattr(self, name) for name in _CHOICES}
        choices |= {"ks": list(self.ks), "text_path": self.path(data_set)}
        return {
            "name": self.name,
            "choices": choices,
            "unknown": list(self.unknown),
            "not_done": list(self.not_done),
        }


OURS = Protocol("ours", "evaluation/README.md")
_ENTRIES = (
    OURS,
    Protocol(
        "beta-clip",
        "github.com/fzohra/B-CLIP 7be4476f: datasets.py:743, validate_fgovd:193, 209 (code run)",
        lines="first",
        ties="hit",
        unknown=("resize", "captions", "reads"),
        not_done=(
            "a text longer than the context loses its end token (tokenizer.py:147)",
            "repeated words of SV-1k's captions are taken out (datasets.py:37-69)",
        ),
    ),
    Protocol(
        "long-clip",
        "github.com/beichenzbc/Long-CLIP 3966af9a: eval/retrieval (its functions run)",
        resize="crop",
        lines="first",
        captions=5,
        reads=Fixed({"flickr30k": "flickr30k:all"}),
        unknown=("ties", "precision"),
        not_done=("the matrices are rounded to float16 when the file is loaded",),
    ),
    Protocol(
        "flair",
        "github.com/ExplainableML/flair 0f9ce058: src/flair/train.py (its functions run)",
        resize="crop",
        lists="per image",
        score="conditioned",
        unknown=("captions", "reads", "ties"),
        not_done=("mixed precision (README.md: --precision amp)",),
    ),
    Protocol(
        "fg-clip",
        "github.com/360CVGroup/FG-CLIP 0fcea590, branch v1.0: fgclip/eval (fgovd_eval.py run)",
        resize="squash",
        paths=Fixed({"coco": "short", "fgovd": "short", "sv1k": "long", "dci": "long"}),
        ties="hit",
        unknown=("captions", "reads"),
    ),
    Protocol(
        "goal",
        "github.com/PerceptualAI-Lab/GOAL 2db3d4a0: retrieval_goal.py (its functions run)",
        resize="crop",
        captions=1,
        reads=Fixed({"dci": "dci-1999", "docci": "docci-5100"}),
        precision="bfloat16",
        ks=(1, 5, 25, 50),
        unknown=("ties",),
    ),
    Protocol(
        "mulclip",
        "arXiv 2512.07128; no public code",
        unknown=("resize", "lines", "captions", "reads", "ties", "precision"),
    ),
)
PROTOCOLS: dict[str, Protocol] = {entry.name: entry for entry in _ENTRIES}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ConfigError: unknown; the message lists those that there are.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol={name!r}: expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_rows() -> list[list[str]]:
    """Header and a row per protocol: what it does otherwise than ours, what is not known of it."""
    rows = [["protocol", "otherwise than ours", "reads", "not known", "not done", "source"]]
    for entry in PROTOCOLS.values():
        other = [f"{name} {_shown(value)}" for name, value in entry.differences().items()]
        other += [f"{name}: {path} path" for name, path in entry.paths.items()]
        if entry.score != OURS.score:
            other.append(f"prints {entry.score} retrieval")
        reads = ", ".join(f"{name}: {found}" for name, found in entry.reads.items())
        rows.append([
            f"`{entry.name}`", "; ".join(other) or "-", reads or "-",
            ", ".join(entry.unknown) or "-", "; ".join(entry.not_done) or "-", entry.source,
        ])  # fmt: skip
    return rows


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
