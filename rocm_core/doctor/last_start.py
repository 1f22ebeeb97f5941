"""The last start of a server that failed, if no later one of the same model succeeded."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rocm_core.diagnosis.explain import describe_exit, error_lines
from rocm_core.supervisor.exits.last_start import last_failed_start
from rocm_core.types import Check

# Older failures say little about this machine as it is now.
_DAYS = 7
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def last_start_checks(env: Mapping[str, str]) -> list[Check]:
    """Return a warning about the last failed start, or nothing.

    Args:
        env: where the file about it is.
    """
    start = last_failed_start(env)
    now = time.time()
    if start is None or not 0 <= now - start.time < _DAYS * 86400:
        return []
    said = "; ".join(error_lines(start.log, 1))
    ended = describe_exit(start.returncode)
    why = start.cause or ": ".join(filter(None, [ended, said]))
    return [
        Check(
            "last_failed_start",
            "warning",
            f"{start.model}, {_ago(now - start.time)}: {why}",
            start.remedy or "llama-rocm explain shows what is known of it, and its last lines",
        )
    ]


def _ago(seconds: float) -> str:
    for unit, length in _UNITS:
        if (count := int(seconds // length)) > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
