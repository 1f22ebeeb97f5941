"""Tests without the mark ``engine`` start no engine: ``sitecustomize`` says how that is held."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.support.no_engine import sitecustomize

_patch = pytest.MonkeyPatch()


def forbid_engines() -> None:
    """Until ``allow_engines``, in this process and in those that it starts."""
    handle, log = tempfile.mkstemp(prefix="tests-no-engine-")
    os.close(handle)
    _patch.setenv(sitecustomize.VARIABLE, log)
    _patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def allow_engines() -> str:
    """Return the commands that were refused, one a line."""
    log = os.environ.get(sitecustomize.VARIABLE)
    _patch.undo()
    if log is None:
        return ""
    refused = Path(log).read_text(encoding="utf-8")
    Path(log).unlink()
    return refused
