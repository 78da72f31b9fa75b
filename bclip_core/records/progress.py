"""One way to show progress."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


def progress_bar(*arguments: Any, progress: bool, **settings: Any) -> tqdm[Any]:
    """A tqdm bar where `progress` is true; $TQDM_DISABLE=1 silences it even then.

    Plain tqdm lets an explicit `disable=False` win over the variable, which would fill committed
    notebooks with bars.
    """
    return tqdm(*arguments, **settings) if progress else tqdm(*arguments, disable=True, **settings)
