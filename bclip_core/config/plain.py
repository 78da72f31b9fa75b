"""Configurations as plain nested values."""

from __future__ import annotations

from typing import Any


def changed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults, nested."""
    found = {}
    for name, value in values.items():
        default = defaults.get(name)  # there is none of a setting that a term brings
        if isinstance(value, dict):
            value = changed(value, default or {}) or default
        if value != default:
            found[name] = value
    return found


def listed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary whose tuples are lists, as JSON would give them back."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in pairs}
