"""What a notebook runs: a profile, with what its reader has changed; refused before any work.

A notebook's parameters are the fields of `USUAL[number]`. `begin` checks every value by name, puts
them into the profile's sizes, and remembers what differs from the usual: such a run writes its
figures and records under a name of its own into the runs folder, never over the committed ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from matplotlib.figure import Figure

from bclip_core.config import ConfigError, Profile, RunConfig, get_profile
from bclip_core.config.profiles import change
from bclip_core.data.sources import load_split
from bclip_core.evaluation.held_out import HeldOut
from bclip_core.model import METHODS, get_method
from bclip_core.plotting.files import publish, save
from bclip_core.records.files import read_record, write_json
from bclip_core.records.results import load_result, provenance, runs_folder, save_result
from bclip_core.studies.asked import USUAL, check, data_of, reads, settings_of, weights_of


@dataclass(frozen=True)
class Changed(Profile):
    """A profile with single settings changed, each for the methods that read it."""

    settings: tuple[str, ...] = ()

    def run(self, method: str, *, seed: int | None = None, beta: float | None = None) -> RunConfig:
        """As `Profile.run`, with the settings that the method reads."""
        config = super().run(method, seed=seed, beta=beta)
        return change(config, [s for s in self.settings if reads(method, config, s)])


@dataclass(frozen=True)
class Experiment:
    """What a notebook runs, and where it writes.

    Attributes:
        profile: name of the profile.
        sizes: the profile with the changes in it.
        asked: the notebook's parameters, those left open filled in.
        changed: those that differ from the usual, by name.
    """

    profile: str
    sizes: Profile
    asked: Mapping[str, Any]
    changed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scenes(self) -> bool:
        """Whether it runs on scenes, whose masks and attributes are known."""
        return self.sizes.base.data.name == "scenes"

    @property
    def usual(self) -> bool:
        """Whether its results are those of the collection, which pages and figures show."""
        return not self.changed and self.scenes

    @property
    def folder(self) -> Path:
        """Where the figures of a changed run go."""
        return runs_folder() / "figures" / "changed"

    def data(self, split: str = "test") -> datasets.Dataset:
        """The rows of a split, as training reads them."""
        return load_split(self.sizes.base.data, split)

    def about(self) -> str:
        """One line or two: which data, what can be measured on them, what was changed."""
        data = self.sizes.base.data
        told = f"scenes, {data.test:,} of them held out" if self.scenes else HeldOut.load(data).told
        changed = ", ".join(f"{name}={value!r}" for name, value in self.changed.items())
        return told + (f"\nchanged: {changed}; written as {self.name('NAME')}" if changed else "")

    def name(self, name: str) -> str:
        """The name of a figure or record: another one for every set of changes."""
        if self.usual:
            return name
        data = self.sizes.base.data.name
        text = json.dumps({**self.changed, "data": data}, sort_keys=True, default=str)
        return f"{name}_{data.replace('-', '_')}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def publish(self, figure: Figure, name: str, numbers: Mapping[str, Any]) -> None:
        """`plotting.publish`; of a changed run into `folder`, at any size."""
        if self.usual:
            publish(figure, name, numbers, self.profile)
            return
        publish(figure, name, numbers, "smoke")  # shown alone
        told = {"profile": self.profile, "changed": dict(self.changed), **numbers}
        picture, _ = save(figure, f"{self.name(name)}_{_word(self.profile)}", told, self.folder)
        print(f"figure: {picture.name}")

    def save(self, name: str, values: Mapping[str, Any]) -> Path:
        """`results.save_result`; of a changed run into a folder that is never promoted."""
        if self.usual:
            return save_result(name, self.profile, dict(values))
        record = {"name": self.name(name), "profile": self.profile, "changed": dict(self.changed)}
        return write_json(self._path(name), record | provenance() | {"values": values})

    def load(self, name: str) -> dict[str, Any]:
        """What `save` has written.

        Raises:
            FileNotFoundError: nothing of that name.
            ValueError: the file is broken; it is named.
        """
        if self.usual:
            return load_result(name, self.profile)
        return read_record(self._path(name), "values")

    def _path(self, name: str) -> Path:
        return runs_folder() / "tables" / "changed" / f"{self.name(name)}__{self.profile}.json"

    def rows_shown(self, name: str, rows: datasets.Dataset) -> range:
        """The first rows of a split, as many as the parameter says.

        Raises:
            ConfigError: there are not so many.
        """
        count = self.asked[name]
        if not 1 <= count <= len(rows):
            raise ConfigError(f"{name}={count}: expected 1 to {len(rows)}, as there are pictures")
        return range(count)

    def row(self, name: str, rows: Sequence[Any] | datasets.Dataset) -> int:
        """The row that a parameter counts from 0.

        Raises:
            ConfigError: there is no such row.
        """
        number: int = self.asked[name]
        if not 0 <= number < len(rows):
            raise ConfigError(f"{name}={number}: expected 0 to {len(rows) - 1}, as there are")
        return number

    def pooled(self) -> str:
        """The last of the methods that pools patches by text; its attention is drawn.

        Raises:
            ConfigError: none does.
        """
        found: list[str] = [name for name in self.asked["methods"] if METHODS[name].pooler]
        if not found:
            known = ", ".join(name for name, method in METHODS.items() if method.pooler)
            given = list(self.asked["methods"])
            raise ConfigError(f"methods={given}: expected one that pools patches: {known}")
        return found[-1]


def begin(number: str, parameters: Mapping[str, Any]) -> Experiment:
    """The experiment of a notebook, from its parameters.

    Args:
        number: of the notebook, a key of `USUAL`.
        parameters: at least its parameters by name; `globals()` in a notebook.

    Raises:
        ConfigError: a value is not allowed; the message has name, value, and what is expected.
    """
    profile = get_profile(parameters["profile"])
    usual = USUAL[number]
    asked = {name: parameters[name] for name in usual}
    check(asked, usual)
    base = profile.base
    base = weights_of(base, asked["weights"])
    base = base.replace(data=data_of(base, asked))
    everywhere, single = settings_of(base, asked)
    base = change(base, everywhere)
    fields = {f: getattr(profile, f) for f in profile.__dataclass_fields__}
    for name in ("seeds", "betas"):
        given = asked.get(name)
        fields[name] = tuple(given) if given else fields[name]
    sizes = Changed(**{**fields, "base": base}, settings=tuple(single))
    asked = _filled(asked, sizes)
    changed = {n: v for n, v in asked.items() if v not in (usual[n], _open(n, profile))}
    if number == "04" and not any(get_method(one).terms for one in _methods(asked)):
        raise ConfigError(f"methods={_methods(asked)}: expected one that trains")
    for method in _methods(asked):
        if get_method(method).terms:
            get_method(method).check(sizes.run(method))
    return Experiment(profile.name, sizes, asked, changed)


def _filled(asked: Mapping[str, Any], sizes: Profile) -> dict[str, Any]:
    own = {"seeds": list(sizes.seeds), "betas": list(sizes.betas)}
    return {name: value or own.get(name, value) for name, value in asked.items()}


def _open(name: str, profile: Profile) -> Any:
    """What a parameter that is left open means."""
    return {"seeds": list(profile.seeds), "betas": list(profile.betas)}.get(name)


def _methods(asked: Mapping[str, Any]) -> list[str]:
    return [*asked.get("methods", ()), *([asked["method"]] if asked.get("method") else [])]


def _word(profile: str) -> str:
    return profile.replace("-", "_")
