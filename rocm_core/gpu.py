"""What the machine has, from the kernel's files. ``root`` is injected by tests."""

from __future__ import annotations

import os
from pathlib import Path


def kfd_problem(root: str | os.PathLike[str] = "/") -> str | None:
    """Why ROCm cannot compute here, or ``None``.

    ``/dev/kfd`` is the compute device of the ``amdgpu`` kernel driver; users reach it through
    the groups ``render`` and ``video``.
    """
    device = Path(root) / "dev/kfd"
    if not device.exists():
        return "/dev/kfd does not exist: no AMD GPU with the amdgpu driver (Linux only)"
    if not os.access(device, os.R_OK | os.W_OK):
        return "no permission for /dev/kfd: add yourself to the groups render and video"
    return None
