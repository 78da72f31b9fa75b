"""pyproject.toml, the lock, environment.yml and the tree agree with one another."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from nbval.plugin import get_sanitize_patterns
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import bclip_core
from bclip_core.records import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
LARGEST_FILE = 16 * 2**20  # bytes
MODULE_LINES = 400
FUNCTION_LINES = 60  # of the body, without docstring
# Put together here, so that this file does not hold them itself.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("download", "pytorch", "org"),
        ("registry", "npmjs", "org"),
        ("repo", "anaconda", "com"),
        ("conda", "anaconda", "org"),
        ("deb", "debian", "org"),
    ]
]


def declared() -> list[Requirement]:
    """Every dependency of pyproject.toml, with those of all extras."""
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines]


def locked() -> dict[str, Requirement]:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    pins = [Requirement(line) for line in lines]
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names)), "a package is pinned twice"
    return dict(zip(names, pins, strict=True))


def tracked_files() -> list[Path]:
    """What git holds or would add. An unpacked archive has no git: then the test is skipped."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = [REPOSITORY / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: r.name)
def test_every_dependency_is_pinned_within_its_bounds(requirement):
    pin = locked()[canonicalize_name(requirement.name)]
    (version,) = pin.specifier
    assert version.operator == "=="
    assert requirement.specifier.contains(version.version)
    assert pin.marker is None  # on every platform


def test_lock_is_plain_pins():
    for line in LOCK.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.!+]+( ; .+)?", line), line


def test_no_dependency_is_declared_twice():
    names = [canonicalize_name(requirement.name) for requirement in declared()]
    assert len(names) == len(set(names))


def test_the_citation_names_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert bclip_core.__version__ == PROJECT["version"]


def test_conda_environment_uses_a_supported_python_and_the_lock():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    packages = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    versions = dict(entry.split("=", 1) for entry in packages if "=" in entry)
    assert SpecifierSet(PROJECT["requires-python"]).contains(versions["python"])
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", "-e ."]
    # conda's model needs conda's spaCy: both and the pin are of one minor version.
    pinned = str(locked()["spacy"].specifier).removeprefix("==")
    for package in ("spacy", "spacy-model-en_core_web_sm"):
        assert pinned.startswith(versions[package] + ".")


OURS = {"bclip_core", "tests", "benchmarks"}


def imported_modules(folder: str) -> Iterator[tuple[str, str]]:
    """(top-level module, file) of every import of something that is not Python's or ours."""
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top not in OURS:
                    yield top, path.name


@pytest.mark.parametrize("folder", ["bclip_core", "tests", "benchmarks", "notebooks"])
def test_everything_imported_is_declared(folder):
    names = {canonicalize_name(requirement.name) for requirement in declared()}
    providers = importlib.metadata.packages_distributions()
    undeclared = set()
    for module, file in imported_modules(folder):
        distributions = providers.get(module, [module])
        if not names & {canonicalize_name(name) for name in distributions}:
            undeclared.add(f"{file}: import {module}")
    assert sorted(undeclared) == []


def test_no_file_names_a_package_registry():
    for path in tracked_files():
        content = path.read_bytes()
        named = [host for host in REGISTRY_HOSTS if host.encode() in content]
        assert not named, f"{path.relative_to(REPOSITORY)}: {named}"


def test_no_file_is_too_large():
    sizes = {str(path.relative_to(REPOSITORY)): path.stat().st_size for path in tracked_files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE} == {}


def test_modules_stay_readable():
    paths = sorted((REPOSITORY / "bclip_core").rglob("*.py"))
    lines = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in paths}
    assert {name: count for name, count in lines.items() if count > MODULE_LINES} == {}


def function_lines(source: str) -> dict[str, int]:
    """Lines of every function's body, without its docstring."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            found[node.name] = (body[-1].end_lineno or 0) - body[0].lineno + 1
    return found


def test_functions_fit_a_screen():
    assert function_lines('def f():\n    """Doc."""\n    x = (\n        1\n    )\n    y = 2') == {
        "f": 4
    }
    for path in sorted((REPOSITORY / "bclip_core").rglob("*.py")):
        found = function_lines(path.read_text(encoding="utf-8"))
        long = {name: count for name, count in found.items() if count > FUNCTION_LINES}
        assert not long, f"{path.name}: {long}"


def sanitized(text: str) -> str:
    """As nbval does it: its own parser, and its order."""
    config = (REPOSITORY / "tests/nbval/sanitize.cfg").read_text(encoding="utf-8")
    patterns = get_sanitize_patterns(config)
    assert len(patterns) == config.count("\nregex:") == config.count("\nreplace:")
    for regex, replacement in patterns:
        text = re.sub(regex, replacement, text)
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Figure at 0x7f3a2b4c5d60>", "<Figure at ADDRESS>"),
        ("saved /home/me/bclip/figures/a.png", "saved <ROOT>/figures/a.png"),
        ("commit 0123456789abcdef0123456789abcdef01234567.", "commit GIT_HASH."),
        ("2026-11-22T10:20:30.123456+00:00", "DATE"),
        ("on 2026-11-22 at noon", "on DATE at noon"),
        ("trained in 12.5 s, loaded in 3 ms", "trained in N s, loaded in N s"),
    ],
)
def test_sanitize_rules_replace_what_differs_between_machines(text, expected):
    assert sanitized(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"t2i_R@1": 0.613, "i2t_R@1": 0.597}',
        "figures/03_stretch.png",
        "16 scenes, 5 sentences, 3 short captions",
        "0x1f",
        "0123456789abcdef",
    ],
)
def test_sanitize_rules_leave_results_alone(text):
    assert sanitized(text) == text
