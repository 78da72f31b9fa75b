"""One word, one meaning: no function hides a module, metrics are named in one place."""

import ast
import importlib
import pkgutil
import re
from types import ModuleType

import pytest

import bclip_core
from bclip_core.evaluation import HEADLINES
from bclip_core.records import REPOSITORY

PACKAGES = [
    found.name for found in pkgutil.walk_packages(bclip_core.__path__, "bclip_core.") if found.ispkg
]
METRIC = re.compile(r"(retrieval|regions|attributes|grounding)/\w+/\w+(/\w+@\w+)?")
OLD_NAMES = re.compile(
    r"\b(scene|real|region)_benchmark\b|\bmethod_tables\b|\bown as checkpoints\b"
)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_hidden_by_something_of_its_package(package):
    room = importlib.import_module(package)
    names = [found.name for found in pkgutil.iter_modules(room.__path__)]
    for name in names:
        if name != "__main__":
            module = importlib.import_module(f"{package}.{name}")
            assert isinstance(getattr(room, name), ModuleType), f"{package}.{name} is hidden"
            assert getattr(room, name) is module


def literals(source: str) -> set[str]:
    return {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}


def test_metrics_are_named_by_the_catalogue_alone():
    assert all(METRIC.fullmatch(name) for name in HEADLINES.values())
    spelt = {}
    for path in sorted((REPOSITORY / "bclip_core").rglob("*.py")):
        strings = {x for x in literals(path.read_text(encoding="utf-8")) if isinstance(x, str)}
        spelt[path.name] = {text for text in strings if METRIC.fullmatch(text)}
    assert {name: found for name, found in spelt.items() if found} == {}


def test_modules_go_by_their_own_names():
    for folder in ("bclip_core", "tests"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if path.name != "test_names.py":
                assert not OLD_NAMES.search(path.read_text(encoding="utf-8")), path
