"""The pages say what the reference results say, lead somewhere, and do not repeat each other."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bclip_core.plotting.files import FIGURES
from bclip_core.records import REPOSITORY
from bclip_core.reproduce import blocks, pages
from bclip_core.reproduce.notebook_blocks import figures
from bclip_core.reproduce.notebooks import find_notebooks, read_notebook

PAGES = pages.find_pages()
README = REPOSITORY / "README.md"
README_BYTES, WORDS_BEFORE_COMMAND, REPEATED_WORDS = 10 * 1024, 170, 30
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_pages_are_every_markdown_file_that_git_holds():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    listing = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    held = {entry for entry in listing.stdout.split("\0") if (REPOSITORY / entry).is_file()}
    assert {name(path) for path in PAGES} == held - {""}


# Numbers.


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_is_what_the_reference_results_say(page):
    assert pages.fill(text(page), name(page)) == text(page), (
        "run `python -m bclip_core.reproduce.pages`"
    )


def test_every_block_is_used_once():
    used = Counter(block for page in PAGES for block in pages.block_names(text(page)))
    assert used == Counter(list(pages.BLOCKS))


def test_a_changed_number_is_noticed_and_mended(tmp_path):
    for page in (README, REPOSITORY / "results/beta_clip.md"):
        copy = tmp_path / page.relative_to(REPOSITORY)
        copy.parent.mkdir(exist_ok=True)
        number = re.search(r"^<!-- \w+ -->\n(?:\|.*\n){3}.*?(\d+\.\d)", text(page), re.MULTILINE)
        start, end = number.span(1)
        copy.write_text(text(page)[:start] + "98.7" + text(page)[end:], encoding="utf-8")
    (tmp_path / "LICENSE.md").write_text("no block\n", encoding="utf-8")
    changed = pages.update(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in changed] == [
        "README.md",
        "results/beta_clip.md",
    ]
    assert text(tmp_path / "README.md") == text(README)
    assert text(tmp_path / "results/beta_clip.md") == text(REPOSITORY / "results/beta_clip.md")


def test_no_page_is_written_when_one_of_them_cannot_be(tmp_path):
    (tmp_path / "results").mkdir()
    stale = "<!-- front -->\nstale\n<!-- /front -->\n"
    (tmp_path / "README.md").write_text(stale, encoding="utf-8")
    (tmp_path / "results/a.md").write_text("<!-- nothing -->\n<!-- /nothing -->", encoding="utf-8")
    with pytest.raises(ValueError, match=r"'nothing' in results/a\.md: expected one of .*front"):
        pages.update(tmp_path)
    assert text(tmp_path / "README.md") == stale


def test_a_block_without_an_end_mark_is_named():
    with pytest.raises(ValueError, match=r"'front' in README\.md has no end mark"):
        pages.fill("<!-- front -->\n")


@pytest.mark.parametrize(
    ("marks", "line"),
    [
        ("<!--front-->\nold\n<!-- /front -->", 1),  # not seen: the numbers would stay old
        ("a\n<!-- front --> \nold\n<!-- /front -->", 2),
        ("old\n<!-- /front -->", 2),
        ("<!-- front -->\n<!-- /front --> a", 2),
        # between the first and the last of these everything would be lost
        ("<!-- front -->\nmine\n<!-- front -->\nold\n<!-- /front -->", 3),
        ("<!-- front -->\n<!-- times -->\n<!-- /times -->\n<!-- /front -->", 2),
    ],
)
def test_marks_that_a_hand_has_displaced_are_named(marks, line):
    with pytest.raises(ValueError, match=rf"README\.md, line {line}: <!--.*: expected <!-- NAME"):
        pages.fill(marks)


@pytest.mark.parametrize("values", [3, {"x": 3}, {"x": {"100": {"0": {}}}}])
def test_a_damaged_record_is_named_with_its_block(monkeypatch, values):
    record = {"values": values, "code": {}}
    monkeypatch.setattr(blocks, "load_result", lambda *_, **__: record)
    with pytest.raises(ValueError, match=r"block 'curves' in README\.md: .* is damaged: "):
        pages.fill("<!-- curves -->\n<!-- /curves -->")


def test_a_page_that_is_no_text_is_named(tmp_path):
    (tmp_path / "README.md").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"README\.md: expected UTF-8"):
        pages.update(tmp_path)


# Links and figures.


def targets(source: str) -> list[str]:
    """Where links and pictures of Markdown lead that are not addresses."""
    found = re.findall(r"\]\(([^)\s]+)\)", source) + re.findall(r'src="([^"]+)"', source)
    return [target for target in found if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    prose = FENCED.sub("", text(page))
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in plain}


def broken(source: str, folder: Path) -> list[str]:
    wrong = []
    for target in targets(source):
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve()
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    own = re.sub(r"\]\(#", f"]({page.name}#", text(page))
    assert broken(own, page.parent) == []


def test_every_link_of_the_notebooks_leads_somewhere():
    found = {}
    for path in find_notebooks():
        cells = [c.source for c in read_notebook(path).cells if c.cell_type == "markdown"]
        found[path.name] = broken("\n".join(cells), path.parent)
    assert {file: links for file, links in found.items() if links} == {}


def test_a_broken_link_is_noticed():
    links = "[a](README.md#the-rooms) [b](README.md#no-room) [c](nothing.md) ![d](figures/no.png)"
    assert broken(links, REPOSITORY) == ["README.md#no-room", "nothing.md", "figures/no.png"]


def test_every_page_can_be_reached_from_the_readme():
    reached, left = set(), [README]
    while left:
        page = left.pop()
        reached.add(page)
        linked = {(page.parent / t.partition("#")[0]).resolve() for t in targets(text(page))}
        left += [path for path in linked if path.suffix == ".md" and path not in reached]
    assert {name(page) for page in PAGES} == {name(page) for page in reached}


def test_every_published_figure_is_there_with_its_numbers():
    published = {figure for path in find_notebooks() for figure in figures(path)}
    assert len(published) > 15
    for kind in (".png", ".json"):
        there = {path.stem for path in FIGURES.glob(f"*{kind}")}
        assert there == published, kind


def test_every_figure_is_shown_on_a_page():
    shown = {Path(target).stem for page in PAGES for target in targets(text(page))}
    assert sorted(path.stem for path in FIGURES.glob("*.png") if path.stem not in shown) == []


# Words.


def paragraphs(page: Path) -> list[str]:
    """Prose of a page, generated blocks left out, words alone, one string a paragraph."""
    prose = re.sub(r"(?ms)^<!-- (\w+) -->$.*?^<!-- /\1 -->$", "", text(page))
    plain = (re.sub(r"\W+", " ", part).strip().lower() for part in re.split(r"\n\s*\n", prose))
    return [part for part in plain if len(part.split()) >= REPEATED_WORDS]


def test_no_page_repeats_another():
    counts = Counter(part for page in PAGES for part in paragraphs(page))
    assert len(counts) > 30
    assert [part for part, count in counts.items() if count > 1] == []


def test_the_readme_is_one_page():
    assert README.stat().st_size <= README_BYTES
    before = text(README)[: FENCED.search(text(README)).start()]
    assert 40 < len(before.split()) <= WORDS_BEFORE_COMMAND


def test_the_readme_has_a_row_for_every_room():
    rooms = {path.parent.name for path in (REPOSITORY / "bclip_core").glob("*/__init__.py")}
    section = text(README).partition("\n## The rooms\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^- \[?`(\w+)`", section, re.MULTILINE)) == rooms


def commands() -> list[str]:
    """Modules that pages and notebooks ask to be run."""
    sources = [text(page) for page in PAGES]
    sources += [cell.source for path in find_notebooks() for cell in read_notebook(path).cells]
    return sorted(set(re.findall(r"-m (bclip_core[\w.]*\w)", "\n".join(sources))))


def test_every_command_names_a_module_that_can_be_run():
    assert len(commands()) > 5
    for module in commands():
        file = REPOSITORY / module.replace(".", "/")
        run = file / "__main__.py" if file.is_dir() else file.with_suffix(".py")
        assert run.is_file(), f"python -m {module}"
        assert run.name == "__main__.py" or '__name__ == "__main__"' in text(run), module


def test_five_lines_of_the_readme_draw_a_heat_map(tmp_path):
    ((_, code),) = [found for found in FENCED.findall(text(README)) if found[0] == "python"]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 5
    check = "print(shown.panels[0].item.hit, shown.panels[0].kind_in_words)"
    command = [sys.executable, "-c", f"{code}\n{check}"]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[-2] == "True attention"
    [picture] = tmp_path.glob("*.png")
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert min(pixels.shape[:2]) > 500
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000  # a picture and a map, not a page


def test_recipes_name_files_that_are_there():
    section = text(README).partition("\n## Add …\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^- \*\*a ", section, re.MULTILINE)) == 5
    named = set(re.findall(r"`([\w./]+(?:\.py|/))`", section))
    assert len(named) > 6
    roots = (REPOSITORY / "bclip_core", REPOSITORY)
    assert [path for path in named if not any((root / path).exists() for root in roots)] == []
