"""The machine that the work runs on."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import torch


def default_device() -> str:
    """Where models are measured unless told otherwise: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def require_device(device: str) -> str:
    """`device` if it can be used here, `default_device()` where it is "".

    Raises:
        ValueError: no such device, or none here; nothing is run elsewhere in silence.
    """
    try:
        if device and torch.device(device).type not in ("cpu", "cuda", "mps", "xpu"):
            raise ValueError("no device that models run on")
        return str(torch.empty(0, device=device).device) if device else default_device()
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"device={device!r}: expected cpu, or a GPU of this machine: {reason}"
        ) from error


def usable_cores() -> int:
    """Processor cores that this process may use, fewer than there are where a scheduler says so."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What the numbers were made on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor_name() -> str:
    with contextlib.suppress(OSError):  # other systems have no such file, or may hide it
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
