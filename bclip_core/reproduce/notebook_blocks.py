"""The pages' blocks about the notebooks, from the notebooks and the record of their collection."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bclip_core.config import PROFILES
from bclip_core.records.markdown import aligned_markdown
from bclip_core.records.results import load_result
from bclip_core.reproduce.notebooks import find_notebooks, read_notebook, runs_on_request
from bclip_core.reproduce.story import ABOUT, PARTS, heading

STAND_INS = {"00": "attention_shipped", "17": "attention_grid"}
"""Pictures of notebooks that publish none, where another's shows the same."""

USES = {
    "smoke": "see that everything runs; the committed notebooks' outputs",
    "cpu": "the committed results",
    "long": "the same at ten times the length; the runs of the learning curves",
    "gpu": "longer and wider, K as in the paper; not run by us yet",
    "photos-smoke": "see that everything runs on photographs: a ViT-B/16 on the sample pictures",
    "paper-b16": "β-CLIP as its authors trained it, on ShareGPT4V; not run by us yet",
    "paper-l14": "the same with ViT-L/14; not run by us yet",
    "mulclip-docci": "MulCLIP as far as its page tells; not run by us yet",
}


def title(path: Path) -> str:
    """The number and heading of a notebook, such as `04 Train the methods`."""
    return heading(read_notebook(path))


def question(path: Path) -> str:
    """What a notebook asks, as its first cell says.

    Raises:
        ValueError: no line that starts with `**Question.**`.
    """
    first = read_notebook(path).cells[0].source
    found = re.search(r"^\*\*Question\.\*\* (.+)$", first, re.MULTILINE)
    if found is None:
        raise ValueError(f"{path.name}: its first cell has no line '**Question.** ...'")
    return found[1]


def figures(path: Path) -> list[str]:
    """Names of the figures that a notebook publishes, in order."""
    code = (cell.source for cell in read_notebook(path).cells if cell.cell_type == "code")
    return re.findall(r'\bpublish\([^"]*"([a-z0-9_]+)"', "\n".join(code))


def times_block() -> str:
    """How long the collection took, and how much memory it held."""
    record = load_result("collection", "cpu", reference=True)
    values, machine = record["values"], record["machine"]
    minutes, seconds = divmod(values["seconds"], 60)
    return (
        f"`make reproduce` took {minutes} min {seconds:02d} s and at most "
        f"{values['peak_memory_gigabytes']:.1f} GB of memory for {len(values['notebooks'])} "
        f"notebooks on {machine['cores']} cores ({machine['processor']}; commit "
        f"{record['code']['commit'][:7]}, {record['date']}), after the environment was there."
    )


def parts_block() -> str:
    """The notebooks by part, a line each part; links from the repository's root."""
    paths = {path.name[:2]: path for path in find_notebooks()}
    lines = []
    for part, numbers in PARTS.items():
        links = [f"[{title(paths[n])}](notebooks/{paths[n].name})" for n in numbers]
        lines.append(f"- {part}: {', '.join(links)}")
    return "\n".join(lines)


def notebooks_block() -> str:
    """Every notebook by part: its question, its time and the first figure that it publishes."""
    paths = {path.name[:2]: path for path in find_notebooks()}
    seconds = load_result("collection", "cpu", reference=True)["values"]["notebooks"]
    sections = []
    for part, numbers in PARTS.items():
        sections += [f"## {part}", f"{ABOUT[part][0].upper()}{ABOUT[part][1:]}."]
        for path in map(paths.__getitem__, numbers):
            lines = [f"### [{title(path)}]({path.name})", question(path), _time(path, seconds)]
            for name in (figures(path) or [STAND_INS.get(path.name[:2], "")])[:1]:
                if name:
                    shown = f'src="../figures/{name}.png" alt="{name.replace("_", " ")}"'
                    lines.append(f'<img {shown} width="480">')
            sections += lines
    return "\n\n".join(sections) + "\n"  # what follows a picture at once hides it from the book


def _time(path: Path, seconds: dict[str, float]) -> str:
    """In words: measured with the collection, or how to ask for it."""
    if path.stem in seconds:
        return f"*{seconds[path.stem]:,.0f} s*"
    asked = f"`python -m bclip_core.reproduce --profile cpu --only {path.name[:2]}`"
    return f"*on request: {asked}*" if runs_on_request(path, "cpu") else "*not timed yet*"


def profiles_block() -> str:
    """The profiles: how much one training is, and what it is for."""
    rows = [["profile", "updates", "pictures each", "K", "training rows", "seeds", "what for"]]
    for name, profile in PROFILES.items():
        train, texts = profile.base.train, profile.base.texts
        count = f"1 + {texts.sentences} + {texts.phrases}"
        updates, count_of = profile.base.planned_updates, f"{profile.base.data.train:,}"
        sizes = [f"{updates:,}", str(train.batch_size), count, count_of]
        rows.append([f"`{name}`", *sizes, str(len(profile.seeds)), USES[name]])
    return aligned_markdown(rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "times": times_block,
    "parts": parts_block,
    "notebooks": notebooks_block,
    "profiles": profiles_block,
}
"""Part of `pages.BLOCKS`."""
