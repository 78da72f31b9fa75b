"""`train.memory=lean`: the same bits in the least memory; what is done about the process itself.

At ViT-B/16 with four images half of what a training holds beyond weights and AdamW's moments is no
number that it needs: holes that glibc keeps between blocks of the heap, and oneDNN's compiled
kernels, of which packed texts, of a new length with every batch, make new ones in every update.
Nothing here needs torch: a command calls it before torch is there.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

KERNEL_CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}
"""Kernels that oneDNN, and torch's layer above it, keep: 1,024 each by default. Both are read from
the environment at the first kernel of a process, and not again."""
OWN_PAGES = 2**20  # bytes from which a block has pages of its own, which go back when it is freed
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # of glibc's malloc.h


def begin_lean() -> None:
    """Let this process keep less of what it frees, until it ends.

    A process whose first kernel has run already keeps its caches of kernels as they are; one that
    does not allocate by glibc keeps its heap.
    """
    for name, size in KERNEL_CACHES.items():
        os.environ.setdefault(name, size)
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in (
            (_MMAP_THRESHOLD, OWN_PAGES), (_TRIM_THRESHOLD, 2**17), (_TOP_PAD, 0), (_ARENA_MAX, 1),
        ):  # fmt: skip
            libc.mallopt(option, value)


def give_back() -> None:
    """Return the free pages of the heap to the system; between updates there are many."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
