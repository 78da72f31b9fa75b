"""The notebooks' parameters: what each has, which values are allowed, what they change."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from bclip_core.checkpoints import CheckpointError, is_tag, open_model
from bclip_core.config import ConfigError, DataConfig, RunConfig
from bclip_core.config.names import did_you_mean
from bclip_core.config.profiles import change
from bclip_core.data.sources import NAMES, load_split
from bclip_core.model import METHODS, get_method
from bclip_core.records.files import from_home

_DATA = {"data_set": "", "root": "", "weights": "", "settings": []}
_TRAINING = {**_DATA, "sentences": 0, "phrases": 0, "steps": 0, "seeds": []}
USUAL: dict[str, dict[str, Any]] = {
    "00": {**_DATA, "picture": "", "phrase": ""},
    "04": {**_TRAINING, "methods": ["clip-ft", "beta-clip-ce", "beta-clip-bce"]},
    "05": {**_TRAINING, "method": "beta-clip-ce", "betas": []},
    "06": {
        **_DATA, "methods": ["clip", "clip-ft", "beta-clip-ce"], "pictures_shown": 8,
        "texts_shown": 4,
    },
    "07": {
        **_TRAINING, "methods": ["clip", "clip-ft", "beta-clip-ce", "beta-clip-bce"],
        "repeated": ["clip-ft", "beta-clip-ce"],
    },
    "11": {**_DATA, "checkpoints": [], "row": 3, "picture": ""},
    "12": {**_DATA, "row": 1},
    "13": {**_TRAINING, "variants": []},
    "14": {**_TRAINING, "methods": []},
    "15": {**_TRAINING, "variants": [], "equal_time_steps": 0},
}  # fmt: skip
"""Parameters by notebook, beside `profile`, with their usual values; an empty one is left open."""


def _require(holds: bool, name: str, value: Any, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name}={value!r}: expected {expected}")


def _names(known: Mapping[str, Any]) -> Callable[[str, Any], None]:
    def check_names(name: str, value: Any) -> None:
        for one in value:
            near = did_you_mean(one, known) if isinstance(one, str) else ""
            expected = f"one of {', '.join(known)}{near}"
            _require(isinstance(one, str) and one in known, name, one, expected)
        _require(len(set(value)) == len(value), name, value, "each name once")

    return check_names


def _numbers(least: float, most: float, kind: type, expected: str) -> Callable[[str, Any], None]:
    def check_numbers(name: str, value: Any) -> None:
        for one in value:
            number = isinstance(one, kind | int) and not isinstance(one, bool)
            _require(number and least <= one <= most, name, value, expected)
        _require(len(set(value)) == len(value), name, value, "each number once")

    return check_numbers


def _count(least: int) -> Callable[[str, Any], None]:
    def check_count(name: str, value: Any) -> None:
        _require(least <= value, name, value, f"a whole number >= {least}")

    return check_count


def _data_set(name: str, value: str) -> None:
    known = ("", *NAMES)
    near = did_you_mean(value, known)
    _require(value in known, name, value, f"one of {', '.join(known[1:])}{near}, or none")


def _root(name: str, value: str) -> None:
    try:
        found = not value or (bool(value.strip()) and from_home(value).exists())
    except (OSError, ValueError):  # ~NOBODY; a zero character
        found = False
    _require(found, name, value, "a folder or a table")


def _picture(name: str, value: str) -> None:
    _require(not value or os.path.exists(value), name, value, "a picture file, or a folder of them")


def _method_with_beta(name: str, value: str) -> None:
    known = [n for n, m in METHODS.items() if "beta" in m.reads(RunConfig(n))["loss"]]
    _require(value in known, name, value, f"a method that reads β: {', '.join(known)}")


def _texts(name: str, value: Any) -> None:
    texts = all(isinstance(one, str) and one.strip() for one in value)
    _require(texts and len(set(value)) == len(value), name, value, "a list of texts, each once")


_MANY = 2**31
CHECKS: dict[str, Callable[[str, Any], None]] = {
    "data_set": _data_set,
    "root": _root,
    "methods": _names(METHODS),
    "repeated": _names(METHODS),
    "method": _method_with_beta,
    "betas": _numbers(0, 1, float, "numbers in [0, 1]"),
    "seeds": _numbers(0, _MANY, int, "whole numbers >= 0"),
    "settings": _texts,
    "checkpoints": _texts,
    "variants": _texts,
    "picture": _picture,
    "row": _count(0),
    **dict.fromkeys(("sentences", "phrases", "steps", "equal_time_steps"), _count(0)),
    **dict.fromkeys(("pictures_shown", "texts_shown"), _count(1)),
}


def check(asked: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
    """Refuse what cannot be a value of a notebook's parameter.

    Raises:
        ConfigError: with the parameter's name, the value, and what is expected.
    """
    for name, value in asked.items():
        kind = type(usual[name])
        _require(type(value) is kind, name, value, f"a value of type {kind.__name__}")
        if name in CHECKS:
            CHECKS[name](name, value)
    given, methods = asked.get("repeated", []), asked.get("methods", [])
    if given and given != usual["repeated"]:
        _require(set(given) <= set(methods), "repeated", given, f"some of {', '.join(methods)}")
    _require(usual.get("methods") in (None, []) or bool(methods), "methods", methods,
             "at least one")  # fmt: skip


def weights_of(base: RunConfig, weights: str) -> RunConfig:
    """A configuration that starts from other weights, with their architecture and picture size.

    Args:
        base: of a profile; its number of text positions is kept where weights have fewer.
        weights: whatever `checkpoints.open_model` opens; "random": the profile's architecture,
            fresh; "": the profile's own.

    Raises:
        ConfigError: they cannot be opened.
    """
    if not weights:
        return base
    if weights == "random":
        return base.replace(backbone=base.backbone.replace(pretrained=""))
    scene = base.backbone.name.startswith("scene-")  # which no tag is of
    try:
        architecture = "ViT-B-16" if scene else base.backbone.name
        model = open_model(weights, architecture=architecture if is_tag(weights) else "")
    except (CheckpointError, ConfigError, OSError, ValueError) as error:
        raise ConfigError(f"weights={weights!r}: {error}") from error
    there = model.backbone.config
    length = max(there.context_length, base.backbone.context_length)
    backbone = there.replace(pretrained=weights, context_length=length)
    size = model.backbone.image_size[0]
    return base.replace(backbone=backbone, data=base.data.replace(image_size=size))


def data_of(base: RunConfig, asked: Mapping[str, Any]) -> DataConfig:
    """The data set that is asked for, at the profile's counts and the model's picture size.

    Raises:
        ConfigError: a folder without a data set of photographs.
    """
    name, root = asked["data_set"], asked["root"]
    chosen = name or base.data.name
    _require(not root or chosen != "scenes", "root", root, "none, scenes are made and not read")
    if chosen == base.data.name:
        folder = str(from_home(root).absolute()) if root else base.data.folder
        return base.data.replace(folder=folder)
    folder = str(from_home(root).absolute()) if root else ""
    size = base.data.image_size
    return DataConfig(chosen, image_size=size, train=base.data.train, test=base.data.test,
                      validation=base.data.validation, folder=folder)  # fmt: skip


_OWN_PARAMETER = {"train.seed": "seeds", "loss.beta": "betas", "data.name": "data_set"}
"""Settings that a parameter of a notebook decides."""


def settings_of(base: RunConfig, asked: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Single settings as the command line writes them: for every method, and for some alone.

    The counts of a notebook (`sentences`, `phrases`, `steps`) are settings, too. A batch is at most
    as large as a data set of photographs, which is said.

    Raises:
        ConfigError: an unknown setting or a bad value, or one that no method here reads.
    """
    counts = {"sentences": "texts.sentences", "phrases": "texts.phrases", "steps": "train.steps"}
    given = [f"{field}={asked[n]}" for n, field in counts.items() if asked.get(n)]
    given += list(asked["settings"])
    for one in given:
        name, equals, _ = one.partition("=")
        _require(bool(equals) and "." in name, "settings", one, "PART.FIELD=VALUE, as --set has it")
        for field, parameter in _OWN_PARAMETER.items():
            own = field == name and (parameter in asked or parameter == "seeds")
            _require(not own, "settings", one, f"{parameter} to say it")
    names = [one.partition("=")[0].replace("-", "_") for one in given]
    twice = next((name for name in names if names.count(name) > 1), "")
    _require(not twice, "settings", given, f"{twice} once")
    change(base, given)
    methods = asked.get("methods") or [asked.get("method", "beta-clip-ce")]
    everywhere = [one for one in given if one.split(".")[0] in ("data", "train", "backbone")]
    single = [one for one in given if one not in everywhere]
    for setting in single:
        used = any(reads(method, base, setting) for method in methods)
        _require(used, "settings", setting, f"one that is read by {', '.join(methods)}")
    data = change(base, everywhere).data
    if data.name != "scenes" and not any("batch_size" in one for one in given):
        rows = len(load_split(data, "train"))
        if rows < base.train.batch_size:
            print(f"{rows} pictures to train on: batch_size {base.train.batch_size} -> {rows}")
            everywhere.append(f"train.batch_size={rows}")
    return everywhere, single


def reads(method: str, base: RunConfig, setting: str) -> bool:
    """Whether a method reads a setting, "loss.beta=0.25" for example."""
    entry = get_method(method)
    config = base.replace(method=method)
    try:
        entry.check(change(config, [setting]))
    except ConfigError:
        return False
    return True
