"""Every test of settings has a project and a user of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of its own, and a user of its own."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("ROCM_MODEL_DIR", "ROCM_LLAMA_SERVER_PATH", "LLAMA_ROCM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    yield directory
