"""What all configurations share: types checked when they are built, the dictionary round trip."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self, get_type_hints


class ConfigError(ValueError):
    """A configuration value is not allowed; the message names field, value and what is."""


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse a value, saying what was expected."""
    if not condition:
        raise ConfigError(f"{name}={value!r}: expected {expected}")


def require_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the known."""
    require(value in known, name, value, "one of " + ", ".join(known))


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse a value of another type; a whole number is a number, a truth value is none."""
    if kind in (int, float):  # a bool is an int to Python, but no number to a reader
        numeric = isinstance(value, int | kind) and not isinstance(value, bool)
        expected = "a whole number" if kind is int else "a finite number"
        require(numeric and math.isfinite(value), name, value, expected)  # type: ignore[arg-type]
    else:
        require(isinstance(value, kind), name, value, f"a value of type {kind.__name__}")


def numbers(name: str, values: object, count: int) -> tuple[float, ...]:
    """So many finite numbers or none; JSON gives a list."""
    given = tuple(values) if isinstance(values, list | tuple) else (None,)
    finite = all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in given
    )
    words = {2: "two", 3: "three"}[count]
    require(finite and len(given) in (0, count), name, values, f"{words} finite numbers, or none")
    return tuple(float(value) for value in given)


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    changed = {}
    for name, value in values.items():
        default = defaults.get(name)  # there is none of a setting that a term brings
        if isinstance(value, dict):
            value = _changed(value, default or {}) or default
        if value != default:
            changed[name] = value
    return changed


def _listed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary whose tuples are lists, as JSON would give them back."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in pairs}


class Config:
    """Types checked, and the dictionary round trip; shared by all configurations."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            if isinstance(kind, type):
                check_type(name, getattr(self, name), kind)
            if kind is float:  # 1 and 1.0 are one configuration, also in its JSON
                object.__setattr__(self, name, float(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary, ready for JSON."""
        values: dict[str, Any] = dataclasses.asdict(self, dict_factory=_listed)  # type: ignore
        return values

    def changes(self) -> dict[str, Any]:
        """The fields that differ from the defaults, nested; a new field adds none."""
        return _changed(self.to_dict(), type(self)().to_dict())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: an unknown field (the message lists the known ones) or a bad value.
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(fields))
        require(not unknown, f"{cls.__name__} field", unknown, "one of " + ", ".join(fields))
        built = {}
        for name, value in values.items():
            default = fields[name].default_factory
            nested = default if isinstance(default, type) and issubclass(default, Config) else None
            built[name] = nested.from_dict(value) if nested and isinstance(value, dict) else value
        return cls(**built)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]
