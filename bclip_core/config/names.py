"""The nearest of the known names, for refusals."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def did_you_mean(given: str, known: Collection[str], prefix: str = "") -> str:
    """`; did you mean NAME?` for the known name that is nearest to the given, else nothing."""
    near = difflib.get_close_matches(given, known, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""
