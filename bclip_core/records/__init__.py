"""What work leaves behind, and what it tells meanwhile: files, results, progress, Markdown."""

from bclip_core.records.files import (
    REPOSITORY,
)

__all__ = [
    "REPOSITORY",
]
