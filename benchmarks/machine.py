"""Where it was measured."""

from __future__ import annotations

import os
import platform


def machine() -> str:
    """The kind of machine, for the record."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def load() -> str:
    """How many processes wanted to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
