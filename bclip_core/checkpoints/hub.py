"""Models on the hub by its own conventions: a folder of safetensors with a card, up and down.

`huggingface_hub` does the transport; everything that goes wrong on the way is one line.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from bclip_core import __version__
from bclip_core.backbone import CheckpointError
from bclip_core.checkpoints import own
from bclip_core.checkpoints.weights import one_line
from bclip_core.model import BClip
from bclip_core.records.files import write_json

CARD, CONFIG = "README.md", "config.json"
_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_WANTED = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.json")
_STRANGER = 401  # HTTP's status of a request without a right that is known
_OF_DISKS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
FACTS = ("method", "data", "protocol", "metrics", "licence")
"""What a card tells beside what the model itself knows."""


def is_name(source: str) -> bool:
    """Whether a text may be the name of a model on the hub, OWNER/NAME or OWNER/NAME@REVISION."""
    return _NAME.fullmatch(source) is not None and not source.startswith(".")


def fetch(name: str, token: str | bool | None = None, **options: Any) -> Path:
    """The folder of a model of the hub, fetched where it is not in the cache yet.

    Args:
        name: OWNER/NAME or OWNER/NAME@REVISION.
        token: for private models; None takes the one of `hf auth login`.
        options: further ones of `huggingface_hub.snapshot_download`.

    Raises:
        CheckpointError: no such model or revision, no access, or no network; one line says which.
    """
    repository, _, revision = name.partition("@")
    with told(repository, revision):
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                token=token,
                allow_patterns=list(_WANTED),
                **options,
            )
        )


def write_files(model: BClip, folder: Path) -> None:
    """Weights and configuration, as the hub expects them, into a folder that is there."""
    own.save(model, folder / own.WEIGHTS)
    write_json(folder / CONFIG, {"library": "bclip", "version": __version__, **model.describe()})


def card(model: BClip, facts: Mapping[str, Any]) -> str:
    """A model card: what the model is, how it was trained and measured, how to open it.

    Raises:
        CheckpointError: an unknown fact.
    """
    unknown = sorted(set(facts) - set(FACTS))
    if unknown:
        raise CheckpointError(f"facts {unknown}: expected of {', '.join(FACTS)}")
    head = ModelCardData(
        license=str(facts.get("licence", "other")),
        library_name="bclip",
        pipeline_tag="zero-shot-image-classification",
        tags=["clip", "fine-grained", "long-caption"],
    )
    lines = ["---", head.to_yaml().strip(), "---", "", "# A CLIP of the bclip collection", ""]
    for name in ("method", "data", "protocol", "licence"):
        lines.append(f"- {name}: {facts.get(name, 'not stated')}")
    lines += ["", "## What it is", "", *_listed(model.describe())]
    metrics = facts.get("metrics") or {}
    if metrics:
        lines += ["", "## Measured", "", "| metric | value |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in metrics.items()]
    code = 'from bclip_core.checkpoints import from_pretrained\n\nmodel = from_pretrained("NAME")'
    return "\n".join([*lines, "", "## Open it", "", "```python", code, "```", ""])


def _listed(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}- {name}:"
            yield from _listed(value, indent + "  ")
        else:
            yield f"{indent}- {name}: {value}"


@contextmanager
def told(name: str, revision: str) -> Iterator[None]:
    """What the hub's client raises, as one line that names the model."""
    where = f"hub model {name!r}"
    try:
        yield
    except CheckpointError:
        raise
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{where}: no revision {revision!r}") from error
    except GatedRepoError as error:
        raise CheckpointError(f"{where}: access has to be asked for on its page") from error
    except HFValidationError as error:
        raise CheckpointError(f"{where}: expected OWNER/NAME: {one_line(error)}") from error
    except HfHubHTTPError as error:
        # to a stranger the hub answers alike where there is none and where it is private
        if isinstance(error, RepositoryNotFoundError) or _status(error) == _STRANGER:
            raise CheckpointError(
                f"{where}: no such file or folder here, and no such model there, or a private one: "
                "log in with `hf auth login`"
            ) from error
        raise CheckpointError(f"{where}: the hub refused: {one_line(error)}") from error
    except Exception as error:  # offline by choice, and all that a connection can die of
        if isinstance(error, OSError) and error.errno in _OF_DISKS:
            raise CheckpointError(
                f"{where}: its files cannot be kept or read here: {one_line(error)}; see $HF_HOME, "
                "the folder of the hub's cache"
            ) from error
        raise CheckpointError(
            f"{where}: no such file or folder here, and the hub cannot be reached: "
            f"{one_line(error)}"
        ) from error


def _status(error: HfHubHTTPError) -> int | None:
    """HTTP's status; None where nothing answered."""
    return getattr(error.response, "status_code", None)
