"""What the commands of the studies share: which experiment, and how many runs side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import tyro

from bclip_core.config import PROFILES, ConfigError, Profile, get_profile
from bclip_core.records.results import require_runs_folder


def some_of(known: Iterable[str]) -> Any:
    """The meaning of an option that takes names: all that there are."""
    return tyro.conf.arg(help=f"of: {'; '.join(known)}")


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Options of a command that trains a study's runs."""

    profile: str = "smoke"  # smoke, cpu or gpu
    workers: int | None = None  # runs side by side; not given: the profile's

    def sizes(self, *, scenes: bool = False) -> tuple[Profile, int]:
        """The profile, and how many runs train side by side; 0: in this process.

        Args:
            scenes: whether the study measures what is known of scenes alone.

        Raises:
            ConfigError: no such profile, or one of photographs where it has to be of scenes.
            OSError: the runs folder cannot be written.
        """
        profile = get_profile(self.profile)
        require_runs_folder()
        if scenes and profile.base.data.name != "scenes":
            known = (name for name, one in PROFILES.items() if one.base.data.name == "scenes")
            raise ConfigError(
                f"--profile={self.profile}: it is of photographs, but this is known of scenes "
                f"alone: expected one of {', '.join(known)}"
            )
        return profile, profile.workers if self.workers is None else self.workers
