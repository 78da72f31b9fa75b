"""What the commands of the studies share: which experiment, and how many runs side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import tyro

from bclip_core.config import Profile, get_profile


def some_of(known: Iterable[str]) -> Any:
    """The meaning of an option that takes names: all that there are."""
    return tyro.conf.arg(help=f"of: {'; '.join(known)}")


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Options of a command that trains a study's runs."""

    profile: str = "smoke"  # smoke, cpu or gpu
    workers: int | None = None  # runs side by side; not given: the profile's

    def sizes(self) -> tuple[Profile, int]:
        """The profile, and how many runs train side by side; 0: in this process.

        Raises:
            ConfigError: no such profile.
        """
        profile = get_profile(self.profile)
        return profile, profile.workers if self.workers is None else self.workers
